"""Who is online? Each gateway knows of its own sockets and hears of the others'; only those who watch are told.

A gateway tells the others what changed, several changes at a time, and everything once in a while: what is lost on the
way is right again within seconds, and a gateway that falls silent takes its users with it.
"""
from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import msgspec

State = Literal["online", "away", "offline"]

# What changes is collected that long: a reload of a page is no news.
COALESCE_S = 0.2
FULL_EVERY_S = 5.0
SILENT_S = 6.0
# Gateways that are listened to, and users of one: Redis is ours, but a mistake in it must not cost our memory.
MAX_PEERS = 256
MAX_STATES = 200_000


class News(msgspec.Struct):
    """What one gateway tells the others; `full`: whoever is not named is offline there."""

    gw: str
    boot: str
    states: dict[int, State]
    full: bool = False


@dataclass(slots=True)
class Peer:
    """Another gateway."""

    boot: str
    heard_s: float
    states: dict[int, State] = field(default_factory=dict)


W = TypeVar("W", bound=Hashable)


class Presence(Generic[W]):
    """The states of all users, as far as gateways know, and whom (`W`: a socket) to tell. No clock and no I/O."""

    def __init__(self, gateway: str, boot: str) -> None:
        """Of this gateway, in this process."""
        self._gateway, self._boot = gateway, boot
        self._own: dict[int, State] = {}            # the offline are not named
        self._peers: dict[str, Peer] = {}
        self._changed: set[int] = set()             # own, since the others were told
        self._full_s = float("-inf")
        self._watched: dict[W, tuple[int, ...]] = {}
        self._watchers: dict[int, set[W]] = {}
        # Of whom is watched: what the watchers know; None: some know another state than others, and `_dirty` has it.
        self._told: dict[int, State | None] = {}
        self._dirty: set[int] = set()               # of whom is watched: perhaps another state than that

    def state_of(self, user: int) -> State:
        """The best that any gateway says."""
        states = {self._own.get(user), *(peer.states.get(user) for peer in self._peers.values())}
        return "online" if "online" in states else "away" if "away" in states else "offline"

    # Our own, and the others

    def set_own(self, user: int, state: State) -> None:
        """The state of a user as the sockets of this gateway have it."""
        if self._own.get(user, "offline") == state:
            return
        if state == "offline":
            del self._own[user]
        else:
            self._own[user] = state
        self._changed.add(user)
        self._touch((user,))

    def news(self, now_s: float) -> News | None:
        """What to tell the others now; None: nothing."""
        if now_s - self._full_s >= FULL_EVERY_S:
            self._full_s = now_s
            self._changed.clear()
            return News(self._gateway, self._boot, dict(self._own), full=True)
        if not self._changed:
            return None
        changed: dict[int, State] = {user: self._own.get(user, "offline") for user in self._changed}
        self._changed.clear()
        return News(self._gateway, self._boot, changed)

    def hear(self, news: News, now_s: float) -> None:
        """What another gateway tells; our own comes back to us, too."""
        if news.gw == self._gateway:
            return
        peer = self._peers.get(news.gw)
        if peer is not None and peer.boot != news.boot:
            self._drop(news.gw)
            peer = None
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                return
            peer = self._peers[news.gw] = Peer(news.boot, now_s)
        peer.heard_s = now_s
        touched = set(news.states)
        if news.full:
            touched |= peer.states.keys()
            peer.states = {}
        for user, state in news.states.items():
            if state == "offline":
                peer.states.pop(user, None)
            elif user in peer.states or len(peer.states) < MAX_STATES:
                peer.states[user] = state
        self._touch(touched)

    def expire(self, now_s: float) -> None:
        """Whose gateway has been silent for too long is not there."""
        for gateway in [name for name, peer in self._peers.items() if now_s - peer.heard_s > SILENT_S]:
            self._drop(gateway)

    def _drop(self, gateway: str) -> None:
        self._touch(self._peers.pop(gateway).states)

    # Those who watch

    def watch(self, watcher: W, users: tuple[int, ...]) -> dict[int, State]:
        """Tell `watcher` of these from now on, and of nobody else; how they are now."""
        self.unwatch(watcher)
        if users:
            self._watched[watcher] = users
        states = {user: self.state_of(user) for user in users}
        for user, state in states.items():
            self._watchers.setdefault(user, set()).add(watcher)
            if self._told.setdefault(user, state) != state:
                self._told[user] = None
        return states

    def unwatch(self, watcher: W) -> None:
        """Tell it of nobody."""
        for user in self._watched.pop(watcher, ()):
            watchers = self._watchers[user]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[user], self._told[user]
                self._dirty.discard(user)

    def due(self) -> dict[W, dict[int, State]]:
        """What to tell whom now, of all that changed since the last time."""
        due: dict[W, dict[int, State]] = {}
        for user in self._dirty:
            state = self.state_of(user)
            if state != self._told[user]:
                self._told[user] = state
                for watcher in self._watchers[user]:
                    due.setdefault(watcher, {})[user] = state
        self._dirty.clear()
        return due

    def _touch(self, users: Iterable[int]) -> None:
        self._dirty.update(user for user in users if user in self._watchers)

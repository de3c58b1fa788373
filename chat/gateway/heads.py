"""The look at the database every two seconds that finds what nobody told us.

    heads       of all open channels: an event whose publish was lost, with none behind it that would show the hole
    joins       of people here, into channels that were not open: the notice was lost
    epoch       another one: the database was restored from a copy, and nothing known of it holds
    sessions    that ended without a notice

While Redis is away the look comes every half second, and is itself the delivery.
"""
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hotpath.core.tasks import Event as Signal
from hotpath.core.tasks import timeout

from .feeds import HEADS_AT_ONCE, Feeds, chunks
from .patience import patiently
from .roster import Roster
from .subscription import Subscription

log = logging.getLogger(__name__)

AWAY_S = 0.5
# Sessions rarely end unheard: one look in so many is at them, too.
SESSIONS_EVERY = 5
# Above all versions: what was joined before we came is read with whoever comes.
NEWEST = 2**62


class State(Protocol):
    """What is read of the database; each call blocks, and raises Unavailable."""

    def epoch(self) -> str:
        """Of the database."""
        ...

    def heads(self, channels: list[int]) -> dict[int, int]:
        """The last seq of each."""
        ...

    def joins_after(self, version: int) -> tuple[list[tuple[int, int, int, int]], int]:
        """Joins (version, channel, user, seq) behind `version`, and the newest one."""
        ...

    def sessions_alive(self, sessions: list[int]) -> dict[int, int]:
        """{session: user} of those that are neither ended nor expired, of users who are active."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """What was found."""

    epoch: str
    heads: dict[int, int]
    joins: list[tuple[int, int, int, int]]
    version: int


def look(reader: State, channels: list[int], version: int) -> Look:
    """In a thread. The epoch last: what was read before it is of that one, or of one before it."""
    heads: dict[int, int] = {}
    for some in chunks(channels, HEADS_AT_ONCE):
        heads.update(reader.heads(some))
    joins, newest = reader.joins_after(version)
    return Look(reader.epoch(), heads, joins, newest)


class Heads:
    """Looks for as long as the gateway lives."""

    def __init__(
        self, reader: State, feeds: Feeds, roster: Roster, subscription: Subscription, *, every_s: float,
        on_epoch: Callable[[], object], on_session_over: Callable[[int], object]
    ) -> None:
        """`on_epoch()`: another one, nothing known holds. `on_session_over(id)`: it ended, and nobody had told."""
        self._reader, self._feeds, self._roster, self._subscription = reader, feeds, roster, subscription
        self._every_s = every_s
        self._on_epoch, self._on_session_over = on_epoch, on_session_over
        self._version = NEWEST
        self._at_once = Signal()
        self.epoch = ""
        self.n_looks = 0

    def open(self) -> None:
        """In a task: the first look, before anybody is let in."""
        found = patiently(look, self._reader, [], NEWEST)
        self.epoch, self._version = found.epoch, found.version

    def hurry(self) -> None:
        """Look now: Redis is back, and who knows what was published meanwhile."""
        self._at_once.set()

    def run(self) -> None:
        """In a task, for ever."""
        while True:
            try:
                with timeout(self._every_s if self._subscription.is_whole else min(AWAY_S, self._every_s)):
                    self._at_once.wait()
            except TimeoutError:
                pass
            self._at_once.clear()
            self._look()
            if self.n_looks % SESSIONS_EVERY == 0:
                self._look_at_sessions()

    def _look(self) -> None:
        self.n_looks += 1
        before = {feed.id: feed.head for feed in self._feeds.all()}
        found = patiently(look, self._reader, list(before), self._version)
        if found.epoch != self.epoch or self._went_back(before, found.heads):
            log.warning("another database epoch=%s before=%s", found.epoch, self.epoch)
            self.epoch, self._version = found.epoch, found.version
            self._on_epoch()
            return
        for id, head in found.heads.items():
            feed = self._feeds.get(id)
            if feed is not None:
                self._feeds.want(feed, head)
        for _, channel, user, seq in found.joins:
            self._roster.joined(user, channel, seq)
        self._version = found.version
        self._feeds.sweep()

    def _went_back(self, before: dict[int, int], heads: dict[int, int]) -> bool:
        """Whether a log is shorter than what was delivered of it: restored, and nobody gave it a new epoch."""
        for id, head in before.items():
            feed = self._feeds.get(id)
            # Of a channel that was opened anew meanwhile, `before` says nothing.
            if feed is not None and feed.head >= head > heads.get(id, head):
                log.error("log went back channel=%d delivered=%d head=%d", id, head, heads[id])
                return True
        return False

    def _look_at_sessions(self) -> None:
        ids = list({session.session for person in self._roster.all() for session in person.sockets})
        for some in chunks(ids, HEADS_AT_ONCE):
            for id in set(some) - patiently(self._reader.sessions_alive, some).keys():
                self._on_session_over(id)

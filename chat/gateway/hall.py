"""The parts of a gateway, joined: who tells whom what.

    Redis -> subscription -> fanout -> sockets          an event, in C
                                    -> roster           somebody came or went, at that seq
    database -> feeds -> fanout                         what Redis lost
    database -> starts, backlog -> sockets              what a client has missed
    database -> heads                                   what nobody told
"""
from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Protocol

import msgspec

from hotpath.chat.auth import Ticket
from hotpath.chat.config import ChatConfig
from hotpath.chat.fanout import Fanout
from hotpath.chat.topics import Kind, channel_topic, control_topic, gateways_topic, payload, user_topic
from hotpath.core.net.loop import Loop
from hotpath.core.serve.outbox import Block
from hotpath.core.tasks import sleep

from .backlog import Backlog
from .beacon import EVERY_S, Beacon
from .door import Door
from .feeds import Feeds, Log
from .heads import Heads, State
from .presence import COALESCE_S, News, Presence
from .redisline import RedisLine, command
from .rollcall import Call, RollCall
from .roster import Roster
from .session import NO_START, SESSION_OVER, TOO_MANY_SOCKETS, Session, Stage
from .starts import Memberships, Starts
from .subscription import Subscription

log = logging.getLogger(__name__)

MOVED = 1012                # of RFC 6455's registry: the service restarts
START_WITHIN_S = 10.0
# Of a drain: clients are told moments within the first part of it, so that the slowest have the rest to come away.
DRAIN_SPREAD = 0.8
# A channel without local members is kept as long as so many head checks take: people reload pages, and what tells of a
# join may come late, again.
LINGER_LOOKS = 5
# For the answers to our close.
CLOSING_S = 2.0


class Reader(Log, Memberships, State, Protocol):
    """All that a gateway reads of the database."""


class Joined(msgspec.Struct):
    """A user became a member, at that seq."""

    channel: int
    seq: int


class Notice(msgspec.Struct):
    """What concerns one user's sockets: one of these."""

    read: dict[str, int] | None = None
    joined: Joined | None = None
    session_over: Annotated[int, msgspec.Meta(ge=1)] | None = None
    sockets: Call | None = None


class Control(msgspec.Struct):
    """What one gateway is told to do."""

    drain: bool = False


class Hall:
    """Everything in this process that is about sockets. All of it in one loop."""

    def __init__(
        self, config: ChatConfig, id: str, boot: str, listening: str, *, loop: Loop, reader: Reader, door: Door,
        redis_url: Callable[[], str], on_drained: Callable[[], object]
    ) -> None:
        """`listening`: HOST:PORT in fact bound. `boot`: of this process. `on_drained()`: everybody was sent away."""
        prefix = config.redis.prefix
        self._config, self._id, self._prefix, self._door = config, id, prefix, door
        self._on_drained = on_drained
        self.fanout = Fanout(prefix, ring=config.gateways.ring, on_gap=lambda channel: self.feeds.on_gap(channel),
                             on_membership=lambda *event: self.roster.passed(*event), on_other=self._heard)
        self.subscription = Subscription(loop, redis_url, feed=self._feed, forget=self.fanout.reset,
                                         on_whole=self._whole, on_down=lambda: self.heads.hurry())
        self.line = RedisLine(loop, redis_url, on_up=lambda: self.beacon.shine(), on_data=self._answered,
                              on_down=lambda: None)
        self.feeds = Feeds(self.fanout, reader, self.subscription, prefix,
                           linger_s=LINGER_LOOKS * config.gateways.head_check)
        self.backlog = Backlog(self.fanout, reader)
        self.roster = Roster(self.fanout, self.feeds, self.backlog, self.subscription, prefix,
                             ring=config.gateways.ring, on_doubt=lambda: self.starts.read_again())
        self.heads = Heads(reader, self.feeds, self.roster, self.subscription, every_s=config.gateways.head_check,
                           on_epoch=self._begin_anew, on_session_over=self._session_over)
        self.starts = Starts(reader, self.roster, self.feeds, self.backlog, epoch=lambda: self.heads.epoch,
                             resume_max=config.gateways.resume_max, on_ready=self.state_changed)
        self.rollcall = RollCall(id, config.limits.sockets_per_user)
        self.presence: Presence[Session] = Presence(id, boot)
        self.beacon = Beacon(self.line, config, id, boot, listening, sockets=lambda: self.n_sockets,
                             draining=lambda: door.draining)
        self._unstarted: deque[tuple[float, list[Session]]] = deque()   # by the moment at which they are given up
        self.n_sockets = 0
        ping_s = config.gateways.ping
        self._ping_s = int(ping_s) if ping_s.is_integer() else ping_s
        self.subscription.add([gateways_topic(prefix), control_topic(prefix, id)])

    def tasks(self) -> list[Callable[[], object]]:
        """What runs for as long as the gateway does."""
        return [self.subscription.line.run, self.line.run, self.feeds.hear, self.feeds.fill, self.backlog.run,
                self.starts.run, self.heads.run, self._tick]

    def end(self) -> None:
        """The process is about to end."""
        self.beacon.go_out()
        self.line.is_ending = self.subscription.line.is_ending = True

    def sessions(self) -> Iterator[Session]:
        """All sockets."""
        return (session for person in list(self.roster.all()) for session in person.sockets)

    # Sockets come, speak, go: session.Host

    @staticmethod
    def clock() -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def opened(self, session: Session, ticket: Ticket) -> None:
        """Behind the 101."""
        session.user, session.session = ticket.user, ticket.session
        person = self.roster.person(ticket.user)
        session.begin(self, person)
        self.n_sockets += 1
        self.roster.enter(session)
        limit = self._config.limits.sockets_per_user
        if len(person.sockets) > limit and len(person.open_sockets()) > limit:
            self._refuse(session)
            return
        self.rollcall.opened(ticket.user, len(person.sockets))
        session.tell({"type": "hello", "user": ticket.user, "gateway": self._id, "epoch": self.heads.epoch,
                      "ping_s": self._ping_s})
        due_s = self.clock() + START_WITHIN_S
        if not self._unstarted or self._unstarted[-1][0] < due_s - COALESCE_S:
            self._unstarted.append((due_s, []))
        self._unstarted[-1][1].append(session)

    def _refuse(self, session: Session) -> None:
        session.close(TOO_MANY_SOCKETS, f"{self._config.limits.sockets_per_user} sockets are open already")

    def start(self, session: Session, epoch: str | None, since: dict[int, int]) -> None:
        """It wants to begin."""
        session.started_epoch, session.since = epoch, since
        self.starts.add(session)

    def typing(self, session: Session, channel: int) -> bool:
        """Tell the others in the channel. False: it is not a member there."""
        if channel not in session.person.channels:
            return False
        frame = msgspec.json.encode({"type": "typing", "channel": channel, "user": session.user})
        # What we publish comes back to us, too.
        if not self.subscription.has(channel_topic(self._prefix, channel)) or not self.line.write(command(
                "PUBLISH", channel_topic(self._prefix, channel),
                payload(frame, kind=Kind.TYPING, channel=channel, seq=0, actor=session.user))):
            feed = self.feeds.get(channel)
            if feed is not None:
                self.fanout.typing(feed.channel, session.user, Block(frame, text=True))
        return True

    def watch(self, session: Session, users: tuple[int, ...]) -> None:
        """Tell it of these from now on."""
        self._tell_presence(session, self.presence.watch(session, users))

    def state_changed(self, session: Session) -> None:
        """It is ready, it is gone, or somebody came back to it."""
        person = self.roster.get(session.user)
        here = [other for other in person.sockets if other.stage is Stage.READY] if person is not None else []
        self.presence.set_own(session.person.user, "offline" if not here else
                              "away" if all(other.away for other in here) else "online")

    def left(self, session: Session) -> None:
        """It is closed."""
        self.n_sockets -= 1
        self.roster.leave(session)
        self.presence.unwatch(session)
        self.state_changed(session)

    # What Redis says

    def _feed(self, data: bytes) -> None:
        try:
            self.fanout.feed(data)
        except ValueError as error:
            log.error("redis speaks in tongues cause=%s", error)
            self.subscription.line.cut()

    def _heard(self, kind: str, topic: str, data: bytes | int | None) -> None:
        """`fanout.on_other`."""
        if kind in ("subscribe", "unsubscribe"):
            self.subscription.answered(topic)
        elif kind == "message" and isinstance(data, bytes):
            try:
                self._told(topic, data)
            except msgspec.MsgspecError as error:
                log.warning("redis: not of ours topic=%s cause=%s", topic, error)
        elif kind == "error":
            log.error("redis refuses us cause=%r", data)
            self.subscription.line.cut()

    def _told(self, topic: str, data: bytes) -> None:
        users = user_topic(self._prefix, 0)[:-1]
        if topic == gateways_topic(self._prefix):
            self.presence.hear(msgspec.json.decode(data, type=News, strict=False), self.clock())
        elif topic == control_topic(self._prefix, self._id):
            if msgspec.json.decode(data, type=Control).drain:
                self._door.draining = True      # `_tick` does the rest
        elif topic.startswith(users):
            self._notice(int(topic[len(users):]), msgspec.json.decode(data, type=Notice))

    def _notice(self, user: int, notice: Notice) -> None:
        person = self.roster.get(user)
        if person is None:
            return
        if notice.read is not None:
            block = Block(msgspec.json.encode({"type": "read", **notice.read}), text=True)
            for session in person.sockets:
                if session.stage is Stage.READY:
                    session.send_shared(block)
        if notice.joined is not None:
            self.roster.joined(user, notice.joined.channel, notice.joined.seq)
        if notice.session_over is not None:
            self._end_session(person.sockets, notice.session_over)
        if notice.sockets is not None and not self._door.draining:      # of a drain, sockets are as good as gone
            answer = self.rollcall.hear(user, notice.sockets, len(person.open_sockets()), self.clock())
            if answer is not None:
                self._call(user, answer)

    def _answered(self, data: bytes) -> None:
        """To our own commands: nobody waits for it, but a refusal should be known."""
        if data.startswith(b"-") or b"\r\n-" in data:
            log.warning("redis refuses a command answer=%r", data[:200])

    def _whole(self) -> None:
        """Redis is back, perhaps empty: what was published meanwhile is found now."""
        log.info("subscribed")
        self.heads.hurry()
        self.beacon.shine()

    # What the database says

    def _begin_anew(self) -> None:
        """Another history: clients come back and are told `reset`."""
        sessions = list(self.sessions())
        self.feeds.close_all()
        self.roster.clear()
        for session in sessions:
            session.close(MOVED, "another epoch")

    def _session_over(self, id: int) -> None:
        self._end_session(self.sessions(), id)

    def _end_session(self, sessions: Iterable[Session], id: int) -> None:
        for session in sessions:
            if session.session == id:
                session.close(SESSION_OVER, "log in again")

    # What the clock says

    def _tick(self) -> None:
        """In a task, for ever."""
        shone_s = float("-inf")
        drain_until_s = None
        while True:
            now_s = self.clock()
            if now_s - shone_s >= EVERY_S or (self._door.draining and drain_until_s is None):
                shone_s = now_s
                self.beacon.shine()
            while self._unstarted and self._unstarted[0][0] + COALESCE_S <= now_s:
                for session in self._unstarted.popleft()[1]:
                    if session.stage is Stage.OPENED:
                        session.close(NO_START, "no start")
            self._tell_gateways(now_s)
            self._count_sockets(now_s)
            self.presence.expire(now_s)
            for session, states in self.presence.due().items():
                self._tell_presence(session, states)
            if self._door.draining and drain_until_s is None:
                drain_until_s = now_s + self._config.gateways.drain
                self._send_away()
            if drain_until_s is not None and (not self.n_sockets or now_s >= drain_until_s):
                self._close_all(now_s + CLOSING_S)
                self._on_drained()
                return
            sleep(COALESCE_S)

    def _tell_gateways(self, now_s: float) -> None:
        news = self.presence.news(now_s)
        if news is not None:
            self.line.write(command("PUBLISH", gateways_topic(self._prefix), msgspec.json.encode(news)))

    def _count_sockets(self, now_s: float) -> None:
        for user, n in self.rollcall.due(now_s):
            person = self.roster.get(user)
            for session in person.open_sockets()[n:] if person is not None else ():     # the newest
                self._refuse(session)
        for user, call in self.rollcall.ask(now_s):
            self._call(user, call)

    def _call(self, user: int, call: Call) -> None:
        self.line.write(command("PUBLISH", user_topic(self._prefix, user), msgspec.json.encode({"sockets": call})))

    def _tell_presence(self, session: Session, states: object) -> None:
        session.send_transient(Block(msgspec.json.encode({"type": "presence", "users": states}), text=True))

    def _send_away(self) -> None:
        """A drain: each client comes back elsewhere, at a moment of its own."""
        log.info("draining sockets=%d", self.n_sockets)
        spread_ms = self._config.gateways.drain * DRAIN_SPREAD * 1000
        for session in self.sessions():
            session.tell({"type": "reconnect", "after_ms": int(random.uniform(0, spread_ms))})

    def _close_all(self, until_s: float) -> None:
        for session in list(self.sessions()):
            session.close(MOVED, "drained")
        while self.n_sockets and self.clock() < until_s:
            sleep(0.02)

"""From `start` to `ready`: all sockets that wait share one read of the database."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from hotpath.core.tasks import Event as Signal

from .backlog import Backlog
from .feeds import Feed, Feeds
from .patience import patiently
from .roster import Roster, Row
from .session import SESSION_OVER, Session, Stage

# Sockets of one read. A larger crowd comes in turns, so that those who are ready already are served in between.
AT_ONCE = 500


class Memberships(Protocol):
    """What is read of the database; each call blocks, and raises Unavailable."""

    def memberships(self, users: list[int]) -> dict[int, list[Row]]:
        """Of each user: (channel, joined_seq, last_seq), all as of the same moment."""
        ...

    def heads(self, channels: list[int]) -> dict[int, int]:
        """The last seq of each."""
        ...

    def sessions_alive(self, sessions: list[int]) -> dict[int, int]:
        """{session: user} of those that are neither ended nor expired, of users who are active."""
        ...


class Starts:
    """The sockets that sent `start` and were not told `ready` yet."""

    def __init__(
        self, reader: Memberships, roster: Roster, feeds: Feeds, backlog: Backlog, *, epoch: Callable[[], str],
        resume_max: int, on_ready: Callable[[Session], object]
    ) -> None:
        """`epoch()`: the database's. `resume_max`: events that a client may be behind."""
        self._reader, self._roster, self._feeds, self._backlog = reader, roster, feeds, backlog
        self._epoch, self._resume_max, self._on_ready = epoch, resume_max, on_ready
        self._waiting: deque[Session] = deque()
        self._come = Signal()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, session: Session) -> None:
        """It wants to begin; `since` and `started_epoch` say where."""
        self._waiting.append(session)
        self._come.set()

    def read_again(self) -> None:
        """The roster doubts what it knows of somebody."""
        self._come.set()

    def run(self) -> None:
        """In a task, for ever."""
        while True:
            self._come.wait()
            self._come.clear()
            while self._waiting or self._roster.doubted:
                self._start([self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))])

    def _start(self, sessions: list[Session]) -> None:
        sessions = [session for session in sessions if session.stage is Stage.STARTING]
        users = list({session.user for session in sessions} | self._roster.doubted)
        self._roster.begin_reading(users)
        epoch = self._epoch()
        rows, alive = patiently(read, self._reader, users, list({session.session for session in sessions}))
        if epoch != self._epoch():
            # Read of we do not know which database; and these sockets are being closed.
            return
        lowest = self._lowest(sessions)
        needed: dict[Feed, int] = {}
        again: set[int] = set()
        for user in users:
            learned = self._roster.learn(user, rows.get(user, ()), lowest)
            if learned is None:
                again.add(user)
                self._roster.doubted.add(user)
                continue
            for feed, seq in learned.items():
                needed[feed] = max(seq, needed.get(feed, 0))
        self._feeds.settle(needed | self._left(users, rows))
        # No switch from here on: what `ready` says, and what each channel goes on with, is one moment.
        for session in sessions:
            if session.stage is not Stage.STARTING:
                continue
            if session.session not in alive:
                session.close(SESSION_OVER, "log in again")
            elif session.user in again:
                self.add(session)
            else:
                self._be_ready(session)

    def _left(self, users: list[int], rows: dict[int, list[Row]]) -> dict[Feed, int]:
        """Channels that users have left as the database says, and not as their logs have come here; and their heads.

        A client may know of its member.left already, from another gateway.
        """
        left = {id for user in users for id in self._roster.channels_of(user) - {row[0] for row in rows.get(user, ())}}
        if not left:
            return {}
        heads = patiently(self._reader.heads, list(left))
        return {feed: heads.get(id, 0) for id in left if (feed := self._feeds.get(id)) is not None}

    def _lowest(self, sessions: list[Session]) -> dict[int, int]:
        """Of each channel that can be resumed, the lowest seq that a client has."""
        lowest: dict[int, int] = {}
        for session in sessions:
            if session.started_epoch == self._epoch():
                for id, seq in (session.since or {}).items():
                    lowest[id] = min(seq, lowest.get(id, seq))
        return lowest

    def _be_ready(self, session: Session) -> None:
        """Position first, then data: `ready`, and behind it each channel's events from its `from` on."""
        since = (session.since or {})
        is_same = session.started_epoch == self._epoch()
        told, begun = [], []
        for id, joined_seq in session.person.channels.items():
            feed = self._feeds.get(id)
            if feed is None:
                continue
            head = feed.head
            status, sent = where(since.get(id), head, is_same=is_same, resume_max=self._resume_max)
            told.append({"id": id, "head": head, "status": status, "from": sent + 1})
            # The own last joined lies in what is resumed: there may be an own member.left before it.
            begun.append((feed, sent, joined_seq if sent < joined_seq - 1 else 0))
        session.stage = Stage.READY
        session.since = session.started_epoch = None
        session.tell({"type": "ready", "epoch": self._epoch(), "channels": told})
        for feed, sent, barrier in begun:
            self._backlog.begin(session, feed, sent=sent, barrier=barrier)
        self._on_ready(session)
        session.be_ready()


def where(since: int | None, head: int, *, is_same: bool, resume_max: int) -> tuple[str, int]:
    """How a channel begins for a client that has it up to `since`: the status, and the last event it is not sent."""
    if since is None:
        return "live", head
    if not is_same or since > head or head - since > resume_max:
        return "reset", head
    return "resumed", since


def read(reader: Memberships, users: list[int], sessions: list[int]) -> tuple[dict[int, list[Row]], dict[int, int]]:
    """In a thread."""
    return reader.memberships(users), reader.sessions_alive(sessions)

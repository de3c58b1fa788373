"""One transaction of the writer: the channels it holds, the events it appends to their logs."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from .database import MEMBERSHIP_VERSION
from .errors import Refused
from .events import JOINED, LEFT, Event, Notice, event_frame
from .failures import meaning
from .statements import ROWS, Statements, Value, marks, slices

log = logging.getLogger(__name__)

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class ChannelRow:
    """A channel as this transaction sees it; `last_seq` is stored when the transaction ends."""

    id: int
    kind: str
    name: str | None
    topic: str
    archived: bool
    deleted: bool
    last_seq: int
    published_seq: int
    created_at: int
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """Who one is in a channel."""

    role: str               # "": none
    is_admin: bool
    joined_seq: int = 0
    last_read: int = 0
    rev: int = 0


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


CHANNEL_COLUMNS = "id, kind, name, topic, archived, deleted, last_seq, published_seq, created_at"


class Transaction:
    """What operations see of the database, and what becomes of them when it is committed."""

    def __init__(self, rows: Statements, *, now_ms: int, text_limit: int) -> None:
        self.rows = rows
        self.now_ms = now_ms
        self.text_limit = text_limit
        self.events: list[Event] = []
        self.notices: list[Notice] = []
        self._event_rows: list[tuple[Value, ...]] = []
        self._channels: dict[int, ChannelRow] = {}
        self._made: list[int] = []      # channels that did not exist before

    # ---- items

    def item(self, work: Callable[[Transaction], T]) -> T:
        """`work` in a savepoint: when it raises, nothing of it stays, and the rest of the transaction is untouched."""
        n_events, n_notices, n_made = len(self.events), len(self.notices), len(self._made)
        self.savepoint()
        try:
            result = work(self)
        except BaseException as error:
            if meaning(error).ends_transaction:
                raise
            self.rollback_to_savepoint()
            for event in reversed(self.events[n_events:]):
                self._channels[event.channel].last_seq = event.seq - 1
            for channel in self._made[n_made:]:
                del self._channels[channel]
            del self.events[n_events:], self._event_rows[n_events:], self.notices[n_notices:], self._made[n_made:]
            raise
        self.release_savepoint()
        return result

    def savepoint(self) -> None:
        """Where `rollback_to_savepoint` goes back to."""
        self.rows.run("SAVEPOINT item")

    def release_savepoint(self) -> None:
        """Keep what was done since."""
        self.rows.run("RELEASE SAVEPOINT item")

    def rollback_to_savepoint(self) -> None:
        """Undo what was done since."""
        self.rows.run("ROLLBACK TO SAVEPOINT item")
        self.release_savepoint()

    # ---- channels

    def hold(self, channels: Iterable[int]) -> None:
        """Lock and read these channels, in the order of their ids: so writers of several processes cannot deadlock."""
        for some in slices(sorted(set(channels) - self._channels.keys())):
            for row in self.rows.all(f"SELECT {CHANNEL_COLUMNS} FROM channels WHERE id IN ({marks(some)}) ORDER BY id"
                                     f"{self.rows.for_update}", some):
                self._channels[row[0]] = ChannelRow(*row)

    def held(self, channel: int) -> ChannelRow | None:
        """One that `hold` found, deleted or not."""
        return self._channels.get(channel)

    def channel(self, channel: int) -> ChannelRow:
        """One that lives. Refused 404."""
        if channel not in self._channels:
            self.hold([channel])
        row = self._channels.get(channel)
        if row is None or row.deleted:
            raise Refused(404, f"there is no channel {channel}")
        return row

    def member(self, channel: int, user: int) -> Member:
        """Who `user` is in `channel`. Refused 403: an account that is no more."""
        row = self.rows.one(
            "SELECT u.admin, u.active, m.role, m.joined_seq, m.last_read, m.rev FROM users u "
            "LEFT JOIN memberships m ON m.user_id = u.id AND m.channel_id = ? WHERE u.id = ?", (channel, user))
        if row is None or not row[1]:
            raise Refused(403, "this account is not active")
        if row[2] is None:
            return Member("", bool(row[0]))
        return Member(row[2], bool(row[0]), row[3], row[4], row[5])

    def entered(self, channel: int, user: int) -> tuple[ChannelRow, Member]:
        """The channel and who `user`, a member of it, is there. Refused 404 private, 403 public."""
        row = self.channel(channel)
        member = self.member(channel, user)
        if not member.role:
            raise outside(row.kind, channel)
        return row, member

    # ---- the log

    def next_seq(self, channel: ChannelRow) -> int:
        """The seq of the event that is appended next: under the channel's row lock, so it is the order of commits."""
        return channel.last_seq + 1

    def append(self, channel: ChannelRow, kind: str, actor: int, data: dict[str, Any]) -> int:
        """Append an event; its seq."""
        seq = self.next_seq(channel)
        text = _encode(data).decode()
        self._event_rows.append((channel.id, seq, kind, actor, text, self.now_ms))
        frame = event_frame(channel.id, seq, kind, actor, text, self.now_ms)
        if kind in (JOINED, LEFT):
            event = Event(channel.id, seq, kind, actor, frame, data["user"], kind == JOINED, kind == LEFT)
        else:
            event = Event(channel.id, seq, kind, actor, frame)
        self.events.append(event)
        channel.last_seq = seq
        channel.is_changed = True
        return seq

    def created(self, channel: ChannelRow) -> None:
        """Hold a channel that this transaction made."""
        self._channels[channel.id] = channel
        self._made.append(channel.id)

    def mark_published(self, channel: int, after: int, last: int) -> None:
        """Everything up to `after` was published before, and now so is what follows, up to `last`."""
        self.hold([channel])
        row = self.held(channel)
        if row is not None and after <= row.published_seq < last:
            row.published_seq = last
            row.is_changed = True

    def notify(self, user: int, body: dict[str, Any]) -> None:
        """Tell the sockets of one user, after the commit."""
        self.notices.append(Notice(user, body))

    def next_membership_version(self) -> int:
        """One more than the last. Its row stays locked until the commit, so versions are seen in their order."""
        row = self.rows.one(f"SELECT value FROM meta WHERE name = ?{self.rows.for_update}", (MEMBERSHIP_VERSION,))
        assert row is not None
        version = int(row[0]) + 1
        self.rows.run("UPDATE meta SET value = ? WHERE name = ?", (str(version), MEMBERSHIP_VERSION))
        return version

    def insert_messages(self, rows: list[tuple[Value, ...]]) -> list[int]:
        """Store rows of messages, all columns from channel_id to deleted but edited_at; their ids."""
        columns = "channel_id, seq, user_id, client_msg_id, text, digest, root_id, at, deleted"
        if self.rows.is_sqlite:
            # Nobody else writes meanwhile, so we may count on from the last id that was ever given.
            row = self.rows.one("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
            first = (row[0] if row else 0) + 1
            ids = list(range(first, first + len(rows)))
            self.rows.insert_many(f"messages (id, {columns})", [(id, *row) for id, row in zip(ids, rows, strict=True)])
            return ids
        # The ids of one INSERT whose rows are counted beforehand follow each other, in any innodb_autoinc_lock_mode.
        first = self.rows.insert_many(f"messages ({columns})", rows)
        return [first + n * self.rows.id_step for n in range(len(rows))]

    # ---- the end

    def finish(self) -> None:
        """Store what was gathered: the last statements before COMMIT."""
        self.rows.insert_many("events (channel_id, seq, kind, actor, data, at)", self._event_rows)
        changed = [channel for channel in self._channels.values() if channel.is_changed]
        for start in range(0, len(changed), ROWS):
            self._store_seqs(changed[start:start + ROWS])

    def _store_seqs(self, channels: list[ChannelRow]) -> None:
        cases = " ".join(["WHEN ? THEN ?"] * len(channels))
        ids = [channel.id for channel in channels]
        self.rows.run(
            f"UPDATE channels SET last_seq = CASE id {cases} END, published_seq = CASE id {cases} END "
            f"WHERE id IN ({marks(ids)})",
            [*(value for channel in channels for value in (channel.id, channel.last_seq)),
             *(value for channel in channels for value in (channel.id, channel.published_seq)), *ids])


def outside(kind: str, channel: int) -> Refused:
    """What one who is no member is told: of a private channel not even that it exists."""
    if kind == "public":
        return Refused(403, f"join channel {channel} first")
    return Refused(404, f"there is no channel {channel}")

"""One replica: a table, and a journal in front of every answer.

A write goes into the table and into the journal's open group in one breath, and is answered when the group is on disk;
until then its key is pending, and whoever would show it waits as well. What others send goes the other way round: it is
judged, journalled, and enters the table once it is on disk. So nobody is ever shown what a crash could take back.
"""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from hotpath.core.data.crc32c import crc32c
from hotpath.core.data.lww import (
    BiasMismatch,
    Damaged,
    LWWTable,
    Stamp,
    StampMismatch,
    parse,
    records,
    split,
)
from hotpath.core.errors import HotpathError
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import current, offload

from .changes import Changes
from .commits import Commits
from .journal import Journal, Unavailable

__all__ = ["BiasMismatch", "Damaged", "DriftTooLarge", "Merged", "Outcome", "Replica", "TooOld", "Unavailable", "Wish"]

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# What a record holds beside key and payload: its frame, and the head of its cell.
RECORD_BYTES = 8 + 23

# The group of a write that is between table and journal: later than any.
OPEN = 1 << 62


class Merged(NamedTuple):
    """What became of the cells of a merge."""

    applied: int
    ignored: int
    stale: int


class DriftTooLarge(HotpathError):
    """A cell is stamped further ahead of this host's clock than is believed; nothing was merged."""

    def __init__(self, local_ms: int, remote_ms: int) -> None:
        """Both clocks, in ms since 1970."""
        super().__init__(f"a cell is {remote_ms - local_ms} ms ahead of this replica's clock")
        self.local_ms = local_ms
        self.remote_ms = remote_ms

    def __reduce__(self) -> tuple[type[DriftTooLarge], tuple[int, int]]:
        """Pickle by the two clocks."""
        return type(self), (self.local_ms, self.remote_ms)


class TooOld(HotpathError):
    """A cell is older than what may still enter here; nothing was merged."""


class Wish(NamedTuple):
    """One operation on one key."""

    op: str                                     # add | replace | put | remove
    key: bytes
    payload: bytes = b""
    # The stamps of which one must be live; None: it does not matter. `live`: any of them.
    match: frozenset[str] | None = None
    live: bool = False


class Outcome(NamedTuple):
    """What became of a wish."""

    verdict: str                                # created | updated | removed | exists | absent | mismatch
    stamp: Stamp | None                         # of what was written, or of what stands in its way

    @property
    def done(self) -> bool:
        """Whether something was written."""
        return self.verdict in ("created", "updated", "removed")


class Counts:
    """What this replica has seen since it started."""

    def __init__(self) -> None:
        self.ignored = 0            # before they came near the table, which counts its own
        self.stale = 0
        self.drift = 0              # merges refused: ahead of our clock
        self.old = 0                # merges refused: behind the promise
        self.damaged = 0
        self.overwritten = 0        # live values that a merge replaced


class Replica:
    """Reads, writes and merges of one replica, from tasks of one loop and from plain threads alike."""

    def __init__(self, table: LWWTable, *, keep: int = 65536, max_drift_s: float = 5.0) -> None:
        """Of an empty table; `open` must follow. `keep`: changes for those who watch."""
        self.name: str = table.replica
        self.bias: str = table.bias
        self.table = table
        self.changes = Changes(keep)
        self.counts = Counts()
        # Why writes answer 503; None: they do not.
        self.suspended: str | None = None
        # Encoded cells that entered the table and are on disk; called soon after, never in the loop's thread.
        self.on_winners: list[Callable[[list[bytes]], None]] = []
        self._max_drift_ms = round(max_drift_s * 1000)
        self._pending: dict[bytes, int] = {}                # key: its last group
        self._groups: deque[tuple[int, list[bytes]]] = deque()     # cells of each group that is not on disk yet

    def open(self, journal: Journal, loop: Loop) -> None:
        """The table holds what `journal` has; the tasks that will ask run on `loop`."""
        self.journal = journal
        # Held from the table to the journal: neither can the disk fill up in between, nor anybody see what is not
        # pending yet.
        self._lock = journal.lock
        self.changes.open(loop)
        # Before Commits: a task that wakes must not find its own key pending.
        journal.on_commit.append(self._committed)
        self._commits = Commits(journal, loop)

    # One key

    def read(self, key: bytes) -> tuple[Stamp, int, bytes] | None:
        """(stamp, tag, body), tag 0 raw, 1 JSON, -1 removed; None: never seen, or collected. Raises Unavailable."""
        found = self.table.read(key)
        # Looked at after the table: what a writer shows there it has made pending before.
        if self._pending and key in self._pending:
            self._wait_for(key)
        return found

    def write(self, wish: Wish) -> Outcome:
        """Do it and wait until it is on disk, and so does a refusal for what it shows. Raises Unavailable."""
        return self.batch((wish,))[0]

    def batch(self, wishes: Sequence[Wish]) -> list[Outcome]:
        """Each in order, with one sync behind all. No transaction: one that is refused stops none. Raises Unavailable.

        Every key and payload must be one that the table takes.
        """
        cells: list[bytes] = []
        outcomes: list[Outcome] = []
        with self._lock:
            self._must_be_writable()
            try:
                for wish in wishes:
                    outcomes.append(self._judge(wish, cells))
            finally:
                # What is in the table is owed to the journal, whatever came of the rest.
                ticket = self._append(cells) if cells else 0
            for wish, outcome in zip(wishes, outcomes, strict=True):
                if not outcome.done:
                    ticket = max(ticket, self._pending.get(wish.key, 0))
        if ticket:
            self._commits.wait(ticket)
        return outcomes

    def _must_be_writable(self) -> None:
        if self.suspended is not None:
            raise Unavailable(self.suspended)
        if self.journal.full:
            raise Unavailable("the disk is full")

    def _judge(self, wish: Wish, cells: list[bytes]) -> Outcome:
        """Under the lock; a merge may come between two looks at the table, and then we look again."""
        key = wish.key
        before = self._pending.get(key)
        self._pending[key] = OPEN
        written = len(cells)
        try:
            while True:
                found = self.table.read(key)
                is_live = found is not None and found[1] >= 0
                stamp = found[0] if found is not None else None
                if wish.live or wish.match is not None:
                    if not is_live or (wish.match is not None and str(stamp) not in wish.match):
                        return Outcome("mismatch", stamp if is_live else None)
                elif wish.op == "add" and is_live:
                    return Outcome("exists", stamp)
                elif wish.op == "replace" and not is_live:
                    return Outcome("absent", stamp)
                try:
                    cells.append(self._written(wish, stamp if is_live else None))
                except (KeyError, StampMismatch):
                    continue
                stamp = parse(cells[-1])[1]
                return Outcome("removed" if wish.op == "remove" else "updated" if is_live else "created", stamp)
        finally:
            if len(cells) == written:
                if before is None:
                    del self._pending[key]
                else:
                    self._pending[key] = before

    def _written(self, wish: Wish, live: Stamp | None) -> bytes:
        """The cell; KeyError or StampMismatch: the key is no longer as we saw it, live with this stamp or not live."""
        if wish.op == "remove" and not wish.live and wish.match is None:
            return self.table.write("remove", wish.key)
        if live is None:
            return self.table.write("add", wish.key, wish.payload)
        op = "remove" if wish.op == "remove" else "replace"
        return self.table.write(op, wish.key, wish.payload, expect=live)

    def _append(self, cells: list[bytes]) -> int:
        """Under the lock: into the open group."""
        ticket = self.journal.append(b"".join(map(record_of, cells)), int.from_bytes(cells[-1][:8], "big"))
        for cell in cells:
            self._pending[key_of(cell)] = ticket
        if self._groups and self._groups[-1][0] == ticket:
            self._groups[-1][1].extend(cells)
        else:
            self._groups.append((ticket, cells))
        return ticket

    def _committed(self, ticket: int) -> None:
        """In the journal's thread."""
        cells: list[bytes] = []
        with self._lock:
            while self._groups and self._groups[0][0] <= ticket:
                cells += self._groups.popleft()[1]
            for cell in cells:
                key = key_of(cell)
                if self._pending.get(key, OPEN) <= ticket:
                    del self._pending[key]
        if cells:
            self._publish(cells)

    def _publish(self, cells: list[bytes]) -> None:
        self.changes.publish(cells)
        for tell in self.on_winners:
            try:
                tell(cells)
            except Exception:
                log.exception("winners not told cells=%d", len(cells))

    def _wait_for(self, key: bytes) -> None:
        with self._lock:
            ticket = self._pending.get(key)
        if ticket is not None:
            self._commits.wait(ticket)

    # Many keys

    def page(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, Stamp, int, bytes]]:
        """At most `limit` live keys with `prefix`, in byte order behind `after`: (key, stamp, tag, body)."""
        found = self._in_a_thread(self.table.page, prefix, after, limit)
        self.barrier()
        return found

    def delta(self) -> bytes:
        """Every cell."""
        found = self._in_a_thread(self.table.delta)
        self.barrier()
        return found

    def barrier(self) -> None:
        """Wait until all that was in the table when called is on disk. Raises Unavailable."""
        self._commits.wait(self.journal.barrier())

    @staticmethod
    def _in_a_thread(fn: Callable[..., Answer], *args: object) -> Answer:
        """Of the caller's own, if it has one: tasks must not keep their loop for so long."""
        return fn(*args) if current() is None else offload(fn, *args)

    # What others send

    def merge(self, delta: bytes, *, least_hlc: int = 0) -> Merged:
        """Merge and wait until it is on disk and in the table. `least_hlc`: at and below it nothing may enter.

        Raises Damaged, BiasMismatch, DriftTooLarge, TooOld, Unavailable: nothing was merged.
        """
        return self._in_a_thread(self._merge, delta, least_hlc)

    def _merge(self, delta: bytes, least_hlc: int) -> Merged:
        try:
            n, least, greatest = self.table.examine(delta)
        except (Damaged, BiasMismatch):
            self.counts.damaged += 1
            raise
        if n == 0:
            return Merged(0, 0, 0)
        local_ms = self.table.wall()
        if greatest >> 16 > local_ms + self._max_drift_ms:
            self.counts.drift += 1
            raise DriftTooLarge(local_ms, greatest >> 16)
        if least <= least_hlc:
            self.counts.old += 1
            raise TooOld("a cell is older than what may still enter here")
        winners, ignored, stale = self.table.winning(delta)
        self.counts.ignored += ignored
        self.counts.stale += stale
        cells = split(winners)
        if cells:
            applied, ignored_late, stale_late = self._merge_winners(winners, cells, greatest)
            ignored, stale = ignored + ignored_late, stale + stale_late
        else:
            applied = 0
        if ignored:
            # They may have lost to a write that is not on disk yet: were it lost, so would they be.
            self.barrier()
        return Merged(applied, ignored, stale)

    def _merge_winners(self, winners: bytes, cells: list[bytes], greatest: int) -> tuple[int, int, int]:
        ticket = self.journal.append_ahead(records(winners), greatest)
        try:
            self.journal.wait(ticket)
            self.counts.overwritten += sum(map(self._overwrites, cells))
            merged = self.table.merged(winners)
        finally:
            self.journal.entered(ticket)
        self._publish(cells)
        return merged

    def _overwrites(self, cell: bytes) -> bool:
        found = self.table.read(key_of(cell))
        return found is not None and found[1] >= 0

    def snapshot(self) -> tuple[bytes, int]:
        """What the journal asks for once all that its older segments hold is in the table; and the floor."""
        floor = self.table.floor
        return self.table.delta(), floor

    @property
    def live_bytes(self) -> int:
        """What the journal would have to hold, at least."""
        held = self.table.stats()
        return held["bytes"] + RECORD_BYTES * (held["live"] + held["tombstones"])

    def collect(self, upto: int) -> int:
        """In a plain thread: drop tombstones up to there, once the floor is on disk; how many. Raises Unavailable."""
        if upto <= self.table.floor:
            return 0
        self.journal.wait(self.journal.append_control("floor", upto))
        return self.table.collect(upto)

    def stats(self) -> dict[str, object]:
        """What `/stats` says of the data."""
        held = self.table.stats()
        return {
            **held, "ignored": held["ignored"] + self.counts.ignored, "stale": held["stale"] + self.counts.stale,
            "replica": self.name, "bias": self.bias, "clock": self.table.clock, "pending": len(self._pending),
            "overwritten": self.counts.overwritten, "suspended": self.suspended,
            "refused": {"drift": self.counts.drift, "old": self.counts.old, "damaged": self.counts.damaged},
            "journal": dict(self.journal.stats()),
        }


def key_of(cell: bytes) -> bytes:
    """The key of a sound encoded cell."""
    return cell[23:23 + int.from_bytes(cell[17:19], "big")]


def record_of(cell: bytes) -> bytes:
    """As the journal holds it."""
    return b"%b%b%b" % (len(cell).to_bytes(4, "big"), crc32c(cell).to_bytes(4, "big"), cell)

"""Does every copied row equal its original, and is every key of the old shard marked on the new one?

Both are answered by two sums over a few slots at a time. The new shard gives, in one snapshot, the sum over rows whose
mark is clean, and the keys whose mark is dirty; the old shard, whose rows are frozen, the sum over all its rows less
those of the dirty keys. Only a mover makes clean marks, each with its row; so if the sums are equal, every row of the
old shard has either its equal copy or a dirty mark. Where they differ, the rows' checks are compared one by one.
"""
from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, cast

from hotpath.shard import steps
from hotpath.shard.engine import Session, Value
from hotpath.shard.schema import Key
from hotpath.shard.topology import Move, Slots, Topology

from .copy import runs_behind
from .cursor import START
from .job import Blocked, Job, Lane
from .reshard import Progress
from .sql import DIRTY, DIRTY_RUN, MARKS

T = TypeVar("T")
R = TypeVar("R")

# Rows of one look, about: some 10 ms of a server's time.
ROWS = 4000
# A run of slots with no rows costs a question all the same.
MOST_SLOTS = 4096
KEYS = 1000
# Differing keys that are told by name.
SHOWN = 20


@dataclass
class Differences:
    """Keys, for people; the counts are complete."""

    missing: int = 0            # marked as copied, and not there
    different: int = 0
    unmarked: int = 0           # on the new shard without a mark, or never copied
    keys: list[tuple[str, Value]] = field(default_factory=list)     # (what, key)

    def add(self, what: str, key: Value) -> None:
        """One more."""
        setattr(self, what, getattr(self, what) + 1)
        if len(self.keys) < SHOWN:
            self.keys.append((what, key))

    def __bool__(self) -> bool:
        return bool(self.missing or self.different or self.unmarked)


def verify_move(job: Job, topology: Topology, move: Move, progress: Progress) -> None:
    """From where it was left. Raises Blocked, naming what differs."""
    slots, rows = progress.slots_verified, progress.verified
    behind = list(move.slots)[slots - 1] if slots else START
    lanes = list(job.lanes(topology, [move]))

    def compared(run: tuple[int, int]) -> list[tuple[int, Differences]]:
        return [compare(lane, *run) for lane in lanes]

    # Two at a time: while one asks the new shard, the other asks the old one.
    with ThreadPoolExecutor(2, "hotpath-shard-verify") as pool:
        began_s = time.monotonic()
        for (first, last), found in _in_order(pool, compared, groups(move.slots, progress.total or 0, behind=behind)):
            for lane, (n, differences) in zip(lanes, found, strict=True):
                if differences:
                    raise Blocked(_told(lane, differences))
                rows += n
            slots += last - first + 1
            job.note(move.id, verified=rows, slots_verified=slots)
            job.beat("verifying")
            job.ease("verifying", time.monotonic() - began_s)
            began_s = time.monotonic()


def _in_order(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Each with what `work` makes of it, two being worked on."""
    under_way: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        under_way.append((item, pool.submit(work, item)))
        if len(under_way) > 1:
            item, future = under_way.popleft()
            yield item, future.result()
    for item, future in under_way:
        yield item, future.result()


def _told(lane: Lane, found: Differences) -> str:
    keys = ", ".join(f"{lane.sql.shown(key)} ({what})" for what, key in found.keys)
    return (f"verify: {lane.table.name}: {lane.move.target} does not hold what {lane.move.source} does: "
            f"{found.missing} missing, {found.different} different, {found.unmarked} without a mark: {keys}")


def groups(slots: Slots, rows: int, *, behind: int = START) -> Iterator[tuple[int, int]]:
    """`slots` behind one of them, in runs of about ROWS, given how many rows there are in all."""
    size = max(1, min(MOST_SLOTS, ROWS * len(slots) // max(1, rows)))
    for first, last in runs_behind(slots, behind):
        for start in range(first, last + 1, size):
            yield start, min(start + size - 1, last)


def compare(lane: Lane, first: int, last: int) -> tuple[int, Differences]:
    """The slots `first` to `last` of its table: rows of the old shard, and what is wrong. Raises Foreign."""
    found = Differences()
    with lane.target.snapshot() as new, lane.source.reading() as old:
        sums = look(lane, new, old, first, last)
        if not sums.agree:
            _name(lane, new, old, first, last, found)
        lane.unchanged(new, lane.target)
        lane.unchanged(old, lane.source)
    steps.reached("verify: compared")
    return sums.old_rows, found


@dataclass(frozen=True, slots=True)
class Sums:
    """Of some slots of a table: rows on either shard, and whether all of the old one's are copied or dirty there."""

    new_rows: int
    old_rows: int
    agree: bool


def look(lane: Lane, new: Session, old: Session, first: int, last: int) -> Sums:
    """`new`: in a snapshot."""
    marks, _, dirty = _ints(new.rows(MARKS, (lane.sql.tbl, first, last)))
    count, total = _ints(old.rows(lane.sql.sum, (first, last)))
    if not dirty:
        # Most slots, most of the time; and rows need not be looked up in the marks.
        rows, copied = _ints(new.rows(lane.sql.sum, (first, last)))
        return Sums(rows, count, rows == marks == count and copied == total)
    rows, marked, clean, copied = _ints(new.rows(lane.sql.clean_sum, (lane.sql.tbl, first, last)))
    others = 0
    for keys in dirty_keys(lane, new, first, last):
        n, part = _ints(old.rows(lane.sql.sum_of(len(keys)), keys))
        others, total = others + n, total - part
    return Sums(rows, count, rows == marked and (clean, copied) == (count - others, total))


def _name(lane: Lane, new: Session, old: Session, first: int, last: int, found: Differences) -> None:
    """Which keys it is."""
    there = {cast(Key, key): (crc, dirty)
             for _, key, crc, dirty in new.rows(lane.sql.clean_rows, (lane.sql.tbl, first, last))}
    dirty = {key for keys in dirty_keys(lane, new, first, last) for key in keys}
    for _, key, crc in old.rows(lane.sql.crcs, (first, last)):
        if key in dirty:
            continue
        copy = there.pop(cast(Key, key), None)
        if copy is None:
            found.add("missing", key)
        elif copy[1] is None:
            found.add("unmarked", key)
        elif copy[0] != crc:
            found.add("different", key)
    for key, (_, mark) in there.items():
        if key not in dirty:
            found.add("unmarked" if mark is None else "different", key)


def _ints(rows: list[tuple[Value, ...]]) -> list[int]:
    return [int(cast(int, value or 0)) for value in rows[0]]


def dirty_keys(lane: Lane, session: Session, first: int, last: int) -> Iterator[list[Key]]:
    """The dirty keys of some slots, as the driver takes them, KEYS at a time."""
    rows = session.rows(DIRTY_RUN, (lane.sql.tbl, first, last, KEYS))
    while rows:
        yield [lane.sql.key_of(cast(bytes, k)) for _, k in rows]
        if len(rows) < KEYS:
            return
        slot, k = rows[-1]
        rows = session.rows(DIRTY, (lane.sql.tbl, slot, k, KEYS))
        if len(rows) < KEYS and cast(int, slot) < last:
            rows += session.rows(DIRTY_RUN, (lane.sql.tbl, cast(int, slot) + 1, last, KEYS - len(rows)))

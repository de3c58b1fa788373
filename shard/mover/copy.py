"""Rows of a moving slot from the old shard to the new one, each with its mark, and none that has one."""
from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from hotpath.shard import steps
from hotpath.shard.engine import Session, Shard, Value
from hotpath.shard.engine.errors import Duplicate
from hotpath.shard.schema import Key, mark_of
from hotpath.shard.topology import Slots

from . import cursor
from .cursor import Cursor
from .job import Blocked, Job, Lane
from .sql import known_marks, new_marks

# Of the values of a chunk; as text they may be twice that. Below what any server takes in one statement.
MAX_BYTES = 4 * 1024**2
# Somebody else's mark may come between our look and our insert, each of a key once. After so many times in a row
# that nothing new was seen, it is no race.
TRIES = 5


@dataclass(frozen=True, slots=True)
class Place:
    """All of a slot up to a key's mark."""

    slot: int
    k: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the next transaction writes: the rows of keys without a mark, out of a stretch that ends at `end`."""

    begin: Cursor
    end: Place
    last: bool
    keys: tuple[tuple[int, Key], ...]           # (slot, key) of what is new
    rows: list[tuple[Value, ...]]


def copy(job: Job, lane: Lane) -> Iterator[Cursor]:
    """From where its cursor stands to the end; yields it behind each chunk. Raises Blocked, Foreign, Interrupted."""
    at = cursor.begun(job, lane, "copy", lane.target, "copying")
    if at.done:
        return
    # While one chunk is written, the next one is read: the source's rows cannot change any more.
    with ThreadPoolExecutor(1, "hotpath-shard-copy") as ahead:
        chunk = read_chunk(lane, at, job.throttle.size)
        while True:
            job.pace("copying")
            begin = chunk.begin.stepped(chunk.end.slot, chunk.end.k, copied=len(chunk.keys), done=chunk.last)
            following = None if chunk.last else ahead.submit(read_chunk, lane, begin, job.throttle.size)
            with job.timed(lambda chunk=chunk: len(chunk.keys)):        # type: ignore[misc]
                at = write_chunk(lane, chunk)
            pair = (lane.move.source, lane.move.target)
            job.moved[pair] = job.moved.get(pair, 0) + at.copied - chunk.begin.copied
            yield at
            if following is None:
                return
            if at == begin:
                chunk = following.result()
            else:   # marks came in between: its counts are others
                following.cancel()
                chunk = read_chunk(lane, at, job.throttle.size)


def read_chunk(lane: Lane, at: Cursor, size: int) -> Chunk:
    """The next one behind `at`, of `size` keys at most."""
    with lane.source.reading() as session:
        keys, last = page(lane, session, at.slot, at.k, size)
        marks = marked(lane, lane.target, keys)
        new = tuple(key for key in keys if mark_of(key[1]) not in marks)
        rows = rows_of(lane, session, [key for _, key in new])
        lane.unchanged(session, lane.source)
    if len(rows) != len(new) or any(row[0] is None and len(row) == 1 for row in rows):
        raise Blocked(f"{lane.table.name}: {len(new)} keys of {lane.move.source} have {len(rows)} rows that can be "
                      f"read, from {lane.sql.shown(new[0][1])} to {lane.sql.shown(new[-1][1])}")
    steps.reached("copy: rows read")
    end = Place(keys[-1][0], mark_of(keys[-1][1])) if keys else Place(at.slot, at.k)
    return Chunk(at, end, last, new, rows)


def write_chunk(lane: Lane, chunk: Chunk) -> Cursor:
    """In one transaction of the target; where its cursor stands then."""
    tries = TRIES
    while tries:
        after = chunk.begin.stepped(chunk.end.slot, chunk.end.k, copied=len(chunk.keys), done=chunk.last)

        def work(session: Session, chunk: Chunk = chunk, after: Cursor = after) -> None:
            lane.locked(session, lane.target)
            make_marks(lane, session, chunk.keys)
            insert(lane, session, chunk.rows)
            cursor.step(lane, "copy", session, chunk.begin, after)
            steps.reached("copy: before commit")

        try:
            lane.target.write(work)
        except Duplicate:
            before = len(chunk.keys)
            chunk = without_marked(lane, chunk)
            # A client that was faster is seen by its mark; there are only so many keys to be faster at.
            tries = TRIES if len(chunk.keys) < before else tries - 1
            continue
        steps.reached("copy: committed")
        return after
    raise Blocked(f"{lane.table.name}: rows stand on {lane.move.target} without a mark, between "
                  f"{lane.sql.shown(chunk.keys[0][1])} and {lane.sql.shown(chunk.keys[-1][1])}")


def without_marked(lane: Lane, chunk: Chunk) -> Chunk:
    """The same, less what a client's write brought along meanwhile. Raises Blocked if rows stand there unmarked."""
    marks = marked(lane, lane.target, chunk.keys)
    new = tuple(key for key in chunk.keys if mark_of(key[1]) not in marks)
    if len(new) == len(chunk.keys):
        stray = _there(lane, [key for _, key in new])
        if stray and not marked(lane, lane.target, chunk.keys):
            raise Blocked(f"{lane.table.name}: on {lane.move.target} stand rows that nobody brought there: "
                          f"{', '.join(lane.sql.shown(key) for key in stray[:20])}")
        return chunk        # whoever was first undid it, or has not committed
    with lane.source.reading() as session:
        rows = rows_of(lane, session, [key for _, key in new])
        lane.unchanged(session, lane.source)
    return Chunk(chunk.begin, chunk.end, chunk.last, new, rows)


def page(lane: Lane, session: Session, slot: int, k: bytes, size: int) -> tuple[list[tuple[int, Key]], bool]:
    """The next (slot, key) behind a place, `size` and MAX_BYTES at most; whether they are the last ones."""
    found: list[tuple[int, Key]] = []
    weight = 0
    for rows in _pages(lane, session, slot, k, size):
        for at, key, bytes_ in rows:
            weight += cast(int, bytes_)
            if found and weight > MAX_BYTES:
                return found, False
            found.append((cast(int, at), cast(Key, key)))
        if len(found) >= size:
            return found, False
    return found, True


def _pages(lane: Lane, session: Session, slot: int, k: bytes, size: int) -> Iterator[list[tuple[Value, ...]]]:
    if slot >= 0:
        rows = session.rows(lane.sql.keys_in_slot, (slot, lane.sql.key_of(k), size))
        size -= len(rows)
        yield rows
    for first, last in runs_behind(lane.move.slots, slot):
        if size <= 0:
            return
        rows = session.rows(lane.sql.keys_in_run, (first, last, size))
        size -= len(rows)
        yield rows


def runs_behind(slots: Slots, slot: int) -> Iterator[tuple[int, int]]:
    """What of `slots` is greater than `slot`."""
    for first, last in slots.runs:
        if last > slot:
            yield max(first, slot + 1), last


def marked(lane: Lane, shard: Shard | Session, keys: tuple[tuple[int, Key], ...] | list[tuple[int, Key]]) -> set[bytes]:
    """The marks that stand on `shard`, of these keys, which are in order."""
    if not keys:
        return set()
    rows = shard.rows(known_marks(len(keys)),
                      (lane.sql.tbl, keys[0][0], keys[-1][0], *(mark_of(key) for _, key in keys)))
    return {cast(bytes, row[0]) for row in rows}


def rows_of(lane: Lane, session: Session, keys: list[Key]) -> list[tuple[Value, ...]]:
    """The rows of these keys, as `insert` takes them."""
    return session.rows(lane.sql.rows_of(len(keys)), keys) if keys else []


def make_marks(lane: Lane, session: Session, keys: tuple[tuple[int, Key], ...]) -> None:
    """Of `keys`, which are in order. Raises Duplicate if one is there."""
    for first in range(0, len(keys), lane.sql.batch):
        some = keys[first:first + lane.sql.batch]
        session.run(new_marks(len(some)),
                    [value for slot, key in some for value in (lane.sql.tbl, slot, mark_of(key))])


def insert(lane: Lane, session: Session, rows: list[tuple[Value, ...]]) -> None:
    """Rows as `rows_of` gave them. Raises Duplicate if one is there."""
    for statement, values in lane.sql.insert(rows):
        session.run(statement, values)


def _there(lane: Lane, keys: list[Key]) -> list[Value]:
    return [row[0] for row in lane.target.rows(lane.sql.there(len(keys)), keys)] if keys else []

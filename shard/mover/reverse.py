"""A cancelled move gives back what clients wrote: dirty keys go from the new shard to the old one."""
from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from hotpath.shard import steps
from hotpath.shard.engine import Session, Value
from hotpath.shard.engine.errors import Duplicate
from hotpath.shard.schema import Key, mark_of

from . import cursor
from .copy import TRIES, insert, make_marks, marked, rows_of, runs_behind
from .cursor import Cursor
from .job import Blocked, Job, Lane
from .sql import DIRTY, DIRTY_RUN

# Of a row nobody knows the length here, and the longest has a megabyte.
MAX_KEYS = 100


def pull_back(job: Job, lane: Lane) -> Iterator[Cursor]:
    """Every key that is dirty on the target; yields its cursor behind each chunk.

    The target is fenced, so neither its marks nor its rows change. The source answers for its own new marks: a client
    may have pulled a key back before us.
    """
    at = cursor.begun(job, lane, "back", lane.source, "cancelling")
    while not at.done:
        job.pace("cancelling")
        with job.timed(lambda: MAX_KEYS):
            at = _chunk(lane, at, min(job.throttle.size, MAX_KEYS))
        yield at


def _chunk(lane: Lane, at: Cursor, size: int) -> Cursor:
    with lane.target.reading() as session:
        keys = _dirty(lane, session, at, size)
        lane.unchanged(session, lane.target)
    tries, before = TRIES, len(keys)
    while tries:
        pulled = marked(lane, lane.source, keys)
        new = tuple(key for key in keys if mark_of(key[1]) not in pulled)
        # A client that was faster is seen by its mark; there are only so many keys to be faster at.
        tries, before = TRIES if len(new) < before else tries - 1, len(new)
        with lane.target.reading() as session:
            rows = rows_of(lane, session, [key for _, key in new])
            lane.unchanged(session, lane.target)
        steps.reached("reverse: rows read")
        end = (keys[-1][0], mark_of(keys[-1][1])) if keys else (at.slot, at.k)
        after = at.stepped(*end, copied=len(new), done=len(keys) < size)

        def work(session: Session, new: tuple[tuple[int, Key], ...] = new, rows: list[tuple[Value, ...]] = rows,
                 after: Cursor = after) -> None:
            lane.locked(session, lane.source)
            make_marks(lane, session, new)
            if new:
                session.run(lane.sql.delete_of(len(new)), [key for _, key in new])
            insert(lane, session, rows)
            cursor.step(lane, "back", session, at, after)
            steps.reached("reverse: before commit")

        try:
            lane.source.write(work)
        except Duplicate:
            continue
        steps.reached("reverse: committed")
        return after
    raise Blocked(f"{lane.table.name}: keys cannot be given back to {lane.move.source}: "
                  f"{', '.join(lane.sql.shown(key) for _, key in keys[:20])}")


def _dirty(lane: Lane, session: Session, at: Cursor, size: int) -> list[tuple[int, Key]]:
    rows = session.rows(DIRTY, (lane.sql.tbl, at.slot, at.k, size)) if at.slot >= 0 else []
    for first, last in runs_behind(lane.move.slots, at.slot):
        if len(rows) >= size:
            break
        rows += session.rows(DIRTY_RUN, (lane.sql.tbl, first, last, size - len(rows)))
    return [(cast(int, slot), lane.sql.key_of(cast(bytes, k))) for slot, k in rows]

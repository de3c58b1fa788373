"""What a move leaves behind is deleted in small transactions: rows, marks, cursors."""
from __future__ import annotations

from collections.abc import Callable, Iterator

from hotpath.shard import steps
from hotpath.shard.engine import Session, Shard
from hotpath.shard.topology import Move, Slots, Topology

from . import cursor
from .copy import runs_behind
from .cursor import Cursor
from .job import Interrupted, Job, Lane, check_epoch
from .reshard import State
from .sql import DROP_CURSORS, DROP_MARKS


def delete(job: Job, lane: Lane, shard: Shard, state: State) -> Iterator[Cursor]:
    """The rows of the move's slots on `shard`, which owns none of them; yields its cursor behind each chunk.

    The cursor was made before `shard` was fenced for the last time in this move: a mover that sleeps cannot make it
    again once all is over.
    """
    found = cursor.read(lane, "clean", shard)
    if found is None:
        raise Interrupted("what is to be deleted is gone")
    at = found
    while not at.done:
        job.pace(state)
        size = job.throttle.size

        def work(session: Session, at: Cursor = at, size: int = size) -> Cursor:
            lane.locked(session, shard)
            n, slot = _some(lane.move.slots, at.slot, size,
                            lambda first, last, left: session.run(lane.sql.delete, (first, last, left)))
            after = at.stepped(slot if slot is not None else at.slot, b"", deleted=n, done=slot is None)
            cursor.step(lane, "clean", session, at, after)
            steps.reached("clean: before commit")
            return after

        before = at
        with job.timed(lambda: at.deleted - before.deleted):    # noqa: B023    # called within the block
            at = shard.write(work)
        steps.reached("clean: committed")
        yield at


def purge(job: Job, lane: Lane, shard: Shard, slots: Slots, state: State) -> int:
    """Rows and marks that stand in `slots` on `shard`, uncounted: nobody asks it about them. How many rows."""
    n = 0
    for remove in (lambda session, *run: session.run(lane.sql.delete, run), _drop_some(lane)):
        for deleted in _sweep(job, lane, shard, slots, state, remove):
            n += deleted
    return n


def drop_marks(job: Job, lane: Lane, shard: Shard, state: State) -> None:
    """The marks of the move's slots: nobody looks at them any more."""
    for _ in _sweep(job, lane, shard, lane.move.slots, state, _drop_some(lane)):
        steps.reached("clean: marks dropped")


def drop_cursors(job: Job, move: Move, shard: Shard) -> None:
    """All that a move, which is over, noted on `shard`."""
    def work(session: Session) -> None:
        # No fence: the cursors of a move that is over say nothing to anybody, and no other has its id.
        for table in job.config.schema.values():
            cursor.drop(move, table, session)

    shard.write(work)


def drop_strays(job: Job, topology: Topology, name: str) -> None:
    """Before anything moves there is no cursor, unless a mover that slept through the end of its move made one."""
    shard = job.directory.aside(name)

    def work(session: Session) -> None:
        check_epoch(session, shard, topology.epochs)
        session.run(DROP_CURSORS)

    shard.write(work)


def _drop_some(lane: Lane) -> Callable[[Session, int, int, int], int]:
    return lambda session, first, last, left: session.run(DROP_MARKS[lane.sql.dialect],
                                                          (lane.sql.tbl, first, last, left))


def _sweep(job: Job, lane: Lane, shard: Shard, slots: Slots, state: State,
           remove: Callable[[Session, int, int, int], int]) -> Iterator[int]:
    slot: int | None = cursor.START
    while slot is not None:
        job.beat(state)
        size = job.throttle.size

        def work(session: Session, after: int = slot, size: int = size) -> tuple[int, int | None]:
            lane.locked(session, shard)
            return _some(slots, after, size, lambda first, last, left: remove(session, first, last, left))

        n, slot = shard.write(work)
        yield n


def _some(slots: Slots, behind: int, size: int, remove: Callable[[int, int, int], int]) -> tuple[int, int | None]:
    """Call `remove` for run after run until `size` are gone: how many, and the last slot that is empty (None: all)."""
    n = 0
    for first, last in runs_behind(slots, behind):
        n += remove(first, last, size - n)
        if n >= size:
            return n, first - 1     # there may be more in it
    return n, None

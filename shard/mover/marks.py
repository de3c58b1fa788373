"""How many rows a move has, and how many keys clients touched: counted where they are, a run of slots at a time."""
from __future__ import annotations

import time
from typing import cast

from hotpath.shard.topology import MoveState, Topology

from .job import Job, Lane
from .reshard import State
from .sql import MARKS

# To count marks reads them all: a bar may be this old, and no more than this part of the time goes into it.
EVERY_S = 2.0
PART = 20


class Recount:
    """Of the marks of all moves, now and then."""

    def __init__(self) -> None:
        self._due_s = time.monotonic() + EVERY_S

    def look(self, job: Job, topology: Topology, state: State, *, at_once: bool = False) -> None:
        """Note `pulled` and `dirty` of each move, if it is time."""
        began_s = time.monotonic()
        if began_s < self._due_s and not at_once:
            return
        for move in topology.moves:
            if move.state in (MoveState.DUAL, MoveState.COMPLETE):
                pulled = dirty = 0
                for lane in job.lanes(topology, [move]):
                    some = count_marks(job, lane, state)
                    pulled, dirty = pulled + some[0], dirty + some[1]
                job.note(move.id, pulled=pulled, dirty=dirty)
        now_s = time.monotonic()
        self._due_s = now_s + max(EVERY_S, PART * (now_s - began_s))


def count_marks(job: Job, lane: Lane, state: State) -> tuple[int, int]:
    """Rows that clients' writes brought along, and keys that clients wrote to, of a table of a move."""
    pulled = dirty = 0
    for first, last in lane.move.slots.runs:
        job.beat(state)
        _, some_pulled, some_dirty = lane.target.rows(MARKS, (lane.sql.tbl, first, last))[0]
        pulled += int(cast(int, some_pulled or 0))
        dirty += int(cast(int, some_dirty or 0))
    return pulled, dirty


def count_rows(job: Job, lane: Lane, state: State) -> int:
    """Rows of a table on the source, which is fenced."""
    rows = 0
    for first, last in lane.move.slots.runs:
        job.beat(state)
        rows += cast(int, lane.source.rows(lane.sql.count, (first, last))[0][0])
    return rows

"""How far a table of a move has come: a row on the shard that changes, written with what it counts."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from hotpath.shard.engine import Session, Shard
from hotpath.shard.engine.errors import Duplicate
from hotpath.shard.schema import Table
from hotpath.shard.topology import Move

from .job import Foreign, Job, Lane
from .reshard import State
from .sql import CURSOR, DROP_CURSOR, NEW_CURSOR, STEP

# What is done to the shard that the cursor stands on.
Task = Literal["copy", "back", "clean"]
TASKS: tuple[Task, ...] = ("copy", "back", "clean")

# Before the first slot.
START = -1


@dataclass(frozen=True, slots=True)
class Cursor:
    """All up to (`slot`, `k`) is done; `k` is a mark."""

    slot: int = START
    k: bytes = b""
    copied: int = 0
    deleted: int = 0
    done: bool = False

    def stepped(self, slot: int, k: bytes, *, copied: int = 0, deleted: int = 0, done: bool = False) -> Cursor:
        """So much further."""
        return replace(self, slot=slot, k=k, copied=self.copied + copied, deleted=self.deleted + deleted, done=done)


def read(lane: Lane, task: Task, session: Session | Shard) -> Cursor | None:
    """As it stands; None: nothing was begun."""
    rows = session.rows(CURSOR, (tag(lane.move, task), lane.sql.tbl))
    if not rows:
        return None
    slot, k, copied, deleted, done = rows[0]
    return Cursor(cast(int, slot), cast(bytes, k), cast(int, copied), cast(int, deleted), bool(done))


def begun(job: Job, lane: Lane, task: Task, shard: Shard, state: State) -> Cursor:
    """As it stands on `shard`, made if there is none."""
    found = read(lane, task, shard)
    if found is not None:
        return found
    # It may have been dropped, the move being over while we slept.
    job.beat(state, at_once=True)

    def make(session: Session) -> None:
        lane.locked(session, shard)
        session.run(NEW_CURSOR, (tag(lane.move, task), lane.sql.tbl, START, b""))

    try:
        shard.write(make)
    except Duplicate:       # another mover's
        return read(lane, task, shard) or Cursor()
    return Cursor()


def step(lane: Lane, task: Task, session: Session, old: Cursor, new: Cursor) -> None:
    """Within the transaction that did it. Raises Foreign if another mover stands elsewhere already."""
    if session.run(STEP, (new.slot, new.k, new.copied - old.copied, new.deleted - old.deleted, int(new.done),
                          tag(lane.move, task), lane.sql.tbl, old.slot, old.k)) != 1:
        raise Foreign(f"another mover is at {lane.table.name} too")


def drop(move: Move, table: Table, session: Session) -> None:
    """Whatever was noted of a table of a move."""
    for task in TASKS:
        session.run(DROP_CURSOR, (tag(move, task), table.name.encode()))


def tag(move: Move, task: Task) -> bytes:
    """A task of a move, as the shards' own tables name it."""
    return f"{move.id}.{task}".encode()

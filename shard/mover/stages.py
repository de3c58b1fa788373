"""What a mover does in each state of a reshard, until it can go to the next one.

Each stage looks at the map first and at the record second, does what is missing between the two, and may be run again
from any point, by anybody: what it does twice changes nothing, and what it does too late is refused by a fence, by the
version of the map, or by the state in the record.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress

import msgspec

from hotpath.shard import ddl, steps
from hotpath.shard.backend import Backend
from hotpath.shard.backend.waiting import PATIENCE_S, after
from hotpath.shard.bringup import prepare
from hotpath.shard.directory import fence_of
from hotpath.shard.engine.errors import NoSuchTable
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology
from hotpath.shard.transitions import (
    Intent,
    announce,
    back,
    clean,
    complete,
    open_source,
    purged,
    reverse,
    settle,
)

from . import cursor
from .clean import delete, drop_cursors, drop_marks, drop_strays, purge
from .copy import copy
from .job import Blocked, Interrupted, Job, Lane
from .marks import Recount, count_rows
from .plan import check_tables
from .reshard import Reshard, State
from .reverse import pull_back
from .verify import verify_move

# A router that has not seen the last map by then is dead, or will be refused by the shards that are left.
ROUTERS_S = 6.0
POLL_S = 0.05


class Held(Interrupted):
    """Copied and verified; it waits for `complete` or `cancel`."""


def drive(job: Job, backend: Backend) -> None:
    """One state after the other until it is over. Raises Held, and whatever a stage raises."""
    while True:
        record = job.read()
        if record.paused:
            raise Interrupted("paused")
        job.state = record.state
        job.changes.clear()     # of a state that another mover may have finished meanwhile
        # In every state: of a table that is not declared here nothing would be moved, nor given back.
        check_tables(job.directory.meta.facts(), job.config)
        STAGES[record.state](job, backend)


def prepare_(job: Job, backend: Backend) -> None:
    """The new server stands, the moves are in the map, and nothing of old is left where rows will come."""
    topology = job.topology()
    record = _still(job, "preparing")
    if not topology.moves:
        # In it `up` makes tables, and a cancellation deletes the server: neither may come in between.
        with backend.exclusive(after(PATIENCE_S)):
            topology, record = job.topology(), _still(job, "preparing")
            check_tables(job.directory.meta.facts(), job.config)
            if topology.moves:
                pass            # another mover was faster
            elif record.kind == "add":
                _join(job, backend, topology, record)
            else:
                _turn(job, announce(topology, None, 0, _moves(record), leaving=record.shard))
        topology = job.topology()
        steps.reached("prepare: announced")
    for name in sorted({name for move in topology.moves for name in (move.source, move.target)}):
        drop_strays(job, topology, name)
    for lane in job.lanes(topology, list(topology.moves)):
        purge(job, lane, lane.target, lane.move.slots, "preparing")
    steps.reached("prepare: purged")
    for move in topology.moves:
        if move.target in topology.kept and any(slot in topology.kept[move.target] for slot in move.slots):
            topology = _turn(job, purged(topology, move.target, move.slots))
    job.advance("preparing")


def _join(job: Job, backend: Backend, topology: Topology, record: Reshard) -> None:
    if not record.made:
        _check_free(job, backend, record)
        record = job.change(lambda record: msgspec.structs.replace(record, made=True))
    endpoint = backend.create(record.shard, record.dsn)
    steps.reached("prepare: server made")
    job.change(lambda record: msgspec.structs.replace(record, endpoint=str(endpoint)))
    with closing(open_shard(record.shard, endpoint, job.config.pool, max=2)) as shard:
        prepare(shard, job.config.cluster, job.config.schema.values())
        with shard.reading() as session:
            _, highest = fence_of(session)
    # Higher than any epoch that a router may remember of a shard of this name.
    epoch = max(topology.version, highest) + 1
    member = Member(record.shard, record.weight, "joining", str(endpoint), managed=record.dsn is None)
    _still(job, "preparing")
    _turn(job, announce(topology, member, epoch, _moves(record)))


def _check_free(job: Job, backend: Backend, record: Reshard) -> None:
    """What is there already is not ours to fill, and not to delete if the reshard is cancelled. Raises Blocked."""
    if record.dsn is None:
        if backend.exists(record.shard) and not job.read().made:
            raise Blocked(f"something stands under the name {record.shard} already; move it away, then resume")
        return
    with closing(open_shard(record.shard, backend.create(record.shard, record.dsn), job.config.pool, max=1)) as shard:
        is_ours = ddl.owner_of(shard) is not None       # or `create` would have refused it
        for table in job.config.schema.values():
            with suppress(NoSuchTable):
                if (shard.rows(job.sql(table, shard).any) or not is_ours) and not job.read().made:
                    raise Blocked(f"{record.shard}: {shard.endpoint.shown} has a table {table.name} already; only an "
                                  "empty database can become a shard")


def open_(job: Job, backend: Backend) -> None:
    """Source after source: from now on writes go to the new shard. The rows that will move are counted."""
    while True:
        topology = job.topology()
        record = _still(job, "opening")
        planned = [move for move in topology.moves if move.state is MoveState.PLANNED]
        opened = [move for move in topology.moves if move.state is MoveState.DUAL]
        totals = {one.id: one.total for one in record.moves}
        for move in opened:
            if totals.get(move.id) is None:
                job.note(move.id, total=sum(count_rows(job, lane, "opening") for lane in job.lanes(topology, [move])))
                steps.reached("open: rows counted")
        if not planned:
            break
        _turn(job, open_source(topology, planned[0].source))
        steps.reached("open: opened")
    job.advance("opening")


def copy_(job: Job, backend: Backend) -> None:
    """Every row that no client's write has brought along."""
    topology = job.topology()
    _still(job, "copying")
    recount = Recount()
    for move in _in(topology, MoveState.DUAL):
        copied = 0
        lanes = list(job.lanes(topology, [move]))
        for lane in lanes:
            before = copied
            for at in copy(job, lane):
                copied = before + at.copied
                # A slot is copied when its rows of all tables are.
                job.note(move.id, copied=copied, slots_copied=_below(move.slots, at.slot) if lane is lanes[-1] else 0)
                recount.look(job, topology, "copying")
                job.beat("copying")
            copied = before + _copied(lane)
        job.note(move.id, copied=copied, slots_copied=len(move.slots))
    recount.look(job, topology, "copying", at_once=True)
    job.advance("copying")


def _below(slots: Slots, slot: int) -> int:
    """How many of `slots` are smaller."""
    return sum(min(last + 1, slot) - first for first, last in slots.runs if first < slot)


def _copied(lane: Lane) -> int:
    at = cursor.read(lane, "copy", lane.target)
    return 0 if at is None else at.copied


def verify(job: Job, backend: Backend) -> None:
    """Nothing is completed that was not seen to be equal."""
    topology, record = job.topology(), _still(job, "verifying")
    for progress in record.moves:
        move = next((move for move in topology.moves if move.id == progress.id), None)
        if move is not None and move.state is MoveState.DUAL:
            verify_move(job, topology, move, progress)
    Recount().look(job, topology, "verifying", at_once=True)
    record = job.beat("verifying", at_once=True) or record
    for one in record.moves:
        if one.copied + one.pulled != (one.total or 0):
            raise Blocked(f"{one.source} had {one.total} rows to move to {one.target}, and {one.copied} were copied, "
                          f"{one.pulled} pulled: the counts do not agree")
    job.advance("verifying")


def verified(job: Job, backend: Backend) -> None:
    """The last moment at which all can be taken back."""
    if _still(job, "verified").hold:
        raise Held("until complete or cancel")
    job.advance("verified")


def complete_(job: Job, backend: Backend) -> None:
    """The new shards alone answer."""
    topology = job.topology()
    _still(job, "completing")
    if _in(topology, MoveState.DUAL):
        topology = _turn(job, complete(topology))
    steps.reached("complete: published")
    Recount().look(job, topology, "completing", at_once=True)
    for lane in job.lanes(topology, _in(topology, MoveState.COMPLETE)):
        cursor.begun(job, lane, "clean", lane.source, "completing")
    job.advance("completing")


def clean_(job: Job, backend: Backend) -> None:
    """The sources' rows go, then the marks, then the moves, and at last an emptied server."""
    topology = job.topology()
    record = _still(job, "cleaning")
    if _in(topology, MoveState.COMPLETE):
        # Also where the rows are kept: it is this fence that stops whoever still reads the source by an older map.
        topology = _turn(job, clean(topology))
    moves = _in(topology, MoveState.CLEANING)
    for move in moves:
        deleted = 0
        for lane in job.lanes(topology, [move]):
            if not record.keep_source:
                deleted = _delete(job, lane, deleted)
            drop_marks(job, lane, lane.target, "cleaning")
        job.note(move.id, deleted=deleted)
    if moves or topology.moves:
        # Before the cursors, which count them, are dropped.
        job.beat("cleaning", at_once=True)
        gone = record.shard if record.kind == "remove" else None
        topology = _turn(job, settle(topology, gone=gone, keep=record.keep_source))
        steps.reached("clean: settled")
    elif any(member.state != "active" for member in topology.members):     # nothing had to move
        topology = _turn(job, settle(topology, gone=record.shard if record.kind == "remove" else None))
    _forget_moves(job, topology, record)
    if record.kind == "remove":
        _await_routers(job, topology, "cleaning")
        if not record.keep_server:
            with backend.exclusive(after(PATIENCE_S)):
                _still(job, "cleaning")     # else by now the name may be another server's
                if record.keep_source:
                    backend.stop(record.shard)
                else:
                    backend.purge(record.shard, record.endpoint)
        steps.reached("clean: server stopped")
    _end(job, "cleaning", "done")


def _delete(job: Job, lane: Lane, before: int) -> int:
    deleted = before
    for at in delete(job, lane, lane.source, "cleaning"):
        deleted = before + at.deleted
        job.note(lane.move.id, deleted=deleted)
        job.beat("cleaning")
    at = cursor.read(lane, "clean", lane.source) or cursor.Cursor()
    return before + at.deleted


def cancel(job: Job, backend: Backend) -> None:
    """All as it was before, with what clients wrote meanwhile."""
    topology = job.topology()
    record = _still(job, "cancelling")
    if _in(topology, MoveState.DUAL):
        topology = _turn(job, reverse(topology))
        steps.reached("cancel: reversed")
    reversed_ = _in(topology, MoveState.REVERSE)
    for lane in job.lanes(topology, reversed_):
        for _ in pull_back(job, lane):
            job.beat("cancelling")
    if reversed_:
        topology = _turn(job, back(topology))
        steps.reached("cancel: back")
    for lane in job.lanes(topology, _in(topology, MoveState.BACK)):
        if record.kind == "remove":
            purge(job, lane, lane.target, lane.move.slots, "cancelling")
        drop_marks(job, lane, lane.source, "cancelling")
    if topology.moves or any(member.state != "active" for member in topology.members):
        topology = _turn(job, settle(topology, gone=record.shard if record.kind == "add" else None))
        steps.reached("cancel: settled")
    _forget_moves(job, topology, record)
    if record.kind == "add":
        _await_routers(job, topology, "cancelling")
        with backend.exclusive(after(PATIENCE_S)):
            record = _still(job, "cancelling")      # as in `clean_`
            if record.made:
                backend.purge(record.shard, record.endpoint or record.dsn)
        steps.reached("cancel: server gone")
    _end(job, "cancelling", "cancelled")


STAGES: dict[State, Callable[[Job, Backend], None]] = {
    "preparing": prepare_, "opening": open_, "copying": copy_, "verifying": verify, "verified": verified,
    "completing": complete_, "cleaning": clean_, "cancelling": cancel,
}


def _still(job: Job, state: State) -> Reshard:
    """The record. Raises Interrupted unless it is in `state`, and ours to go on with."""
    record = job.beat(state, at_once=True)
    assert record is not None
    return record


def _turn(job: Job, intent: Intent) -> Topology:
    topology = job.directory.apply(intent)
    for move in topology.moves:
        job.note(move.id, state=move.state.value)
    return topology


def _end(job: Job, state: State, word: str) -> None:
    for one in job.read().moves:
        job.note(one.id, state=word)
    job.advance(state, finished_s=time.time(), now=0.0)


def _moves(record: Reshard) -> list[Move]:
    return [one.move for one in record.moves]


def _in(topology: Topology, state: MoveState) -> list[Move]:
    return [move for move in topology.moves if move.state is state]


def _forget_moves(job: Job, topology: Topology, record: Reshard) -> None:
    """The cursors of the moves, on those of their shards that are still members."""
    members = {member.name for member in topology.members}
    for one in record.moves:
        for name in {one.source, one.target} & members:
            drop_cursors(job, one.move, job.directory.aside(name))


def _await_routers(job: Job, topology: Topology, state: State) -> None:
    """Until every router that lives has a map without the server that is about to go."""
    deadline_s = time.monotonic() + ROUTERS_S
    while time.monotonic() < deadline_s and any(router.version < topology.version
                                                for router in job.directory.meta.routers()):
        job.rest(state, POLL_S)

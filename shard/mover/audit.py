"""Is each row of the cluster on its owner, once, and equal where two copies stand? Also while rows move."""
from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from hotpath.core.errors import ShardUnavailable
from hotpath.shard.config import ShardConfig
from hotpath.shard.directory import Directory, fence_of
from hotpath.shard.engine import Session, Shard, Value
from hotpath.shard.schema import SLOTS, Key, Table, mark_of, slot_of
from hotpath.shard.topology import Move, MoveState, Slots, Topology

from .job import Foreign, Lane
from .sql import TableSql, known_marks
from .verify import KEYS, dirty_keys, groups, look

# Slots of the first look; later ones are as large as takes about LOOK_S, as the map may change under any of them. Rows
# are read PAGE at a time, so that memory does not depend on how many there are.
GROUP = 256
LOOK_S = 0.3
PAGE = 5000
# A row that somebody inserted past us stands in this slot, and so belongs nowhere.
NOWHERE = -1
EXAMPLES = 20
# A look begins anew when the map changes under it. A reshard changes it a few times, not more often than this.
TRIES = 50
STALE_S = 10.0

Problem = str       # "misplaced" "doubled" "missing" "different"


@dataclass
class Found:
    """Of a look, or of all of them."""

    rows: int = 0
    counts: dict[Problem, int] = field(
        default_factory=lambda: dict.fromkeys(("misplaced", "doubled", "missing", "different"), 0))
    examples: list[dict[str, object]] = field(default_factory=list)

    def add(self, problem: Problem, table: Table, key: Value, shard: str) -> None:
        """One more."""
        self.counts[problem] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append({"table": table.name, "key": _shown(table, key), "shard": shard, "problem": problem})

    def merge(self, other: Found) -> None:
        """And what another found."""
        self.rows += other.rows
        for problem, n in other.counts.items():
            self.counts[problem] += n
        self.examples = [*self.examples, *other.examples][:EXAMPLES]

    def document(self) -> dict[str, object]:
        """As the contract has it."""
        return {"ok": not any(self.counts.values()), "rows": self.rows, **self.counts, "examples": self.examples}


def audit(directory: Directory, config: ShardConfig,
          progress: Callable[[int, int | None], None] | None = None) -> dict[str, object]:
    """Look at every row. Raises ShardUnavailable if one cannot be looked at."""
    found = Found()
    looker = _Looker(directory, config)
    directory.refresh()
    first, n = NOWHERE, GROUP
    while first < SLOTS:
        began_s = time.monotonic()
        last = min(first + n, SLOTS) - 1
        found.merge(looker.settled(first, last))
        took_s = time.monotonic() - began_s
        n = n * 2 if took_s < LOOK_S / 2 else max(1, n // 2) if took_s > LOOK_S else n
        first = last + 1
        if progress is not None:
            progress(first, SLOTS)
    return found.document()


class _Looker:
    """One who looks. `seen` of a slot by a shard: what its rows there mean."""

    def __init__(self, directory: Directory, config: ShardConfig) -> None:
        self._directory = directory
        self._config = config
        self._sql: dict[tuple[str, str], TableSql] = {}

    def settled(self, first: int, last: int) -> Found:
        """What is found in some slots, by one map."""
        for _ in range(TRIES):
            topology = self._directory.topology
            try:
                return self._look(topology, first, last)
            except Foreign as error:
                self._directory.stale(topology, str(error), time.monotonic() + STALE_S)
            except KeyError:        # a member went while we looked at it
                self._directory.refresh()
        raise ShardUnavailable("meta", "the map changes again and again")

    def _look(self, topology: Topology, first: int, last: int) -> Found:
        found = Found()
        for table in self._config.schema.values():
            for member in topology.members:
                self._stable(topology, table, member.name, first, last, found)
            for move in topology.moves:
                if move.state in (MoveState.DUAL, MoveState.REVERSE):
                    lane = self._lane(topology, table, move)
                    for low, high in move.slots.runs:
                        if low <= last and high >= first:
                            one = _dual if move.state is MoveState.DUAL else _reverse
                            _by_rows(one, lane, max(low, first), min(high, last), found)
        return found

    # ---- rows that nobody moves

    def _stable(self, topology: Topology, table: Table, name: str, first: int, last: int, found: Found) -> None:
        shard = self._directory.shard(name)
        sql = self._of(table, shard)
        left = topology.foreign[name]
        moving = [move.slots for move in topology.moves if name in (move.source, move.target)
                  and move.state in (MoveState.DUAL, MoveState.REVERSE)]
        owns = [topology.owner(slot) == name for slot in range(first, last + 1)]
        with shard.snapshot() as session:
            for rows in pages(sql, session, first, last):
                for at, driver_key, _ in rows:
                    slot, key = cast(int, at), cast(Key, driver_key)
                    right = slot_of(_plain(table, key)) == slot
                    on_its_way = any(slot in slots for slots in moving) if moving else False
                    if right and owns[slot - first]:
                        found.rows += not on_its_way        # those are counted as a pair
                    elif not right or not (on_its_way or slot in left):
                        owner = topology.owner(slot_of(_plain(table, key)))
                        there = owner != name and self._has(table, owner, key)
                        found.add("doubled" if there else "misplaced", table, key, name)
            _check(topology.epochs, name, session)

    def _has(self, table: Table, name: str, key: Key) -> bool:
        shard = self._directory.shard(name)
        return bool(shard.rows(self._of(table, shard).there(1), (key,)))

    # ---- beneath

    def _lane(self, topology: Topology, table: Table, move: Move) -> Lane:
        source, target = self._directory.shard(move.source), self._directory.shard(move.target)
        return Lane(move, table, source, target, topology.epochs, self._of(table, source))

    def _of(self, table: Table, shard: Shard) -> TableSql:
        key = (table.name, shard.dialect)
        if key not in self._sql:
            self._sql[key] = TableSql(table, shard.dialect)
        return self._sql[key]


def pages(sql: TableSql, session: Session, first: int, last: int) -> Iterator[list[tuple[Value, ...]]]:
    """(slot, key, weight) of the rows of some slots, in order."""
    rows = session.rows(sql.keys_in_run, (first, last, PAGE))
    while rows:
        yield rows
        if len(rows) < PAGE:
            return
        slot, key = cast(int, rows[-1][0]), rows[-1][1]
        rows = session.rows(sql.keys_in_slot, (slot, key, PAGE))
        if len(rows) < PAGE and slot < last:
            rows += session.rows(sql.keys_in_run, (slot + 1, last, PAGE - len(rows)))


def _by_rows(one: Callable[[Lane, int, int, Found], None], lane: Lane, first: int, last: int, found: Found) -> None:
    """`one` of so many slots at a time that a statement does not take long."""
    rows = cast(int, lane.source.rows(lane.sql.count, (first, last))[0][0])
    for low, high in groups(Slots.of_runs([(first, last)]), rows):
        one(lane, low, high, found)


def _dual(lane: Lane, first: int, last: int, found: Found) -> None:
    """Slots of which some keys may be on the new shard already: where a clean mark says so, there are two rows."""
    with lane.target.snapshot() as new, lane.source.reading() as old:
        sums = look(lane, new, old, first, last)
        if sums.agree:
            found.rows += sums.new_rows
        else:
            _keys(lane, new, old, first, last, found)
        _check_both(lane, new, old)


def _keys(lane: Lane, new: Session, old: Session, first: int, last: int, found: Found) -> None:
    """Key by key."""
    for some in pages(lane.sql, old, first, last):
        for at in range(0, len(some), KEYS):
            keys = [cast(Key, row[1]) for row in some[at:at + KEYS]]
            marks = _pairs(new.rows(known_marks(len(keys)), (
                lane.sql.tbl, first, last, *(mark_of(key) for key in keys))))
            found.rows += sum(mark_of(key) not in marks for key in keys)
            clean = [key for key in keys if marks.get(mark_of(key)) == 0]
            if clean:
                originals = _pairs(old.rows(lane.sql.crcs_of(len(clean)), clean))
                copies = _pairs(new.rows(lane.sql.crcs_of(len(clean)), clean))
                for key in clean:
                    if key not in copies:
                        found.add("missing", lane.table, key, lane.move.target)
                    elif copies[key] != originals.get(key):
                        found.add("different", lane.table, key, lane.move.target)
    for some in pages(lane.sql, new, first, last):
        found.rows += len(some)
        for at in range(0, len(some), KEYS):
            keys = [cast(Key, row[1]) for row in some[at:at + KEYS]]
            marks = _pairs(new.rows(known_marks(len(keys)), (
                lane.sql.tbl, first, last, *(mark_of(key) for key in keys))))
            clean = [key for key in keys if marks.get(mark_of(key)) == 0]
            there = {row[0] for row in old.rows(lane.sql.there(len(clean)), clean)} if clean else set()
            for key in keys:
                if mark_of(key) not in marks:
                    found.add("misplaced", lane.table, key, lane.move.target)
                elif marks[mark_of(key)] == 0 and key not in there:
                    found.add("different", lane.table, key, lane.move.target)


def _reverse(lane: Lane, first: int, last: int, found: Found) -> None:
    """Slots of a move that is taken back: the old shard's rows, but for what clients wrote on the new one."""
    with lane.target.reading() as new, lane.source.snapshot() as old:
        found.rows += sum(len(rows) for rows in pages(lane.sql, old, first, last))
        for keys in dirty_keys(lane, new, first, last):
            again = {row[0] for row in old.rows(known_marks(len(keys)), (
                lane.sql.tbl, first, last, *(mark_of(key) for key in keys)))}
            left = [key for key in keys if mark_of(key) not in again]
            if left:
                found.rows += len(new.rows(lane.sql.there(len(left)), left))
                found.rows -= len(old.rows(lane.sql.there(len(left)), left))
        _check_both(lane, new, old)


def _pairs(rows: list[tuple[Value, ...]]) -> dict[Value, Value]:
    return {row[0]: row[1] for row in rows}


def _check(epochs: Mapping[str, int], name: str, session: Session) -> None:
    """Raises Foreign, which says who, if what `session` read was not of the map's epoch."""
    if set(fence_of(session)) != {epochs[name]}:
        raise Foreign(name)


def _check_both(lane: Lane, new: Session, old: Session) -> None:
    _check(lane.epochs, lane.move.target, new)
    _check(lane.epochs, lane.move.source, old)


def _plain(table: Table, key: Key) -> Key:
    """A driver's key as the ring takes it: a string that MySQL has as bytes hashes as the string does."""
    if table.key.kind == "string" and isinstance(key, bytes):
        return key.decode(errors="surrogateescape")
    return key


def _shown(table: Table, key: Value) -> object:
    if isinstance(key, bytes):
        return (key.decode(errors="replace") if table.key.kind == "string" else
                base64.urlsafe_b64encode(key).rstrip(b"=").decode())
    return key

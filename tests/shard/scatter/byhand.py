"""A cluster that is put into any state of a move row by row, as the table of states has it."""
from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from hotpath.shard import ddl
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Session, Shard, Statement
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.mover.cursor import tag
from hotpath.shard.rows.codec import Codec
from hotpath.shard.schema import SLOTS, Column, Key, Row, Table, mark_of, slot_of
from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology


def table_of(key: Column) -> Table:
    """A table with this key, and columns of most types; one has a name that is a word of SQL."""
    return Table("order", (
        Column("group", "int", nullable=True), key, Column("n", "bigint"), Column("price", "decimal", 30, 2),
        Column("name", "string", 20, nullable=True), Column("at", "datetime"), Column("x", "double")), 1)


KEYS = {
    "bigint": Column("key", "bigint", generate=True),
    "string": Column("key", "string", 40),
    "binary": Column("key", "binary", 40),
}
TABLES = {kind: table_of(column) for kind, column in KEYS.items()}


def key_of(kind: str, n: int) -> Key:
    """A key of this kind; they sort as their numbers do not."""
    if kind == "bigint":
        return n * (-1) ** n
    text = f"ключ {n:x}" if n % 2 else f"key {n}"
    return text if kind == "string" else text.encode() + b"\0"


def row_of(table: Table, key: Key, n: int) -> Row:
    """A row whose values `n` decides; many rows share each."""
    return {"group": None if n % 5 == 0 else n % 3, "key": key, "n": n * 2**57, "price": Decimal(n * 7 - 40).scaleb(-2),
            "name": [None, "", "a", "A", "é", "z ", "\U0001f600", "\uffff"][n % 8],
            "at": datetime(2026, 1, 1 + n % 4, tzinfo=UTC), "x": n / 4}


@dataclass
class HandMap:
    """A map that is turned by the test: `turns` are run, one at each `stale`, until one has made another map."""

    topology: Topology
    shards: Mapping[str, Shard]
    turns: list[Callable[[], None]] = field(default_factory=list)
    n_stale: int = 0

    def shard(self, name: str) -> Shard:
        self.topology.member(name)
        return self.shards[name]

    def refresh(self) -> None:
        if self.turns:
            self.turns.pop(0)()

    def stale(self, seen: Topology, shard: str, deadline_s: float) -> None:
        assert isinstance(deadline_s, float)
        self.n_stale += 1
        while self.topology is seen:
            self.turns.pop(0)()


class Shards:
    """All of them are there all the time, members or not."""

    def __init__(self, table: Table, endpoints: Mapping[str, Endpoint]) -> None:
        self.table = table
        self.shards: dict[str, Shard] = {
            name: open_shard(name, endpoint, PoolConfig()) for name, endpoint in endpoints.items()}
        for shard in self.shards.values():
            ddl.sidecars(shard, "byhand")
            ddl.create(shard, [table])
        self._codec = Codec(table, shard.dialect)
        self._names = ", ".join(f"`{column.name}`" for column in table.columns)

    def close(self) -> None:
        for shard in self.shards.values():
            shard.close()

    def fill(self, name: str, rows: Iterable[Row], marks: Mapping[Key, int], epoch: int) -> None:
        """Make this all that a shard has. `marks`: how often each key was written since it was marked."""
        def turn(session: Session) -> None:
            session.run(Statement(f"DELETE FROM `{self.table.name}`"))
            session.run(Statement("DELETE FROM _hp_moved"))
            session.run(Statement("DELETE FROM _hp_cursor"))
            self.fence(session, epoch)
            for row in rows:
                self.put(session, row)
            for key, dirty in marks.items():
                self.mark(session, key, dirty)

        self.shards[name].write(turn)

    def fence(self, session: Session, epoch: int) -> None:
        session.run(Statement("UPDATE _hp_fence SET epoch = ?"), (epoch,))

    def put(self, session: Session, row: Row) -> None:
        session.run(Statement(f"REPLACE INTO `{self.table.name}` ({self._names}, _hp_slot) VALUES "
                              f"({', '.join('?' * (len(self.table.columns) + 1))})"),
                    (*self._codec.values(row), slot_of(row[self.table.key.name])))

    def drop(self, session: Session, key: Key) -> None:
        session.run(Statement(f"DELETE FROM `{self.table.name}` WHERE `{self.table.key.name}` = ?"),
                    (self._codec.key(key),))

    def mark(self, session: Session, key: Key, dirty: int) -> None:
        session.run(Statement("REPLACE INTO _hp_moved (tbl, slot, k, dirty, pulled) VALUES (?, ?, ?, ?, 0)"),
                    (self.table.name.encode(), slot_of(key), mark_of(key), dirty))

    def copied(self, session: Session, move: Move, key: Key) -> None:
        session.run(Statement("REPLACE INTO _hp_cursor (move, tbl, slot, k, copied, deleted, done) "
                              "VALUES (?, ?, ?, ?, 0, 0, 0)"),
                    (tag(move, "copy"), self.table.name.encode(), slot_of(key), mark_of(key)))

    def unmark(self, session: Session, key: Key) -> None:
        session.run(Statement("DELETE FROM _hp_moved WHERE tbl = ? AND slot = ? AND k = ?"),
                    (self.table.name.encode(), slot_of(key), mark_of(key)))


def topology_of(names: Iterable[str], owner: Callable[[int], int], moves: Iterable[Move] = (), *, version: int = 1,
                epochs: Mapping[str, int] | None = None, kept: Mapping[str, Slots] | None = None) -> Topology:
    """A map; `owner` of a slot is an index into `names`."""
    names = tuple(names)
    return Topology(version, tuple(Member(name, 1.0, "active", f"sqlite:{name}") for name in names),
                    epochs or dict.fromkeys(names, 1), array("H", map(owner, range(SLOTS))), tuple(moves), kept or {})


def move_of(source: str, target: str, state: MoveState, slots: Iterable[int]) -> Move:
    return Move(f"1-{source}-{target}", source, target, state, Slots(slots))

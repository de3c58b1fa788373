"""One table, one row at a time: each statement goes straight to the shard whose row it is, and proves that it is.

What stands beside the row's own statement is the fence: the map said in which epoch the shard must be, and the shard
agrees in the same transaction, or the map is read again and the operation starts over.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from hotpath.core.errors import DuplicateKey, InvalidRow, ShardUnavailable
from hotpath.shard.directory import Directory, NotMember
from hotpath.shard.engine import Dialect, Session, Shard, Value
from hotpath.shard.engine.errors import Duplicate, NoSuchTable, OutOfRange
from hotpath.shard.rows.checks import Changes
from hotpath.shard.rows.codec import Codec
from hotpath.shard.schema import STRIPES, Key, Row, Table, slot_of
from hotpath.shard.topology import Route

from .moving import Foreign, Moving, Undone
from .statements import EPOCH, Statements

T = TypeVar("T")

# A generated key that stands already came from another process in the same millisecond: the next one will not.
GENERATED_TRIES = 16


class Ids(Protocol):
    """Where generated keys come from."""

    def next(self) -> int:
        """One that rises."""
        ...


class Store:
    """The rows of one table. Any thread may use it.

    Each operation answers what it did and which shard said so. All raise ShardUnavailable; with `outcome` "none"
    nothing was applied. Rows and keys were checked before they come here.
    """

    def __init__(self, table: Table, directory: Directory, ids: Ids, *, fenced: bool = True,
                 wait_s: float = 10.0) -> None:
        """`wait_s`: how long a transition of the map is waited for."""
        self.table = table
        self.directory = directory
        self._ids = ids
        self._key_name = table.key.name
        self._key_at = 1 + table.key_at         # in rows that begin with the epoch
        self._others = tuple(column.name for column in table.columns if column is not table.key)
        self._fenced = fenced
        self._wait_s = wait_s
        self._sides: dict[Dialect, Side] = {}

    # ---- operations

    def insert(self, row: Row) -> tuple[Row, str]:
        """A new row; as it is then, with its generated key. DuplicateKey: one stands, and stays."""
        if row[self._key_name] is not None:
            return row, self._insert(row)
        for tries in range(GENERATED_TRIES):
            named = {**row, self._key_name: self._ids.next()}
            try:
                return named, self._insert(named)
            except DuplicateKey:
                if tries == GENERATED_TRIES - 1:
                    raise
        raise AssertionError

    def get(self, key: Key) -> tuple[Row | None, str]:
        """The row; None: there is none."""
        slot = slot_of(key)
        stripe = slot % STRIPES

        def stable(shard: Shard, side: Side, epoch: int) -> tuple[Row | None] | None:
            if not self._fenced:
                rows = shard.rows(side.sql.plain_read, (side.codec.key(key),))
                return (side.codec.row(rows[0][1:]) if rows else None,)
            found = shard.rows(side.sql.read, (side.codec.key(key), stripe))[0]
            if found[0] != epoch:
                return None
            return (None if found[self._key_at] is None else side.codec.row(found[1:]),)

        (row,), name = self._do(key, slot, stable, Moving.read)
        return row, name

    def put(self, row: Row) -> tuple[bool, str]:
        """The row, whatever stood there; whether it is new."""
        key: Key = row[self._key_name]      # type: ignore[assignment]     # checked
        slot = slot_of(key)

        def stable(shard: Shard, side: Side, epoch: int) -> bool | None:
            values = side.codec.values(row)
            others = [values[i] for i in range(len(values)) if i != self.table.key_at]
            fence = (slot % STRIPES, epoch) if self._fenced else ()
            sql = side.sql
            # No statement says by itself which of the two it did: an upsert to the same values counts as an insert.
            while True:
                update = sql.replace if self._fenced else sql.plain_replace
                if shard.run(update, (*others, side.codec.key(key), *fence)):
                    return False
                try:
                    insert = sql.insert if self._fenced else sql.plain_insert
                    return True if shard.run(insert, (*values, slot, *fence)) else None
                except Duplicate:
                    continue

        def moving(session: Session, side: Side) -> bool:
            values = side.codec.values(row)
            others = [values[i] for i in range(len(values)) if i != self.table.key_at]
            if session.run(side.sql.plain_replace, (*others, side.codec.key(key))):
                return False
            session.run(side.sql.plain_insert, (*values, slot))
            return True

        return self._write(key, slot, stable, moving)

    def update(self, key: Key, changes: Changes) -> tuple[bool, str]:
        """Change some columns; False: there is no such row. InvalidRow: a sum is out of range."""
        slot = slot_of(key)
        sets, adds = tuple(changes.sets), tuple(changes.adds)

        def values_of(side: Side) -> list[Value]:
            return [*(side.codec.value(name, value) for name, value in changes.sets.items()),
                    *(side.codec.value(name, value) for name, value in changes.adds.items()), side.codec.key(key)]

        def stable(shard: Shard, side: Side, epoch: int) -> bool | None:
            if not self._fenced:
                return shard.run(side.sql.update(sets, adds, fenced=False), values_of(side)) > 0
            stripe = slot % STRIPES
            statement = side.sql.update(sets, adds, fenced=True)
            if shard.run(statement, (*values_of(side), stripe, epoch)):
                return True
            return False if self._is(shard, stripe, epoch) else None

        def moving(session: Session, side: Side) -> bool:
            if not session.run(side.sql.update(sets, adds, fenced=False), values_of(side)):
                raise Undone(False)
            return True

        try:
            return self._write(key, slot, stable, moving)
        except OutOfRange as error:
            raise InvalidRow([{"path": name, "message": f"the sum is out of range: {error}"} for name in adds]
                             or [{"path": "", "message": str(error)}]) from None

    def delete(self, key: Key) -> tuple[bool, str]:
        """No row any more; False: there was none."""
        slot = slot_of(key)

        def stable(shard: Shard, side: Side, epoch: int) -> bool | None:
            if not self._fenced:
                return shard.run(side.sql.plain_delete, (side.codec.key(key),)) > 0
            stripe = slot % STRIPES
            if shard.run(side.sql.delete, (side.codec.key(key), stripe, epoch)):
                return True
            return False if self._is(shard, stripe, epoch) else None

        def moving(session: Session, side: Side) -> bool:
            if not session.run(side.sql.plain_delete, (side.codec.key(key),)):
                raise Undone(False)
            return True

        return self._write(key, slot, stable, moving)

    # ---- how

    def _insert(self, row: Row) -> str:
        key: Key = row[self._key_name]      # type: ignore[assignment]     # checked
        slot = slot_of(key)

        def stable(shard: Shard, side: Side, epoch: int) -> bool | None:
            values = (*side.codec.values(row), slot)
            if not self._fenced:
                return shard.run(side.sql.plain_insert, values) == 1
            return True if shard.run(side.sql.insert, (*values, slot % STRIPES, epoch)) else None

        def moving(session: Session, side: Side) -> bool:
            session.run(side.sql.plain_insert, (*side.codec.values(row), slot))
            return True

        try:
            return self._write(key, slot, stable, moving)[1]
        except Duplicate:
            raise DuplicateKey(self.table.name, key) from None
        except OutOfRange as error:
            raise InvalidRow([{"path": "", "message": str(error)}]) from None

    def _write(self, key: Key, slot: int, stable: Callable[[Shard, Side, int], bool | None],
               moving: Callable[[Session, Side], bool]) -> tuple[bool, str]:
        """What one of the two answers, and who applied it."""
        return self._do(key, slot, stable, lambda one: (one.write(moving), one.here))

    def _do(self, key: Key, slot: int, stable: Callable[[Shard, Side, int], T | None],
            moving: Callable[[Moving], tuple[T, str]]) -> tuple[T, str]:
        """What one of the two answers, and which shard did; `stable` answers None in a foreign epoch."""
        began_s = 0.0
        while True:
            topology = self.directory.topology
            route = topology.routes[slot]
            try:
                if route.kind == "stable":
                    shard, side = self._at(route)
                    done = stable(shard, side, route.epoch)
                    if done is not None:
                        return done, route.shard
                    foreign = route.shard
                else:
                    return moving(Moving(self, route, slot, key))
            except Foreign as met:
                foreign = met.shard
            except NotMember as met:
                foreign = met.shard
            except ShardUnavailable as error:
                # Whoever slept through a move may know a shard that has left, and whose server is gone.
                if error.outcome != "none" or not self.directory.is_replaced(topology):
                    raise
                continue
            except NoSuchTable:
                # … or whose database is there, but no more than that.
                if not self.directory.is_replaced(topology):
                    raise
                continue
            began_s = began_s or time.monotonic()
            self.directory.stale(topology, foreign, began_s + self._wait_s)

    def _is(self, shard: Shard, stripe: int, epoch: int) -> bool:
        """Whether the fence is in this epoch still: as epochs only grow, it was when no row was found."""
        return shard.rows(EPOCH, (stripe,))[0][0] == epoch

    def _at(self, route: Route) -> tuple[Shard, Side]:
        directory = self.directory
        shard = directory.shards.get(route.shard) or directory.shard(route.shard)
        return shard, self._sides.get(shard.dialect) or self.side(shard.dialect)

    def side(self, dialect: Dialect) -> Side:
        """Statements and codec for shards of this dialect."""
        side = self._sides.get(dialect)
        if side is None:
            side = self._sides[dialect] = Side(Statements(self.table, dialect, fenced=self._fenced),
                                               Codec(self.table, dialect))
        return side


@dataclass(frozen=True, slots=True)
class Side:
    """What a table is in one dialect."""

    sql: Statements
    codec: Codec

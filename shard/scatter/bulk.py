"""Many inserts at once: rows stand alone, and each shard takes those it owns in few transactions."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from hotpath.core.errors import DuplicateKey, InvalidRow, PoolTimeout, ShardUnavailable
from hotpath.shard.engine import Dialect, Session, Statement
from hotpath.shard.engine.errors import Duplicate, NoSuchTable, OutOfRange
from hotpath.shard.schema import STRIPES, Key, Row, Table, quoted, slot_of
from hotpath.shard.topology import Topology

from .asker import Asker
from .lanes import ForeignEpoch, Lanes
from .look import MAX_RESTARTS, Map, is_replaced, padded, prove, shard_of
from .reader import Readers

# Of one transaction, which holds its fence: as much as a mover's.
ROWS_AT_ONCE = 500
ROWS_PADDED = 512
BYTES_AT_ONCE = 1024 * 1024
# SQLite takes 32,766 values in a statement.
MAX_PLACES = 32_000

# How often a piece is tried again that lost a race for one of its keys; then its rows go one by one.
MAX_RACES = 3

# How often one shard's connections or locks are waited for in vain until the rest of its rows is not tried.
MAX_TIMEOUTS = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that was not inserted: 409 it exists, 422 it breaks the declaration, 503 its shard cannot answer.

    `errors` of a 422 are InvalidRow's. `outcome` and `shard` are of a 503: "none", or "unknown", where the row may
    have been inserted after all.
    """

    index: int
    status: Literal[409, 422, 503]
    detail: str
    errors: list[dict[str, str]] | None = None
    outcome: str | None = None
    shard: str | None = None


@dataclass(frozen=True, slots=True)
class Bulk:
    """What became of a bulk insert; `failed` by index."""

    inserted: int
    failed: list[Failure]


class Single(Protocol):
    """What we need of the single-key protocol: rows that move, and those that are in each other's way."""

    def insert(self, row: Row) -> object:
        """A row of this key, or of a new one if it is None."""
        ...


class BulkInsert(Asker):
    """Bulk inserts into one table. `next_id` makes the key of a row that has none."""

    def __init__(self, table: Table, map: Map, lanes: Lanes, readers: Readers, store: Single,
                 next_id: Callable[[], int], wait_s: float) -> None:
        super().__init__(table, map, lanes, readers, wait_s)
        self._store = store
        self._next_id = next_id

    def insert(self, bodies: Iterable[object], check: Callable[[object], Row]) -> Bulk:
        """Each of `bodies` as the row that `check` makes of it, which raises InvalidRow. Raises nothing of a row."""
        failed: dict[int, Failure] = {}
        pending: dict[int, Row] = {}
        generated: set[int] = set()
        keys: set[Key] = set()
        for index, body in enumerate(bodies):
            try:
                row = check(body)
            except InvalidRow as error:
                failed[index] = Failure(index, 422, str(error), error.errors)
                continue
            if row[self._table.key.name] is None:
                row = {**row, self._table.key.name: self._next_id()}
                generated.add(index)
            key = self.key(row)
            if key in keys:
                failed[index] = Failure(index, 409, f"the key {key!r} is in an earlier row of the request")
            else:
                keys.add(key)
                pending[index] = row
        refused = self._insert(pending, generated)
        failed.update(refused)
        return Bulk(len(pending) - len(refused), [failed[index] for index in sorted(failed)])

    def key(self, row: Row) -> Key:
        """That of a row."""
        return row[self._table.key.name]    # type: ignore[return-value]    # it was checked

    def _insert(self, rows: dict[int, Row], generated: set[int]) -> dict[int, Failure]:
        failed: dict[int, Failure] = {}
        pending = dict(rows)
        cause = ShardUnavailable("meta", f"the map changed {MAX_RESTARTS} times")
        for _ in range(MAX_RESTARTS):
            topology = self._map.topology
            works = self._works(topology, pending, generated)
            if not works:
                break
            try:
                self._lanes.ask({name: works[name].do for name in sorted(works)})
            except (ForeignEpoch, PoolTimeout) as error:
                # Of those that were not begun; the others keep what failed to themselves.
                for work in works.values():
                    work.refuse(error)
            pending = {}
            foreign = [work.foreign for work in works.values() if work.foreign is not None]
            for work in works.values():
                failed.update(work.failed)
                pending.update(work.again)
            if foreign:
                try:
                    self._map.stale(topology, foreign[0].shard, time.monotonic() + self._wait_s)
                except ShardUnavailable as stuck:
                    cause = stuck
                    break
        return failed | {index: unavailable(index, cause) for index in pending}

    def _works(self, topology: Topology, rows: dict[int, Row], generated: set[int]) -> dict[str, _Work]:
        works: dict[str, _Work] = {}
        for index, row in rows.items():
            route = topology.routes[slot_of(self.key(row))]
            work = works.get(route.shard)
            if work is None:
                work = works[route.shard] = _Work(self, topology, route.shard, generated)
            (work.settled if route.kind == "stable" else work.moving)[index] = row
        return works

    def is_old(self, topology: Topology, began_s: float) -> bool:
        """Whether what failed since `began_s` went by an old map."""
        return is_replaced(self._map, topology, took_s=time.monotonic() - began_s)

    def one(self, row: Row) -> None:
        """By the single-key protocol."""
        self._store.insert(row)

    def exists(self, row: Row) -> str:
        """What is said of a row whose key another one has."""
        return str(DuplicateKey(self._table.name, self.key(row)))

    def without_key(self, row: Row) -> Row:
        """The row as it was given to us: the store makes another key."""
        return {**row, self._table.key.name: None}

    def pieces(self, rows: dict[int, Row]) -> Iterator[dict[int, Row]]:
        """What goes into one transaction each."""
        most = max(1, min(ROWS_AT_ONCE, MAX_PLACES // (len(self._table.columns) + 1)))
        piece: dict[int, Row] = {}
        size = 0
        for index, row in rows.items():
            n = sum(len(value) if isinstance(value, str | bytes) else 16 for value in row.values())
            if piece and (len(piece) == most or size + n > BYTES_AT_ONCE):
                yield piece
                piece, size = {}, 0
            piece[index] = row
            size += n
        if piece:
            yield piece

    def write(self, topology: Topology, name: str, rows: Sequence[Row]) -> set[Key]:
        """Insert those whose keys no row has; the keys of the others. Raises ForeignEpoch, and what shards raise."""
        shard = shard_of(self._map, name)
        codec = self._readers.codecs[shard.dialect]
        slots = [slot_of(self.key(row)) for row in rows]
        stripes = sorted({slot % STRIPES for slot in slots})
        [stripes_asked] = padded(stripes, STRIPES)
        [keys_asked] = padded([codec.key(self.key(row)) for row in rows], ROWS_PADDED)

        def turn(session: Session) -> set[Key]:
            prove(topology, name, session.rows(_fence(shard.dialect, len(stripes_asked)), stripes_asked))
            found = {codec.key_back(key) for key, in session.rows(_known(self._table, len(keys_asked)), keys_asked)}
            fresh = [(*codec.values(row), slot) for row, slot in zip(rows, slots, strict=True)
                     if self.key(row) not in found]
            if fresh:
                session.run(_insert(self._table, len(fresh)), [value for values in fresh for value in values])
            return found

        for race in range(MAX_RACES):
            try:
                return shard.write(turn)
            except Duplicate:
                if race == MAX_RACES - 1:
                    raise
        raise AssertionError


class _Work:
    """One shard's rows of a bulk insert, by index."""

    def __init__(self, bulk: BulkInsert, topology: Topology, name: str, generated: set[int]) -> None:
        self.settled: dict[int, Row] = {}
        self.moving: dict[int, Row] = {}
        self.failed: dict[int, Failure] = {}
        self.again: dict[int, Row] = {}             # another shard's by now
        self.foreign: ForeignEpoch | None = None
        self._bulk = bulk
        self._topology = topology
        self._name = name
        self._generated = generated
        self._began = False
        self._timeouts = 0
        self._down: ShardUnavailable | None = None  # why the rest is not tried

    def do(self) -> None:
        """Insert what can be; the rest is in `failed` and `again`."""
        self._began = True
        for piece in self._bulk.pieces(self.settled):
            if self.foreign is not None:
                self.again.update(piece)
            elif self._down is not None:
                self._fail(piece, self._down)
            else:
                self._piece(piece)
        self._singly(self.moving)

    def refuse(self, error: ForeignEpoch | PoolTimeout) -> None:
        """It was never begun, if it was not."""
        if self._began:
            return
        if isinstance(error, ForeignEpoch):
            self.foreign = error
            self.again = {**self.settled, **self.moving}
        else:
            self._fail({**self.settled, **self.moving}, error)

    def _piece(self, piece: dict[int, Row]) -> None:
        began_s = time.monotonic()
        try:
            found = self._bulk.write(self._topology, self._name, list(piece.values()))
        except ForeignEpoch as foreign:
            self.foreign = foreign
            self.again.update(piece)
        except (Duplicate, OutOfRange):
            # One row is to blame, and they stand alone.
            self._singly(piece)
        except (ShardUnavailable, NoSuchTable) as error:
            # As for a list: only an old map names a shard that has left.
            if getattr(error, "outcome", "none") == "none" and self._bulk.is_old(self._topology, began_s):
                self.foreign = ForeignEpoch(self._name, "it has left")
                self.again.update(piece)
            elif isinstance(error, ShardUnavailable):
                self._lost(piece, error)
            else:
                raise
        else:
            known = {index: row for index, row in piece.items() if self._bulk.key(row) in found}
            self._singly({index: row for index, row in known.items() if index in self._generated})
            for index in known.keys() - self._generated:
                self.failed[index] = Failure(index, 409, self._bulk.exists(known[index]))

    def _singly(self, rows: dict[int, Row]) -> None:
        for index, row in rows.items():
            if self._down is not None:
                self._fail({index: row}, self._down)
                continue
            try:
                self._bulk.one(self._bulk.without_key(row) if index in self._generated else row)
            except DuplicateKey as error:
                self.failed[index] = Failure(index, 409, str(error))
            except InvalidRow as error:
                self.failed[index] = Failure(index, 422, str(error), error.errors)
            except ShardUnavailable as error:
                self._lost({index: row}, error)

    def _lost(self, rows: dict[int, Row], error: ShardUnavailable) -> None:
        """These failed; is it worth a try with the next ones?"""
        for index in rows:
            self.failed[index] = unavailable(index, error)
        self._timeouts += 1
        # Somebody may hold one row for long, and not the others.
        if not isinstance(error, PoolTimeout) or self._timeouts >= MAX_TIMEOUTS:
            self._down = ShardUnavailable(error.shard, error.cause, retry_after_s=error.retry_after_s)

    def _fail(self, rows: Iterable[int], error: ShardUnavailable) -> None:
        for index in rows:
            self.failed[index] = unavailable(index, error)


def unavailable(index: int, error: ShardUnavailable) -> Failure:
    """What is said of a row whose shard could not answer."""
    return Failure(index, 503, str(error), outcome=error.outcome, shard=error.shard)


@lru_cache(maxsize=16)
def _fence(dialect: Dialect, n: int) -> Statement:
    locked = "" if dialect == "sqlite" else " LOCK IN SHARE MODE"
    return Statement(f"SELECT MIN(epoch), MAX(epoch) FROM _hp_fence WHERE stripe IN ({', '.join('?' * n)}){locked}")


@lru_cache(maxsize=256)
def _known(table: Table, n: int) -> Statement:
    key = quoted(table.key.name)
    return Statement(f"SELECT {key} FROM {quoted(table.name)} WHERE {key} IN ({', '.join('?' * n)})")


@lru_cache(maxsize=64)
def _insert(table: Table, n: int) -> Statement:
    names = ", ".join(quoted(column.name) for column in table.columns)
    row = f"({', '.join('?' * (len(table.columns) + 1))})"
    return Statement(f"INSERT INTO {quoted(table.name)} ({names}, _hp_slot) VALUES {', '.join([row] * n)}")

"""A node of dicts: what the routes ask of the real one, for tests of what they make of its answers."""
from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec

from hotpath.core.config import loads
from hotpath.core.errors import (
    DuplicateKey,
    InvalidRow,
    PoolTimeout,
    ReshardConflict,
    ShardUnavailable,
    UncertainOutcome,
)
from hotpath.core.serve.testing import Served, serving
from hotpath.shard.config import ShardConfig
from hotpath.shard.rows.aggregates import Totals
from hotpath.shard.rows.ids import Ids
from hotpath.shard.schema import hash_of, slot_of
from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology, placed
from hotpath.shard.web.service import Service
from hotpath.shard.web.tally import Tally

TABLES = """
tables:
  posts:
    key: id
    columns:
      id: {type: bigint, generate: true}
      author: string(64)
      likes: {type: int, default: 0}
      note: text?
  pages:
    key: path
    columns:
      path: string(255)
      body: text?
  blobs:
    key: digest
    columns:
      digest: binary(255)
      data: blob?
  kinds:
    key: id
    columns:
      id: bigint
      d: "decimal(10,2)?"
      x: double?
      at: datetime?
      ok: bool?
      doc: json?
"""
NAMES = ("s0", "s1", "s2")

# Rows that a shard cannot answer for, by what stands in their author.
FAULTS: dict[str, Callable[[], Exception]] = {
    "down": lambda: ShardUnavailable("s1", "cannot be reached", retry_after_s=2.5),
    "busy": lambda: PoolTimeout("s1", "no connection within 2 s"),
    "lost": lambda: UncertainOutcome("s1", "the connection was lost"),
}


def config_of(text: str = "") -> ShardConfig:
    """The tables above, and what `text` says besides."""
    return loads(text + TABLES, ShardConfig)


def topology_of(*, moving: bool = False) -> Topology:
    names = (*NAMES, "s3") if moving else NAMES
    owners = placed(dict.fromkeys(names, 1.0), 256, names)
    members = tuple(Member(name, 1.0, "joining" if name == "s3" else "active", f"sqlite:{name}.db") for name in names)
    moves: tuple[Move, ...] = ()
    if moving:
        old = placed(dict.fromkeys(NAMES, 1.0), 256, NAMES)
        moves = tuple(
            Move(f"m{i}", name, "s3", MoveState.DUAL, Slots(slot for slot in range(65536)
                                                            if old[slot] == i and owners[slot] == 3))
            for i, name in enumerate(NAMES))
    return Topology(7, members, dict.fromkeys(names, 1), array("H", owners), moves)


class Store:
    """Rows of one table."""

    def __init__(self, node: StandIn, name: str) -> None:
        self.node, self.table, self.rows = node, node.config.schema[name], {}
        self.key_name = self.table.key.name

    def shard(self, key: Any) -> str:
        return self.node.topology.owner(slot_of(key))

    def ask(self, row: dict[str, Any]) -> None:
        for word, fault in FAULTS.items():
            if row.get("author") == word:
                raise fault()
        if row.get("author") == "broken":
            raise RuntimeError("a mistake of ours")
        if row.get("author") == "slow":
            self.node.free.wait(30)

    def insert(self, row: dict[str, Any]) -> tuple[dict[str, Any], str]:
        key = row[self.key_name]
        self.ask(row)
        with self.node.lock:
            if key in self.rows:
                raise DuplicateKey(self.table.name, key)
            self.rows[key] = row
        return row, self.shard(key)

    def get(self, key: Any) -> tuple[dict[str, Any] | None, str]:
        return self.rows.get(key), self.shard(key)

    def put(self, row: dict[str, Any]) -> tuple[bool, str]:
        self.ask(row)
        key = row[self.key_name]
        created = key not in self.rows
        self.rows[key] = row
        return created, self.shard(key)

    def update(self, key: Any, changes: Any) -> tuple[bool, str]:
        self.ask(changes.sets)
        row = self.rows.get(key)
        if row is not None:
            row = {**row, **changes.sets, **{name: row[name] + n for name, n in changes.adds.items()}}
            if abs(row.get("likes", 0)) >= 2**31:
                raise InvalidRow([{"path": "likes", "message": "out of range"}])
            self.rows[key] = row
        return row is not None, self.shard(key)

    def delete(self, key: Any) -> tuple[bool, str]:
        return self.rows.pop(key, None) is not None, self.shard(key)


class Scatter:
    """The same rows, many at once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def page(self, query: Any) -> Any:
        rows = sorted(self.store.rows.values(), key=query.sort_key())
        if self.store.node.is_down:
            raise ShardUnavailable("s2", "cannot be reached")
        cut = rows[:query.limit]
        return SimpleNamespace(rows=[query.shown(row) for row in cut],
                               next=query.cursor(cut[-1]) if len(rows) > len(cut) else None)

    def aggregate(self, summary: Any) -> Totals:
        totals = Totals(summary.aggregates)
        for row in self.store.rows.values():
            totals.add_row(row)
        return totals

    def get_many(self, keys: list[Any]) -> list[Any]:
        return [self.store.rows.get(key) for key in keys]

    def insert_many(self, bodies: list[Any], check: Callable[[object], dict[str, Any]]) -> Any:
        failed, inserted = [], 0
        for index, body in enumerate(bodies):
            status, shard, outcome = 0, None, None
            try:
                row = check(body)
                row[self.store.key_name] = row[self.store.key_name] or self.store.node.ids.next()
                self.store.insert(row)
                inserted += 1
                continue
            except InvalidRow as error:
                status, detail = 422, str(error)
            except DuplicateKey as error:
                status, detail = 409, str(error)
            except ShardUnavailable as error:
                status, detail, shard, outcome = 503, str(error), error.shard, error.outcome
            failed.append(SimpleNamespace(index=index, status=status, detail=detail, shard=shard, outcome=outcome))
        return SimpleNamespace(inserted=inserted, failed=failed)


class Admin:
    """Notes what it is asked."""

    def __init__(self, node: StandIn) -> None:
        self.node = node

    def add(self, name: str, weight: float, dsn: str | None, **more: Any) -> dict[str, Any]:
        if name in NAMES:
            raise ReshardConflict(f"{name} is a shard already")
        self.node.begin("add", name, weight=weight, **more)
        return self.node.reshard

    def remove(self, name: str, **more: Any) -> dict[str, Any]:
        self.node.begin("remove", name, **more)
        return self.node.reshard

    def document(self) -> dict[str, Any] | None:
        return self.node.reshard

    def _steer(self, **changes: Any) -> dict[str, Any]:
        if self.node.reshard is None:
            raise ReshardConflict("no reshard runs")
        self.node.reshard = {**self.node.reshard, **changes}
        return self.node.reshard

    def pause(self) -> dict[str, Any]:
        return self._steer(paused=True)

    def resume(self) -> dict[str, Any]:
        return self._steer(paused=False)

    def throttle(self, rate: float) -> dict[str, Any]:
        return self._steer(rate={"limit": rate, "now": 0})

    def complete(self) -> dict[str, Any]:
        return self._steer(state="completing")

    def cancel(self) -> dict[str, Any]:
        return self._steer(state="cancelling")


def pool() -> SimpleNamespace:
    return SimpleNamespace(in_use=1, size=3, waiting=0)


@dataclass
class StandIn:
    """What a worker has instead of a Node."""

    config: ShardConfig
    topology: Topology = field(default_factory=topology_of)
    reshard: dict[str, Any] | None = None
    is_down: bool = False
    status_s: float = 0.0
    moved: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.free = threading.Event()
        self.ids = Ids(1)
        self.identity = SimpleNamespace(next=self.ids.next, at_hand=self.at_hand)
        self.stores = {name: Store(self, name) for name in self.config.schema}
        self.scatter = {name: Scatter(store) for name, store in self.stores.items()}
        self.admin = Admin(self)
        self.directory = SimpleNamespace(
            counts=SimpleNamespace(epoch_retries=2, fallback_reads=3, pulls=4),
            shards={name: SimpleNamespace(stats=pool) for name in NAMES})

    def at_hand(self) -> int | None:
        """Every other time somebody would have to be asked."""
        key = self.ids.next()
        return key if key % 2 else None

    def begin(self, kind: str, name: str, *, hold: bool | None = None, rate: float | None = None, **more: Any) -> None:
        self.topology = topology_of(moving=True)
        self.reshard = {
            "id": "r1", "kind": kind, "shard": name, "state": "copying", "paused": False, "error": None,
            "hold": bool(hold), "slots": {"total": 16384, "copied": 8000, "verified": 0},
            "rows": {"total": 10000, "copied": 4200, "pulled": 100, "dirty": 7, "verified": 0, "deleted": 0},
            "rate": {"limit": 20000 if rate is None else rate, "now": 1234}, "eta_s": 5.0,
            "started": "2026-01-31T12:00:00Z", "finished": None,
            "moves": [{"source": source, "target": "s3", "state": "dual", "slots": 5461, "rows": 1400}
                      for source in NAMES], "given": more}

    def status(self) -> dict[str, Any]:
        if self.is_down:
            raise ShardUnavailable("meta", "cannot be reached")
        time.sleep(self.status_s)
        slots = self.topology.slots
        return {
            "cluster": "blog", "version": self.topology.version, "backend": "embedded", "fence": True,
            "state": "moving" if self.topology.moves else "stable",
            "shards": [{
                "name": one.name, "state": one.state, "weight": one.weight, "slots": len(slots[one.name]),
                "share": len(slots[one.name]) / 65536, "epoch": 1, "up": True, "address": f"/data/{one.name}.db",
                "server": None, "pid": None, "rows": {name: len(store.rows) for name, store in self.stores.items()},
                "pool": {"size": 3, "in_use": 1, "waiting": 0, "max": 16}} for one in self.topology.members],
            "reshard": self.reshard, "routers": [{"id": "1", "host": "here", "pid": 1, "version": 7}]}

    def owner(self, table: str, key: Any) -> dict[str, Any]:
        slot = slot_of(key)
        return {"key": key if not isinstance(key, bytes) else key.hex(), "hash": f"{hash_of(key):016x}", "slot": slot,
                "owner": self.topology.owner(slot), "source": None}

    @property
    def house(self) -> StandIn:
        return self

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def standing_in(text: str = "", *, token: str | None = None, workers: int = 1,
                prepare: Callable[[StandIn], None] = lambda node: None) -> Iterator[Served]:
    """A router of stand-ins, one in each worker, while the block runs."""
    config = config_of(text)

    def opened(_meter: object) -> StandIn:
        node = StandIn(config)
        prepare(node)
        return node

    tally = Tally(2 * workers + 8)
    app = Service(config, tally, token=token, opened=opened).app()      # type: ignore[arg-type]
    with serving(app, msgspec.structs.replace(config, workers=workers), workers=workers) as served:
        yield served

"""A small cluster for a mover: SQLite files, or databases on real servers; with a store, as one router has it."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import cast

from hotpath.core.config import loads
from hotpath.shard.bringup import bring_up
from hotpath.shard.config import ShardConfig
from hotpath.shard.directory import Directory
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Shard, Statement
from hotpath.shard.mover import Admin, Mover
from hotpath.shard.mover.reshard import Reshard, loaded
from hotpath.shard.rows.ids import Ids
from hotpath.shard.schema import Key, Row, slot_of
from hotpath.shard.store.store import Store

VNODES = 8
# A table for each kind of key, with a column of each type between them; its names would do for SQL and for our own.
TABLES = """
tables:
  posts:
    key: id
    columns:
      id: bigint
      author: string(64)
      body: text?
      likes: {type: int, default: 0}
      price: "decimal(12,3)?"
      score: double?
      seen: bool
      at: datetime?
      raw: blob?
    indexes: [[author]]
  order:
    key: k
    columns: {slot: int, k: string(40), dirty: "json?"}
  bits:
    key: k
    columns: {k: binary(20), group: bigint}
"""


class Cluster:
    """`n` shards s0, s1, …; what a router process has of them, and the movers that the test asks for."""

    spare: Endpoint | None = None       # for one shard more, where servers are somebody else's

    def __init__(self, config: ShardConfig) -> None:
        self.config = config
        self.house = bring_up(config)
        self.meta = self.house.meta
        self.directory = Directory(self.meta, config.pool)
        ids = Ids(1)
        self.stores = {name: Store(table, self.directory, ids) for name, table in config.schema.items()}
        self.admin = Admin(self.directory, self.house, config)
        self._holders = count(1)
        self.held_by = ""           # the last mover

    def close(self) -> None:
        self.directory.close()
        self.house.close()

    def add(self, name: str = "s9", **options: object) -> dict[str, object]:
        """Ask for a shard more."""
        return self.admin.add(name, dsn=None if self.spare is None else str(self.spare),
                              **options)        # type: ignore[arg-type]

    def mover(self, **options: object) -> Mover:
        """Another one."""
        self.held_by = f"mover-{next(self._holders)}"
        return Mover(self.directory, self.config, self.held_by, backend=self.house.backend,
                     **options)      # type: ignore[arg-type]

    def reshard(self) -> Reshard:
        """The record as it stands."""
        text = self.meta.reshard()
        assert text is not None
        return loaded(text)

    def moving(self, rows: dict[Key, Row]) -> list[Key]:
        """The keys of `rows` that will move, are moving, or have just moved."""
        slots = [one.slots for one in self.reshard().moves]
        return [key for key in rows if any(slot_of(key) in some for some in slots)]

    def carry(self) -> Reshard:
        """The reshard to its end, its hold, or its error; in this thread."""
        mover = self.mover()
        record = mover.run_until_done()
        assert record is not None
        return record

    # ---- rows

    def fill(self, n: int) -> dict[str, dict[Key, Row]]:
        """`n` rows in each table; all that stands, by table and key."""
        all_ = {name: {cast(Key, row[table.key.name]): row for row in map(ROWS[name], range(n))}
                for name, table in self.config.schema.items()}
        with ThreadPoolExecutor(8) as pool:      # they share commits
            for name, rows in all_.items():
                list(pool.map(self.stores[name].insert, rows.values()))
        return all_

    def rows(self) -> dict[str, dict[Key, Row]]:
        """What the shards hold, each row wherever it stands; a key that stands twice is an error."""
        found: dict[str, dict[Key, Row]] = {}
        for name, table in self.config.schema.items():
            mine = found.setdefault(name, {})
            for member in self.directory.topology.members:
                for row in self.plain(member.name, name):
                    key = cast(Key, row[table.key.name])
                    assert key not in mine, f"{name} {key!r} stands twice"
                    mine[key] = row
        return found

    def plain(self, shard: str, table: str) -> list[Row]:
        """The rows that stand on a shard."""
        side = self.stores[table].side(self.shard(shard).dialect)
        columns = ", ".join(f"`{column.name}`" for column in self.config.schema[table].columns)
        return [side.codec.row(row) for row in self.shard(shard).rows(Statement(f"SELECT {columns} FROM `{table}`"))]

    def shard(self, name: str) -> Shard:
        return self.directory.shard(name)

    def count(self, shard: str, table: str) -> int:
        """Rows of any table on a shard."""
        return int(str(self.shard(shard).rows(Statement(f"SELECT COUNT(*) FROM `{table}`"))[0][0]))

    def is_clean(self) -> bool:
        """No mark and no cursor is left on any shard."""
        return not any(self.count(member.name, table) for member in self.directory.topology.members
                       for table in ("_hp_moved", "_hp_cursor"))


def post(n: int) -> Row:
    """A row whose values `n` decides; some are hard to write down."""
    texts = [None, "", "it's \\ \"quoted\" ?\n\r\t\x1a %s", "ключ \U0001f600", "x" * 3000]
    return {"id": (n * 2_654_435_761 - 2**40) * (-1) ** n, "author": f"автор '{n % 7}", "body": texts[n % 5],
            "likes": n - 50, "price": None if n % 3 == 0 else Decimal(n - 10).scaleb(-3),
            "score": [None, 0.1 + n, -0.0, 1e-300 * n, 5e-324, 1.7976931348623157e308, n / 3][n % 7],
            "seen": n % 2 == 0, "at": None if n % 4 == 0 else datetime(2026, 1, 1, 0, 0, n % 60, n, tzinfo=UTC),
            "raw": [None, b"", bytes(range(256)), b"'\\\0?"][n % 4]}


ROWS: dict[str, Callable[[int], Row]] = {
    "posts": post,
    "order": lambda n: {"slot": n, "k": f"ключ {n}" if n % 2 else f"key '{n}\\ ",
                        "dirty": [None, {"a": [n, "?"]}][n % 2]},
    "bits": lambda n: {"k": n.to_bytes(3, "big") + b"\0'", "group": n * 2**40},
}


@contextmanager
def on_files(folder: Path, n: int = 2, *, fenced: bool = True, **move: object) -> Iterator[Cluster]:
    """A cluster of SQLite files."""
    with opened(config_of(f"data: {folder}/data\nshards: {n}\nfence: {str(fenced).lower()}\n", move)) as cluster:
        yield cluster


@contextmanager
def on_servers(folder: Path, places: list[Endpoint], **move: object) -> Iterator[Cluster]:
    """A cluster on these databases; the map is on the first one's server."""
    shards = "".join(f"  - {{name: s{i}, dsn: \"{place}\"}}\n" for i, place in enumerate(places))
    config = config_of(f"data: {folder}/data\ncluster: {places[0].database.replace('_', '-')}\nbackend: dsn\n"
                       f"shards:\n{shards}", move)
    with opened(config) as cluster:
        yield cluster


def config_of(head: str, move: dict[str, object]) -> ShardConfig:
    lines = "".join(f", {name}: {str(value).lower()}" for name, value in ({"rate": 0} | move).items())
    return loads(f"{head}vnodes: {VNODES}\nmove: {{{lines[2:]}}}\n{TABLES}", ShardConfig)


@contextmanager
def opened(config: ShardConfig) -> Iterator[Cluster]:
    cluster = Cluster(config)
    try:
        yield cluster
    finally:
        cluster.close()

"""The cluster as a contender: a program that uses the Python API."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from hotpath.shard import ddl
from hotpath.shard.bringup import House
from hotpath.shard.cluster import Cluster
from hotpath.shard.config import ShardConfig
from hotpath.shard.declare import ColumnConfig, TableConfig
from hotpath.shard.node import Node
from hotpath.shard.rowset import Rows

from .bare import AUTHOR, TITLE
from .mixes import PAGE, ROWS

TABLE = "hotpath_bench"
DECLARED = TableConfig(key="id", columns={
    "id": ColumnConfig("bigint"), "author": ColumnConfig("string(64)"), "title": ColumnConfig("string(200)"),
    "likes": ColumnConfig("int")})


class OurClient:
    """The same for every thread: the pool behind it has a connection for each."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, key: int) -> object:
        """By key."""
        return self._rows.get(key)

    def insert(self, key: int) -> None:
        """A row of the same values as the rival's."""
        self._rows.insert({"id": key, "author": AUTHOR, "title": TITLE, "likes": 0})

    def update(self, key: int, likes: int) -> None:
        """By key."""
        self._rows.update(key, {"likes": likes})

    def delete(self, key: int) -> None:
        """By key."""
        self._rows.delete(key)

    def page(self, after: int) -> int:
        """In key order, over all shards."""
        return len(self._rows.list(where={"id": {"gt": after}}, order="id", limit=PAGE).rows)


class Ours:
    """hotpath-shard in this process."""

    name = "hotpath-shard"

    def __init__(self, house: House, config: ShardConfig, *, threads: int) -> None:
        """As many connections as threads: the rival has that many, too."""
        pool = msgspec.structs.replace(config.pool, max=max(config.pool.max, threads))
        self._config = msgspec.structs.replace(config, pool=pool, tables={TABLE: DECLARED})
        self._house = house
        self._rows: Rows | None = None

    @contextmanager
    def client(self) -> Iterator[OurClient]:
        """What the threads share."""
        assert self._rows is not None, "only within table()"
        yield OurClient(self._rows)

    @contextmanager
    def table(self) -> Iterator[None]:
        """The table on every shard, with rows, while the block runs."""
        node = Node(self._config, self._house)
        try:
            self._drop(node)
            for member in node.topology.members:
                ddl.create(node.directory.shard(member.name), node.schema.values())
            self._rows = Cluster(node).table(TABLE)
            made = self._rows.insert_many(
                [{"id": key, "author": AUTHOR, "title": TITLE, "likes": 0} for key in range(ROWS)])
            assert made.inserted == ROWS, made.failed
            yield
        finally:
            self._rows = None
            try:
                self._drop(node)
            finally:
                node.close()

    def _drop(self, node: Node) -> None:
        for member in node.topology.members:
            ddl.drop(node.directory.shard(member.name), TABLE)

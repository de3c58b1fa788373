"""Databases of both engines with the tables of `samples`, one for all tests of the folder."""
from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hotpath.shard import ddl
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Session, Shard, Statement, Values
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.engine.sqlite import create
from hotpath.shard.rows.codec import Codec
from hotpath.shard.schema import Row, Table, slot_of

from .samples import BY_BYTES, BY_NUMBER, BY_STRING

TABLES = {
    key: Table(f"by_{key}", table.columns, 0) for key, table in [
        ("number", BY_NUMBER), ("string", BY_STRING), ("bytes", BY_BYTES)]
}


class Database:
    """One of them."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.codecs = {table: Codec(table, shard.dialect) for table in TABLES.values()}
        ddl.create(shard, TABLES.values())

    def fill(self, table: Table, rows: list[Row]) -> None:
        """These rows and no others."""
        names = [f"`{column.name}`" for column in table.columns]
        insert = Statement(f"INSERT INTO {table.name} ({', '.join(names)}, _hp_slot) "
                           f"VALUES ({', '.join('?' * len(names))}, ?)")
        codec = self.codecs[table]

        def work(session: Session) -> None:
            session.run(Statement(f"DELETE FROM {table.name}"))
            for row in rows:
                session.run(insert, (*codec.values(row), slot_of(row["id"])))    # type: ignore[arg-type]

        self.shard.write(work)

    def rows(self, text: str, values: Values = ()) -> list[tuple[object, ...]]:
        """Of a statement that reads."""
        return [tuple(row) for row in self.shard.rows(Statement(text), values)]


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
              ) -> Iterator[Callable[[str], Database]]:
    """By the name of their engine, made when first asked for."""
    made: dict[str, Database] = {}

    def database(engine: str) -> Database:
        if engine not in made:
            if engine == "sqlite":
                endpoint = Endpoint("sqlite", path=str(tmp_path_factory.mktemp("rows") / "rows.db"))
                create(endpoint.path)
            else:
                endpoint = request.getfixturevalue("mysqls").databases(1)[0]
            made[engine] = Database(open_shard("s0", endpoint, PoolConfig()))
        return made[engine]

    yield database
    for one in made.values():
        one.shard.close()


@pytest.fixture(scope="session", params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest, databases: Callable[[str], Database]) -> Database:
    """Each of them."""
    return databases(request.param)

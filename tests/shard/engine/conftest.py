"""A real MariaDB for each module that asks, and a shard on it."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement
from hotpath.shard.engine.mysql import MySqlShard
from tests.mariadb import MariaDb, missing, running_mariadb

_CREATE = Statement("CREATE TABLE IF NOT EXISTS t (id BIGINT PRIMARY KEY, v VARCHAR(20) COLLATE utf8mb4_nopad_bin, "
                    "n TINYINT NOT NULL DEFAULT 0 CHECK (n <> 99)) ENGINE=InnoDB")
_EMPTY = Statement("DELETE FROM t")


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    if why := missing():
        pytest.skip(why)
    with running_mariadb() as started:
        started.execute("CREATE DATABASE shard")
        yield started


@pytest.fixture
def endpoint(server: MariaDb) -> Endpoint:
    return Endpoint("mysql", host="127.0.0.1", port=server.port, user="root", database="shard")


@pytest.fixture
def shard(endpoint: Endpoint) -> Iterator[MySqlShard]:
    """Its table `t (id, v)` is empty."""
    opened = MySqlShard("s1", endpoint, PoolConfig(wait=5.0))
    opened.run(_CREATE)
    opened.run(_EMPTY)
    yield opened
    opened.close()

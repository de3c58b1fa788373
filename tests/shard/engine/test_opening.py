"""An endpoint becomes a shard of its kind, which connects when it is first used."""
from __future__ import annotations

import pytest

from hotpath.core.errors import ShardUnavailable
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement
from hotpath.shard.engine.opening import open_shard
from tests.waiting import free_port


@pytest.mark.parametrize(("dsn", "dialect"), [
    ("sqlite:/nowhere/s1.db", "sqlite"), ("mysql://somebody:secret@127.0.0.1:1/d", "mysql")])
def test_to_open_it_reaches_for_nothing(dsn, dialect):
    shard = open_shard("s1", Endpoint.parse(dsn), PoolConfig(max=5), max=2)
    assert (shard.name, shard.dialect, str(shard.endpoint)) == ("s1", dialect, dsn)
    stats = shard.stats()
    assert (stats.size, stats.in_use, stats.waiting, stats.max, stats.up) == (0, 0, 0, 2, True)
    with pytest.raises(ShardUnavailable) as error:
        shard.rows(Statement("SELECT 1"))
    assert "secret" not in str(error.value)
    assert not shard.stats().up
    shard.close()


def test_a_port_that_nobody_listens_on_is_named():
    port = free_port()
    shard = open_shard("s1", Endpoint.parse(f"mysql://somebody@127.0.0.1:{port}/d"), PoolConfig())
    with pytest.raises(ShardUnavailable, match=f"s1: 127.0.0.1:{port}: "):
        shard.rows(Statement("SELECT 1"))

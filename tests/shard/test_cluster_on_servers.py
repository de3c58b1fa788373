"""The library on real MySQL servers that it starts itself."""
from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from hotpath.core.errors import ShardUnavailable
from hotpath.shard import Cluster
from hotpath.shard.bringup import bring_up, take_down
from tests.scratch import scratch
from tests.shard.servers import guarded
from tests.waiting import send_signal, wait_for

from .clusters import config_of, filled, watched_through, whole


@pytest.fixture
def cluster():
    pool = {"connect": "3s", "statement": "5s", "wait": "5s"}
    with scratch("hp") as folder, guarded(folder / "data"), \
            Cluster.open(config_of(folder, backend="process", shards=2, pool=pool)) as cluster:
        try:
            yield cluster
        finally:
            take_down(cluster.node.config, purge=True)


def is_back(order, rows):
    """Whether each row can be had again."""
    with suppress(ShardUnavailable):
        return None not in order.get_many(rows)


def test_a_cluster_of_real_servers_grows_and_shrinks_while_it_serves(cluster):
    rows = filled(cluster)
    whole(cluster, rows)

    def story():
        assert cluster.add_shard("s2").wait(60)["state"] == "done"
        assert cluster.remove_shard("s1").wait(60)["state"] == "done"

    watched_through(cluster, rows, story)
    assert [shard["name"] for shard in cluster.status()["shards"]] == ["s0", "s2"]


def test_a_server_that_stops_or_dies_takes_its_own_keys_along_and_brings_them_back(cluster):
    rows = filled(cluster, 60)
    order = cluster.table("order")
    dead = wait_for(lambda: next((shard for shard in cluster.status()["shards"]
                                  if shard["name"] == "s1" and shard["pid"]), None), "the pid of s1")
    by_owner = {name: [key for key in rows if cluster.owner("order", key)["owner"] == name] for name in ("s0", "s1")}
    send_signal(dead["pid"], signal.SIGSTOP)
    try:
        for ask in (order.list, lambda: order.get(by_owner["s1"][0])):
            with pytest.raises(ShardUnavailable) as found:
                ask()
            assert found.value.shard == "s1"
        assert all(order.get(key) is not None for key in by_owner["s0"])
        wait_for(lambda: [shard["up"] for shard in cluster.status()["shards"]] == [True, False], "the status to say so")
    finally:
        os.kill(dead["pid"], signal.SIGCONT)
    wait_for(lambda: is_back(order, rows), "it to answer again")
    os.kill(dead["pid"], signal.SIGKILL)
    with pytest.raises(ShardUnavailable) as found:
        order.get(by_owner["s1"][0])
    assert (found.value.shard, found.value.outcome) == ("s1", "none")
    for ask in (order.list, lambda: order.aggregate("count"), lambda: order.get_many(rows), lambda: list(order.scan())):
        with pytest.raises(ShardUnavailable):
            ask()
    assert all(order.get(key) is not None for key in by_owner["s0"])
    assert None not in order.get_many(by_owner["s0"])
    some = [{"key": f"new{i}"} for i in range(40)]
    bulk = order.insert_many(some)
    assert {one.status for one in bulk.failed} == {503}
    assert {(one.shard, one.outcome) for one in bulk.failed} == {("s1", "none")}
    assert {one.index for one in bulk.failed} == {
        i for i, row in enumerate(some) if cluster.owner("order", row["key"])["owner"] == "s1"}
    wait_for(lambda: [shard["up"] for shard in cluster.status()["shards"]] == [True, False], "the status to say so")
    bring_up(cluster.node.config).close()

    wait_for(lambda: is_back(order, rows), "its keys to be back")
    assert order.aggregate("count") == {"count": 60 + bulk.inserted}

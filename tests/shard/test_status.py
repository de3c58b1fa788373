"""The cluster as one document, also while something of it is away."""
from __future__ import annotations

import pytest

from hotpath.core.errors import ShardUnavailable
from hotpath.shard import Cluster, glimpses, status
from tests.waiting import DEADLINE_S, wait_for

from .clusters import config_of, filled


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Each look asks anew, and waits: a stall of ours is no slow server."""
    monkeypatch.setattr(glimpses, "REST", 0.0)
    monkeypatch.setattr(status, "WITHIN_S", DEADLINE_S)


@pytest.fixture
def cluster(tmp_path):
    with Cluster.open(config_of(tmp_path)) as cluster:
        yield cluster


def test_rows_are_counted_where_they_stand(cluster):
    filled(cluster, 60)
    shards = {shard["name"]: shard for shard in cluster.status()["shards"]}
    assert sum(shard["rows"]["order"] for shard in shards.values()) == 60
    assert {shard["rows"]["posts"] for shard in shards.values()} == {0}
    assert sum(shard["share"] for shard in shards.values()) == pytest.approx(1)
    assert all(shard["address"].endswith(f"{name}.db") for name, shard in shards.items())


def test_what_moves_is_in_it_while_it_moves(cluster):
    reshard = cluster.add_shard("s3", hold=True)
    reshard.wait(60)
    status = cluster.status()
    assert (status["state"], status["reshard"]["state"]) == ("moving", "verified")
    assert {shard["name"]: shard["state"] for shard in status["shards"]}["s3"] == "joining"
    reshard.cancel()
    reshard.wait(60)
    status = cluster.status()
    assert (status["state"], status["reshard"], len(status["shards"])) == ("stable", None, 3)


def test_a_map_that_is_away_leaves_what_was_known_of_it(cluster, monkeypatch):
    before = cluster.status()

    def away(*_):
        raise ShardUnavailable("meta", "away")

    monkeypatch.setattr(cluster.node.admin, "document", away)
    assert cluster.status()["routers"] == before["routers"]
    assert len(cluster.status()["shards"]) == 3


def test_a_map_that_never_answered_is_an_error(cluster, monkeypatch):
    def away(*_):
        raise ShardUnavailable("meta", "away")

    monkeypatch.setattr(cluster.node.admin, "document", away)
    with pytest.raises(ShardUnavailable, match="meta"):
        cluster.status()


def test_a_shard_that_is_away_is_not_up_and_keeps_its_last_count(cluster, monkeypatch):
    filled(cluster, 60)
    before = {shard["name"]: shard["rows"] for shard in cluster.status()["shards"]}
    shard = cluster.node.directory.shard("s1")

    def away():
        raise ShardUnavailable("s1", "away")

    with monkeypatch.context() as patch:
        patch.setattr(shard, "reading", away)
        wait_for(lambda: not _of(cluster, "s1")["up"], "it to be seen")
        assert _of(cluster, "s1")["rows"] == before["s1"]
        assert _of(cluster, "s0")["up"]
    wait_for(lambda: _of(cluster, "s1")["up"], "it to be back")


def _of(cluster, name):
    return next(shard for shard in cluster.status()["shards"] if shard["name"] == name)


def test_a_router_that_only_watched_says_stable_once_it_is_over(cluster, tmp_path):
    with Cluster.open(config_of(tmp_path)) as other:
        other.status()
        cluster.add_shard("s3").wait(60)
        status = other.status()
        assert (status["state"], status["reshard"], len(status["shards"])) == ("stable", None, 4)
        assert status["version"] == cluster.status()["version"]

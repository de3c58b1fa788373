"""One process's part of a cluster: who it is, that it lives, and that it lets go."""
from __future__ import annotations

import pytest

from hotpath.core.errors import ShardUnavailable, UnknownTable
from hotpath.shard import node as nodes
from hotpath.shard.bringup import bring_up
from hotpath.shard.cluster import Cluster, settings_of
from hotpath.shard.node import Identity, Node
from hotpath.shard.schema import slot_of
from tests.waiting import wait_for

from .clusters import config_of


@pytest.fixture
def house(tmp_path):
    house = bring_up(settings_of(config_of(tmp_path)))
    yield house
    house.close()


@pytest.fixture
def node(house):
    node = Node(house.config, house)
    yield node
    node.close()


def test_a_started_node_is_a_router_until_it_is_closed(house):
    node = Node(house.config, house)
    assert house.meta.routers() == []
    node.start()
    assert [router.id for router in house.meta.routers()] == [node.identity.id]
    node.close()
    assert house.meta.routers() == []
    node.close()


def test_nodes_make_ids_of_their_own(house):
    nodes = [Node(house.config, house) for _ in range(3)]
    ids = [one.identity.next() for one in nodes for _ in range(100)]
    assert len(set(ids)) == 300
    for one in nodes:
        one.close()


def test_who_was_taken_for_dead_goes_on_as_another(house):
    identity = Identity(house.meta)
    identity.join(1)
    before = identity.id
    house.meta.leave(before)
    last = identity.next()
    identity.beat(1)
    assert identity.id != before
    assert [router.id for router in house.meta.routers()] == [identity.id]
    assert identity.next() > last
    identity.leave()
    identity.leave()


def test_the_map_of_a_router_follows_by_itself(house, monkeypatch):
    monkeypatch.setattr(nodes, "BEAT_S", 0.01)
    with Cluster(Node(house.config, house)) as mover:
        other = Node(house.config, house)
        other.start()
        try:
            mover.node.start()
            assert mover.add_shard("s3").wait(60)["state"] == "done"
            wait_for(lambda: other.topology.version == mover.node.topology.version, "the same map")
            assert other.topology.slots["s3"]
        finally:
            other.close()
            mover.node.close()


def test_a_map_that_is_away_is_said_once_and_ends_nothing(house, monkeypatch, caplog):
    monkeypatch.setattr(nodes, "BEAT_S", 0.001)
    node = Node(house.config, house)
    beats = []

    def away(*_):
        beats.append(1)
        raise ShardUnavailable("meta", "away")

    monkeypatch.setattr(node.identity, "beat", away)
    node.start()
    wait_for(lambda: len(beats) > 3, "some beats")
    monkeypatch.undo()
    wait_for(lambda: house.meta.routers(), "a beat that is heard")
    node.close()
    assert caplog.text.count("meta away") == 1


def test_where_a_key_belongs_is_said_as_json_spells_it(node):
    found = node.owner("posts", 7)
    assert found == {"key": 7, "hash": found["hash"], "slot": slot_of(7), "owner": node.topology.owner(slot_of(7)),
                     "source": None}
    assert len(found["hash"]) == 16
    with pytest.raises(UnknownTable, match="allowed: posts, order"):
        node.owner("nothing", 7)

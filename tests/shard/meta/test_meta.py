"""What all routers agree on changes one at a time, and whoever is late is told so."""
from __future__ import annotations

import threading
from array import array
from dataclasses import replace

import pytest

from hotpath.core.errors import ShardUnavailable
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement, sqlite
from hotpath.shard.meta import Facts, Meta
from hotpath.shard.schema import SLOTS
from hotpath.shard.topology import Member, Topology
from hotpath.shard.transitions import Intent

FACTS = Facts("blog", "embedded", 8, True, {})
FIRST = Topology(1, (Member("s0", 1.0, "active", "sqlite:s0.db"),), {"s0": 1}, array("H", [0] * SLOTS))


def place_of(kind, request):
    if kind == "mysql":
        return request.getfixturevalue("mysqls").databases(1)[0]
    path = str(request.getfixturevalue("tmp_path") / "meta.db")
    sqlite.create(path)
    return Endpoint("sqlite", path=path)


@pytest.fixture(params=["sqlite", "mysql"])
def empty(request):
    meta = Meta.open(place_of(request.param, request), PoolConfig(wait=20.0))
    yield meta
    meta.close()


@pytest.fixture
def meta(empty):
    empty.create(FIRST, FACTS)
    return empty


def next_of(topology):
    return Intent(replace(topology, version=topology.version + 1), (("s0", topology.epochs["s0"] + 1),))


def test_before_the_first_up_there_is_no_map_and_it_is_made_once(empty):
    assert not empty.exists()
    empty.create(FIRST, FACTS)
    empty.create(replace(FIRST, version=7), FACTS)
    assert empty.exists()
    assert (empty.version(), empty.read().intent, empty.facts()) == (1, None, FACTS)
    assert empty.read().topology.members == FIRST.members


def test_one_intent_at_a_time_and_only_the_next_map_is_published(meta):
    intent = next_of(FIRST)
    assert not meta.publish(intent)             # nobody proposed it
    assert meta.propose(intent)
    assert not meta.propose(intent)
    assert meta.read().intent.fences == intent.fences
    assert meta.version() == 1
    assert meta.publish(intent)
    assert not meta.publish(intent)
    assert (meta.version(), meta.read().intent) == (2, None)
    assert not meta.propose(intent)             # of a map that is gone


def test_a_reshard_is_changed_as_one_and_stays_when_the_change_fails(meta):
    assert meta.reshard() is None
    assert meta.change_reshard(lambda old: None) is None
    assert meta.change_reshard(lambda old: b"first" if old is None else b"wrong") == b"first"

    def fail(old):
        raise ValueError(old)

    with pytest.raises(ValueError, match="first"):
        meta.change_reshard(fail)
    assert meta.reshard() == b"first"


def test_of_many_who_change_a_reshard_each_sees_the_one_before(meta):
    threads = [threading.Thread(target=lambda: [meta.change_reshard(lambda old: (old or b"") + b"x")
                                                for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meta.reshard() == b"x" * 20


def test_a_lease_is_one_holders_until_it_ends_or_is_dropped(meta):
    assert meta.take_lease("mover", "a", 60.0)
    assert meta.take_lease("mover", "a", 60.0)          # renewed
    assert not meta.take_lease("mover", "b", 60.0)
    meta.drop_lease("mover", "b")
    assert not meta.take_lease("mover", "b", 60.0)
    meta.drop_lease("mover", "a")
    assert meta.take_lease("mover", "b", 60.0)
    assert meta.take_lease("other", "a", -1.0)
    assert meta.take_lease("other", "b", 60.0)


def test_a_lease_of_a_clock_that_ran_ahead_is_nobodys(meta):
    assert meta.take_lease("mover", "a", 3600.0)
    assert meta.take_lease("mover", "b", 3.0)


def test_routers_have_numbers_of_their_own_and_the_gone_give_them_back(meta):
    assert [meta.join(name, 1) for name in "abc"] == [0, 1, 2]
    assert [one.id for one in meta.routers()] == ["a", "b", "c"]
    meta.leave("b")
    assert meta.join("d", 2) == 1
    assert {one.id: one.version for one in meta.routers()} == {"a": 1, "c": 1, "d": 2}
    assert meta.beat("a", 3)
    assert {one.id: one.version for one in meta.routers()}["a"] == 3


def test_who_was_silent_is_no_router_and_in_the_end_forgotten(meta):
    meta.join("a", 1)
    meta.shard.run(Statement("UPDATE _hp_router SET seen = seen - 60"))
    assert meta.routers() == []
    assert meta.beat("a", 1)                    # it only slept
    meta.shard.run(Statement("UPDATE _hp_router SET seen = seen - 7200"))
    assert meta.join("b", 1) == 0
    assert not meta.beat("a", 1)                # its number is another's: it must join again


def test_without_a_map_whoever_asks_is_told_what_makes_one(empty):
    empty.create(FIRST, FACTS)
    empty.shard.run(Statement("DELETE FROM _hp_cluster"))
    for ask in (empty.read, empty.version, empty.facts):
        with pytest.raises(ShardUnavailable, match="hotpath-shard up"):
            ask()

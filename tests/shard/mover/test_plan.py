"""What moves is the difference of two rings, and nothing else."""
from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.errors import ReshardConflict
from hotpath.shard.config import ShardConfig
from hotpath.shard.meta import Facts
from hotpath.shard.mover.plan import adding, check_tables, removing
from hotpath.shard.schema import SLOTS
from hotpath.shard.topology import Member, Topology, placed

VNODES = 16
weights_of = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.floats(0.2, 3), min_size=1)


def topology_of(weights: dict[str, float]) -> Topology:
    return Topology(1, tuple(Member(name, weight, "active", "") for name, weight in weights.items()),
                    dict.fromkeys(weights, 1), placed(weights, VNODES, tuple(weights)))


@settings(max_examples=6)
@given(weights=weights_of, weight=st.floats(0.2, 3))
def test_what_comes_to_a_new_shard_is_its_share(weights: dict[str, float], weight: float) -> None:
    topology = topology_of(weights)
    parts = adding(topology, "new", weight, VNODES)
    after = topology_of(weights | {"new": weight})
    coming = set()
    for part in parts:
        assert part.target == "new"
        assert all(topology.owner(slot) == part.source for slot in part.slots)
        assert not coming & set(part.slots)
        coming |= set(part.slots)
    assert coming == {slot for slot in range(SLOTS) if after.owner(slot) == "new"}


@settings(max_examples=6)
@given(weights=weights_of.filter(lambda weights: len(weights) > 1))
def test_what_leaves_goes_where_the_ring_without_it_says(weights: dict[str, float]) -> None:
    topology = topology_of(weights)
    name = next(iter(weights))
    after = topology_of({other: weight for other, weight in weights.items() if other != name})
    parts = removing(topology, name, VNODES)
    assert all(part.source == name for part in parts)
    assert all(after.owner(slot) == part.target for part in parts for slot in part.slots)
    assert sum(len(part.slots) for part in parts) == len(topology.slots[name])


def test_a_shard_that_comes_and_goes_leaves_the_map_as_it_was() -> None:
    topology = topology_of({"a": 1.0, "b": 2.0})
    there = {(part.source, part.slots) for part in adding(topology, "c", 1.5, VNODES)}
    both = topology_of({"a": 1.0, "b": 2.0, "c": 1.5})
    assert {(part.target, part.slots) for part in removing(both, "c", VNODES)} == there


def test_a_table_that_is_not_declared_here_is_not_left_behind() -> None:
    facts = cast(Facts, SimpleNamespace(tables={"posts": {}, "users": {}}))
    config = cast(ShardConfig, SimpleNamespace(tables={"posts": {}}, cluster="blog"))
    with pytest.raises(ReshardConflict, match="users"):
        check_tables(facts, config)

"""Slots, routes, and the map as text."""
from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data import Ring
from hotpath.shard.schema import SLOTS
from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology, dumped, loaded, placed

SETS = st.sets(st.integers(0, 200))


def topology_of(*names: str, moves: tuple[Move, ...] = (), kept: dict[str, Slots] | None = None) -> Topology:
    weights = dict.fromkeys(names, 1.0)
    return Topology(1, tuple(Member(name, 1.0, "active", f"sqlite:{name}.db") for name in names),
                    {name: 7 + i for i, name in enumerate(names)}, placed(weights, 16, names), moves, kept or {})


@given(one=SETS, other=SETS)
def test_slots_are_a_set(one, other):
    a, b = Slots(one), Slots(other)
    assert list(a) == sorted(one)
    assert len(a) == len(one)
    assert set(a | b) == one | other
    assert set(a - b) == one - other
    assert all((slot in a) == (slot in one) for slot in range(201))
    assert Slots.of_runs(a.runs) == a
    assert (a == b) == (one == other)
    assert all(before[1] + 1 < after[0] for before, after in zip(a.runs, a.runs[1:], strict=False))


def test_owners_are_those_of_the_ring_whatever_the_order_of_members():
    ring = Ring({"a": 1.0, "b": 2.0, "c": 1.0}, vnodes=64)
    for order in (("a", "b", "c"), ("c", "a", "b")):
        owners = placed({"b": 2.0, "c": 1.0, "a": 1.0}, 64, order)
        assert [order[owner] for owner in owners] == [ring.names[owner] for owner in ring.table(16)]


def test_slots_of_members_are_all_slots_once():
    topology = topology_of("a", "b", "c")
    assert sorted(slot for slots in topology.slots.values() for slot in slots) == list(range(SLOTS))
    assert all(topology.owner(slot) == name for name, slots in topology.slots.items() for slot in slots)


@pytest.mark.parametrize(("state", "kind", "shard", "source"), [
    (MoveState.PLANNED, "stable", None, None), (MoveState.DUAL, "dual", "b", "a"),
    (MoveState.COMPLETE, "stable", None, None), (MoveState.CLEANING, "stable", None, None),
    (MoveState.REVERSE, "reverse", "a", "b"), (MoveState.BACK, "stable", None, None),
])
def test_a_route_names_the_shards_that_each_state_asks(state, kind, shard, source):
    before = topology_of("a", "b")
    slot = next(iter(before.slots["a"]))
    topology = topology_of("a", "b", moves=(Move("1", "a", "b", state, Slots([slot])),))
    route = topology.routes[slot]
    assert (route.kind, route.source) == (kind, source)
    assert route.shard == (shard or "a")
    assert route.epoch == topology.epochs[route.shard]
    assert route.source_epoch == (topology.epochs[source] if source else 0)
    assert sum(one.kind != "stable" for one in topology.routes) == (kind != "stable")


def test_rows_are_foreign_where_a_move_has_left_them():
    slots = Slots([1, 2, 9])
    for state, name in ((MoveState.COMPLETE, "a"), (MoveState.CLEANING, "a"), (MoveState.BACK, "b")):
        topology = topology_of("a", "b", "c", moves=(Move("1", "a", "b", state, slots),), kept={"c": Slots([5])})
        assert topology.foreign == {"a": Slots(), "b": Slots(), "c": Slots([5]), name: slots}


def test_a_map_is_read_back_as_it_was_written():
    topology = topology_of("a", "b", moves=(Move("1-a-b", "a", "b", MoveState.DUAL, Slots([0, 1, 65535])),),
                           kept={"b": Slots([3, 4])})
    again = loaded(dumped(topology))
    assert again == topology
    assert [vars(one) if hasattr(one, "__dict__") else one.shard for one in again.routes] == [
        one.shard for one in topology.routes]


def test_a_map_with_too_few_slots_is_refused():
    topology = Topology(1, (Member("a", 1.0, "active", "sqlite:a"),), {"a": 1}, array("H", [0] * 10))
    with pytest.raises(ValueError, match="10 slots"):
        loaded(dumped(topology))

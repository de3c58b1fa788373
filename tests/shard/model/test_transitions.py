"""The transitions that the model searches are those of the product: same fences, same order, same shards asked."""
from __future__ import annotations

from array import array

import pytest

from hotpath.shard import transitions
from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology
from tests.shard.model.reshard import Reshard
from tests.shard.model.world import Map, State

SLOT = 7
NAMES = ("a", "b")
MODEL = Reshard()


def planned(epochs: tuple[int, int]) -> Topology:
    """Slot 7 is to move from a to b."""
    move = Move("1-a-b", "a", "b", MoveState.PLANNED, Slots([SLOT]))
    return Topology(1, tuple(Member(name, 1.0, "active", "") for name in NAMES), dict(zip(NAMES, epochs, strict=True)),
                    array("H", [0] * 65536), (move,))


def alike(known: Map, topology: Topology) -> bool:
    """Routers do the same for the key by either."""
    route = topology.routes[SLOT]
    asked = {name: topology.epochs[name] for name in NAMES} == dict(zip(NAMES, known.epochs, strict=True))
    if known.alone is not None:
        return asked and (route.kind, route.shard, route.epoch) == ("stable", NAMES[known.alone],
                                                                    known.epochs[known.alone])
    kind, written = ("dual", known.new) if known.state is State.DUAL else ("reverse", known.old)
    return asked and (route.kind, route.shard, route.epoch, route.source, route.source_epoch) == (
        kind, NAMES[written], known.epochs[written], NAMES[1 - written], known.epochs[1 - written])


PATHS = {
    "moved": [(lambda topology: transitions.open_source(topology, "a"), MODEL.open),
              (transitions.complete, lambda known: MODEL.turned(known, State.COMPLETE, known.new)),
              (transitions.clean, MODEL.clean),
              (transitions.settle, lambda known: MODEL.turned(known, State.STABLE, old=known.new))],
    "taken back": [(lambda topology: transitions.open_source(topology, "a"), MODEL.open),
                   (transitions.reverse, lambda known: MODEL.turned(known, State.REVERSE, known.new, known.old)),
                   (transitions.back, lambda known: MODEL.turned(known, State.BACK, known.old, known.new)),
                   (transitions.settle, lambda known: MODEL.turned(known, State.STABLE))],
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_each_transition_is_the_products(path):
    topology, known = planned((3, 8)), Map(State.STABLE, 0, (3, 8))
    for real, modelled in path:
        intent, of_model = real(topology), modelled(known)
        assert [(NAMES[which], epoch) for which, epoch in of_model.fences] == list(intent.fences)
        topology, known = intent.next, of_model.next
        assert alike(known, topology), (known, topology.moves)

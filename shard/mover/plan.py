"""Which slots move from where to where, when a shard comes or goes."""
from __future__ import annotations

from array import array
from dataclasses import dataclass

from hotpath.core.errors import ReshardConflict
from hotpath.shard.config import ShardConfig
from hotpath.shard.meta import Facts
from hotpath.shard.topology import Slots, Topology, placed


@dataclass(frozen=True, slots=True)
class Part:
    """Slots that go from one shard to another."""

    source: str
    target: str
    slots: Slots


def adding(topology: Topology, name: str, weight: float, vnodes: int) -> tuple[Part, ...]:
    """What comes to the new shard `name`."""
    weights = _weights(topology) | {name: weight}
    return _difference(topology, placed(weights, vnodes, tuple(weights)), tuple(weights))


def removing(topology: Topology, name: str, vnodes: int) -> tuple[Part, ...]:
    """What leaves `name`, which is not the last one."""
    weights = _weights(topology)
    del weights[name]
    return _difference(topology, placed(weights, vnodes, tuple(weights)), tuple(weights))


def _weights(topology: Topology) -> dict[str, float]:
    return {member.name: member.weight for member in topology.members}


def _difference(topology: Topology, owners: array[int], names: tuple[str, ...]) -> tuple[Part, ...]:
    found: dict[tuple[str, str], list[int]] = {}
    for slot, owner in enumerate(owners):
        old = topology.owner(slot)
        if old != names[owner]:
            found.setdefault((old, names[owner]), []).append(slot)
    return tuple(Part(source, target, Slots(slots)) for (source, target), slots in sorted(found.items()))


def check_tables(facts: Facts, config: ShardConfig) -> None:
    """Raises ReshardConflict if the cluster has tables that `config` does not name: their rows would stay behind."""
    missing = sorted(set(facts.tables) - set(config.tables))
    if missing:
        raise ReshardConflict(f"{config.cluster} has the tables {', '.join(missing)}, which the configuration here "
                              "does not declare, so that their rows would not move; declare them again")

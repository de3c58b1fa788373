"""Which shard owns a slot, and how its rows are read and written while they move: one immutable map."""
from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import groupby
from typing import Literal, Self

import msgspec

from hotpath.core.data.ring import Ring

from .schema import SLOTS

MemberState = Literal["active", "joining", "leaving"]


class MoveState(Enum):
    """How far a move of slots from O (the old shard) to N (the new one) has come; who is the authority for their keys.

        PLANNED   O; nothing has changed yet
        DUAL      N if marked there, else O, which is frozen
        COMPLETE  N; O still has its rows
        CLEANING  N; O's rows are being deleted, then N's marks
        REVERSE   a cancelled move: O if marked there, else N (frozen) if that is marked dirty, else O
        BACK      O; N's rows, and the marks of both, are being deleted
    """

    PLANNED = "planned"
    DUAL = "dual"
    COMPLETE = "complete"
    CLEANING = "cleaning"
    REVERSE = "reverse"
    BACK = "back"


class Slots:
    """A set of slots, as sorted runs."""

    __slots__ = ("_firsts", "_n", "runs")

    def __init__(self, slots: Iterable[int] = ()) -> None:
        """Of these slots, in any order."""
        self._take((slot, slot) for slot in slots)

    @classmethod
    def of_runs(cls, runs: Iterable[Iterable[int]]) -> Self:
        """The inverse of `.runs`; they may come in any order, and overlap."""
        made = cls()
        made._take((first, last) for first, last in runs)
        return made

    def _take(self, runs: Iterable[tuple[int, int]]) -> None:
        merged: list[list[int]] = []
        for first, last in sorted(runs):
            if merged and first <= merged[-1][1] + 1:
                merged[-1][1] = max(last, merged[-1][1])
            else:
                merged.append([first, last])
        self.runs: tuple[tuple[int, int], ...] = tuple((first, last) for first, last in merged)     # both are in it
        self._firsts = [first for first, _ in merged]
        self._n = sum(last - first + 1 for first, last in merged)

    def __contains__(self, slot: int) -> bool:
        at = bisect_right(self._firsts, slot) - 1
        return at >= 0 and slot <= self.runs[at][1]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.runs:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return self._n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slots) and self.runs == other.runs

    def __hash__(self) -> int:
        return hash(self.runs)

    def __or__(self, other: Slots) -> Slots:
        return Slots((*self, *other))

    def __sub__(self, other: Slots) -> Slots:
        return Slots(slot for slot in self if slot not in other)

    def __repr__(self) -> str:
        return f"Slots.of_runs({list(self.runs)})"


@dataclass(frozen=True, slots=True)
class Member:
    """A shard of the cluster. `endpoint` is a DSN; `managed`: we started its server, and may stop it."""

    name: str
    weight: float
    state: MemberState
    endpoint: str
    managed: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """Slots on their way from one shard to another; `id` names it on the shards' own tables."""

    id: str
    source: str
    target: str
    state: MoveState
    slots: Slots


class Route:
    """All that an operation on one key must know: which shards to ask, and the epochs they must be in.

    `kind` "stable": `shard` alone. "dual": `shard` is N, `source` is O. "reverse": `shard` is O, `source` is N.
    """

    __slots__ = ("epoch", "kind", "move", "shard", "source", "source_epoch")

    def __init__(self, kind: Literal["stable", "dual", "reverse"], shard: str, epoch: int, source: str | None = None,
                 source_epoch: int = 0, move: Move | None = None) -> None:
        self.kind = kind
        self.shard = shard
        self.epoch = epoch
        self.source = source
        self.source_epoch = source_epoch
        self.move = move


@dataclass(frozen=True)
class Topology:
    """A version of the map. `owners[slot]` is an index into `members`; `epochs` has each member's."""

    version: int
    members: tuple[Member, ...]
    epochs: Mapping[str, int]
    owners: array[int]                                          # 65,536 of type "H"
    moves: tuple[Move, ...] = ()
    kept: Mapping[str, Slots] = field(default_factory=dict)     # rows that a move left on its source on purpose

    @cached_property
    def routes(self) -> list[Route]:
        """By slot. Slots that are served alike share one Route."""
        stable = [Route("stable", member.name, self.epochs[member.name]) for member in self.members]
        routes = [stable[owner] for owner in self.owners]
        for move in self.moves:
            if move.state is MoveState.DUAL:
                route = Route("dual", move.target, self.epochs[move.target], move.source, self.epochs[move.source],
                              move)
            elif move.state is MoveState.REVERSE:
                route = Route("reverse", move.source, self.epochs[move.source], move.target,
                              self.epochs[move.target], move)
            else:
                continue
            for slot in move.slots:
                routes[slot] = route
        return routes

    def member(self, name: str) -> Member:
        """By its name. Raises KeyError."""
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(name)

    def owner(self, slot: int) -> str:
        """Whose `slot` is: while it moves, that of the new shard (of the old one once the move is cancelled)."""
        return self.members[self.owners[slot]].name

    @cached_property
    def slots(self) -> dict[str, Slots]:
        """The slots of each member."""
        by_owner: list[list[int]] = [[] for _ in self.members]
        for slot, owner in enumerate(self.owners):
            by_owner[owner].append(slot)
        return {member.name: Slots(slots) for member, slots in zip(self.members, by_owner, strict=True)}

    @cached_property
    def foreign(self) -> dict[str, Slots]:
        """For each member the slots it does not own whose rows may stand on it, moving ones not counted."""
        found = {member.name: self.kept.get(member.name, Slots()) for member in self.members}
        for move in self.moves:
            if move.state in (MoveState.COMPLETE, MoveState.CLEANING):
                found[move.source] |= move.slots
            elif move.state is MoveState.BACK:
                found[move.target] |= move.slots
        return found

    def moving(self, name: str, state: MoveState) -> list[Move]:
        """The moves of this state that `name` is the source or the target of."""
        return [move for move in self.moves if move.state is state and name in (move.source, move.target)]


def placed(weights: Mapping[str, float], vnodes: int, order: tuple[str, ...]) -> array[int]:
    """`owners` of a topology whose members are `order`, as a ring of these weights has them."""
    ring = Ring(dict(weights), vnodes=vnodes)
    index = array("H", (order.index(name) for name in ring.names))
    return array("H", (index[owner] for owner in ring.table(16)))


# ---- as text, for the meta database

class _Stored(msgspec.Struct):
    version: int
    members: list[tuple[str, float, MemberState, str, bool]]
    epochs: dict[str, int]
    owners: list[tuple[int, int]]       # runs: (how many, which member)
    moves: list[tuple[str, str, str, str, list[tuple[int, int]]]]
    kept: dict[str, list[tuple[int, int]]]


# Made once, at import: msgspec crashes when two threads are the first to decode a type at the same time.
_STORED = msgspec.json.Decoder(_Stored)


def dumped(topology: Topology) -> bytes:
    """As JSON."""
    # Between the fences and their map, whose writing this is, clients wait.
    runs = [(len(list(same)), owner) for owner, same in groupby(topology.owners)]
    return msgspec.json.encode(_Stored(
        topology.version,
        [(one.name, one.weight, one.state, one.endpoint, one.managed) for one in topology.members],
        dict(topology.epochs), runs,
        [(move.id, move.source, move.target, move.state.value, list(move.slots.runs)) for move in topology.moves],
        {name: list(slots.runs) for name, slots in topology.kept.items()}))


def loaded(text: bytes) -> Topology:
    """The inverse of `dumped`. Raises msgspec.DecodeError or ValueError."""
    stored = _STORED.decode(text)
    owners = array("H")
    for n, owner in stored.owners:
        owners.extend([owner] * n)
    if len(owners) != SLOTS:
        raise ValueError(f"{len(owners)} slots; allowed: {SLOTS}")
    return Topology(
        stored.version, tuple(Member(*one) for one in stored.members), stored.epochs, owners,
        tuple(Move(name, source, target, MoveState(state), Slots.of_runs(runs))
              for name, source, target, state, runs in stored.moves),
        {name: Slots.of_runs(runs) for name, runs in stored.kept.items()})

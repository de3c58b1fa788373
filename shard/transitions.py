"""From one map to the next: which fences are raised, in which order, before it is published.

Each function takes the published topology and answers the Intent that leads on from it. They are pure; what makes an
intent come true, and may be done by anybody at any time, is `Directory.finish`.

The order of the fences carries the proof. Whoever loses authority is fenced first: its fence waits for the
transactions that still hold the old one, and lets no later one in; only then may another answer.
"""
from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import msgspec

from .topology import Member, Move, MoveState, Slots, Topology, dumped, loaded


@dataclass(frozen=True, slots=True)
class Intent:
    """The next topology, and what must be raised before it is the topology: (shard, epoch), in this order."""

    next: Topology
    fences: tuple[tuple[str, int], ...]


def announce(old: Topology, member: Member | None, epoch: int, moves: Iterable[Move], *,
             leaving: str | None = None) -> Intent:
    """A reshard begins: the moves are planned, the new member joins (its fence starts at `epoch`) or one is leaving."""
    members = tuple(replace(one, state="leaving") if one.name == leaving else one for one in old.members)
    epochs = dict(old.epochs)
    if member is not None:
        members += (member,)
        epochs[member.name] = epoch
    return Intent(_next(old, members=members, epochs=epochs, moves=tuple(moves)),
                  () if member is None else ((member.name, epoch),))


def purged(old: Topology, name: str, slots: Slots) -> Intent:
    """Rows that were left on `name` by earlier moves are gone from `slots`."""
    kept = {one: rest for one, left in old.kept.items() if (rest := left - slots if one == name else left)}
    return Intent(_next(old, kept=kept), ())


def open_source(old: Topology, source: str) -> Intent:
    """PLANNED → DUAL for the moves of one source: it is fenced, then its targets answer."""
    moves = [move for move in old.moves if move.source == source and move.state is MoveState.PLANNED]
    order = (source, *sorted({move.target for move in moves}))
    return _turned(old, moves, MoveState.DUAL, order, owner=lambda move: move.target)


def complete(old: Topology) -> Intent:
    """DUAL → COMPLETE: the targets are fenced, which waits for the last writes that read the sources."""
    moves = [move for move in old.moves if move.state is MoveState.DUAL]
    return _turned(old, moves, MoveState.COMPLETE, sorted({move.target for move in moves}))


def clean(old: Topology) -> Intent:
    """COMPLETE → CLEANING: the sources are fenced, so that nobody reads what is now deleted there."""
    moves = [move for move in old.moves if move.state is MoveState.COMPLETE]
    return _turned(old, moves, MoveState.CLEANING, sorted({move.source for move in moves}))


def reverse(old: Topology) -> Intent:
    """DUAL → REVERSE: the targets are fenced, then the sources answer again. Moves that were only planned go."""
    moves = [move for move in old.moves if move.state is MoveState.DUAL]
    order = (*sorted({move.target for move in moves}), *sorted({move.source for move in moves}))
    intent = _turned(old, moves, MoveState.REVERSE, order, owner=lambda move: move.source)
    kept = tuple(move for move in intent.next.moves if move.state is not MoveState.PLANNED)
    return Intent(replace(intent.next, moves=kept), intent.fences)


def back(old: Topology) -> Intent:
    """REVERSE → BACK: the sources are fenced, then the targets, and what stands there can be deleted."""
    moves = [move for move in old.moves if move.state is MoveState.REVERSE]
    order = (*sorted({move.source for move in moves}), *sorted({move.target for move in moves}))
    return _turned(old, moves, MoveState.BACK, order)


def settle(old: Topology, *, gone: str | None = None, keep: bool = False) -> Intent:
    """The reshard is over: no moves, everybody active, `gone` no member. `keep`: the sources kept their rows."""
    kept = dict(old.kept)
    if keep:
        for move in old.moves:
            kept[move.source] = kept.get(move.source, Slots()) | move.slots
    members = tuple(replace(one, state="active") for one in old.members if one.name != gone)
    epochs = {name: epoch for name, epoch in old.epochs.items() if name != gone}
    kept = {name: slots for name, slots in kept.items() if name != gone}
    names = [one.name for one in members]
    index = [names.index(one.name) if one.name != gone else -1 for one in old.members]
    owners = array("H", (index[owner] for owner in old.owners))     # OverflowError: `gone` still owns a slot
    return Intent(_next(old, members=members, epochs=epochs, owners=owners, moves=(), kept=kept), ())


def _turned(old: Topology, moves: list[Move], state: MoveState, order: Iterable[str], *,
            owner: Callable[[Move], str] | None = None) -> Intent:
    """The next topology with `moves` in `state`, the epochs of `order` one up, and their slots `owner`'s."""
    if not moves:
        raise ValueError(f"no moves to turn {state.value}: they are {[move.state.value for move in old.moves]}")
    fences = tuple((name, old.epochs[name] + 1) for name in order)
    owners = old.owners
    if owner is not None:
        names = [one.name for one in old.members]
        owners = array("H", owners)
        for move in moves:
            index = names.index(owner(move))
            for slot in move.slots:
                owners[slot] = index
    turned = tuple(replace(move, state=state) if move in moves else move for move in old.moves)
    return Intent(_next(old, epochs={**old.epochs, **dict(fences)}, owners=owners, moves=turned), fences)


def _next(old: Topology, **changes: object) -> Topology:
    return replace(old, version=old.version + 1, **changes)     # type: ignore[arg-type]    # fields of Topology


class _Stored(msgspec.Struct):
    next: msgspec.Raw
    fences: list[tuple[str, int]]


# Made once, at import: msgspec crashes when two threads are the first to decode a type at the same time.
_STORED = msgspec.json.Decoder(_Stored)


def dumped_intent(intent: Intent) -> bytes:
    """As JSON, for the meta database."""
    return msgspec.json.encode(_Stored(msgspec.Raw(dumped(intent.next)), list(intent.fences)))


def loaded_intent(text: bytes) -> Intent:
    """The inverse of `dumped_intent`."""
    stored = _STORED.decode(text)
    return Intent(loaded(bytes(stored.next)), tuple(stored.fences))

"""Any state of a move, with what the cluster then has: for hypothesis."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from hotpath.shard.schema import Key, Row, Table, slot_of
from hotpath.shard.topology import Move, MoveState, Slots, Topology

from .byhand import key_of, move_of, row_of, topology_of

# Slots come in 16 blocks, so that a move has a few runs of them.
BLOCK = 4096


@dataclass
class World:
    """Where what stands, and what must be seen of it."""

    topology: Topology
    rows: dict[str, dict[Key, Row]]
    marks: dict[str, dict[Key, int]]
    truth: dict[Key, Row]


def _blocks(check: Callable[[int], bool]) -> Slots:
    return Slots.of_runs((block * BLOCK, block * BLOCK + BLOCK - 1) for block in range(16) if check(block))


def moves_of(kind: str, states: list[MoveState]) -> list[Move]:
    """add: half of what s0, s1 and s2 have goes to s3. remove: all of s0 goes to s1 and s2."""
    if kind == "add":
        return [move_of(f"s{i}", "s3", state, _blocks(lambda block, i=i: block % 3 == i and block // 3 % 2 == 0))
                for i, state in enumerate(states)]
    return [move_of("s0", f"s{i}", state, _blocks(lambda block, i=i: block % 3 == 0 and block // 3 % 2 == i - 1))
            for i, state in enumerate(states[:2], 1)]


def map_of(moves: list[Move], *, version: int = 1, epochs: dict[str, int] | None = None,
           kept: dict[str, Slots] | None = None) -> Topology:
    """The map with these moves as their states say."""
    owners = {slot: int((move.source if move.state in (MoveState.PLANNED, MoveState.REVERSE, MoveState.BACK)
                         else move.target)[1]) for move in moves for slot in move.slots}
    return topology_of(("s0", "s1", "s2", "s3"), lambda slot: owners.get(slot, slot // BLOCK % 3), moves,
                       version=version, epochs=epochs, kept=kept)


@cache
def _map(kind: str, states: tuple[MoveState, ...], keeps: bool) -> Topology:
    # Made once: all that a map works out by itself is worked out once too.
    kept = {"s1": _blocks(lambda block: block % 3 == 2)} if keeps else {}
    return map_of(moves_of(kind, list(states)), epochs={"s0": 3, "s1": 5, "s2": 5, "s3": 7}, kept=kept)


@st.composite
def worlds(draw: st.DrawFn, table: Table, kind: str, most: int = 40) -> World:
    """Rows and marks as the table of states allows them for the states drawn."""
    states = draw(st.one_of(
        st.sampled_from(list(MoveState)).map(lambda state: [state] * 3),
        st.lists(st.sampled_from([MoveState.PLANNED, MoveState.DUAL]), min_size=3, max_size=3)), label="states")
    topology = _map(draw(st.sampled_from(["add", "remove"]), label="kind"), tuple(states),
                    draw(st.booleans(), label="kept"))
    kept = topology.kept
    names = [member.name for member in topology.members]
    world = World(topology, {name: {} for name in names}, {name: {} for name in names}, {})
    for n in draw(st.lists(st.integers(0, 200), unique=True, max_size=most), label="keys"):
        key = key_of(kind, n)
        slot = slot_of(key)
        owner = topology.owner(slot)
        value = row_of(table, key, draw(st.integers(0, 30), label=f"row {key!r}"))
        other = row_of(table, key, draw(st.integers(0, 30), label="other"))
        move = next((move for move in topology.moves if slot in move.slots), None)
        if move is not None:
            seen = _place(draw, world, move, key, value, other)
        else:
            seen = world.rows[owner][key] = value
        if seen is not None:
            world.truth[key] = seen
        for name, slots in kept.items():
            if slot in slots and name != owner and (move is None or name != move.source):
                world.rows[name][key] = other
    return world


def _place(draw: st.DrawFn, world: World, move: Move, key: Key, value: Row, other: Row) -> Row | None:
    """Put a key of a moving slot where its state allows; the row that must be seen, or None."""
    def put(name: str, row: Row | None) -> Row | None:
        if row is not None:
            world.rows[name][key] = row
        return row

    old, new = move.source, move.target
    pick = st.sampled_from
    match move.state:
        case MoveState.PLANNED:
            return put(old, value)
        case MoveState.DUAL:
            frozen = put(old, draw(pick([None, value])))
            if draw(pick(["unmarked", "marked"])) == "unmarked":
                return frozen
            world.marks[new][key] = dirty = draw(pick([0, 1, 3])) if frozen else 1
            return put(new, draw(pick([None, other]))) if dirty else put(new, frozen)
        case MoveState.REVERSE:
            frozen = draw(pick([None, value]))
            mark = draw(pick(["none", "copied", "dirty"]))
            seen = frozen
            if mark == "copied" and frozen:
                world.marks[new][key] = 0
                put(new, frozen)
            elif mark == "dirty":
                world.marks[new][key] = 2
                seen = put(new, draw(pick([None, other])))
            if draw(st.booleans()):
                world.marks[old][key] = 1
                return put(old, draw(pick([None, {**value, "x": -1.0}])))
            put(old, frozen)
            return seen
        case MoveState.COMPLETE | MoveState.CLEANING:
            put(old, draw(pick([None, other])))
            if draw(st.booleans()):
                world.marks[new][key] = 1
            return put(new, value)
        case MoveState.BACK:
            put(new, draw(pick([None, other])))
            world.marks[new][key] = 1
            world.marks[old][key] = 1
            return put(old, value)
    raise AssertionError(move.state)

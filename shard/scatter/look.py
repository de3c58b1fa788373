"""One look at all shards, as one map has them: whose rows count, and proof that the map was right.

A shard that nothing moves from or to is asked in one statement, which says its epoch too. Of any other a snapshot is
held while the look lasts: its rows and its marks are of one moment. With a move O → N under way, a key's value at the
moment of N's snapshot is what N has if N marks the key, else what O has, which is frozen: so it does not matter when O
is asked, as long as O's epoch says that it still is. A cancelled move is the same with O's snapshot deciding and N
frozen; there a key that O does not mark is N's only if N marks it dirty.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from typing import Protocol, TypeVar, cast

from hotpath.core.errors import ShardUnavailable
from hotpath.shard.directory import fence_of
from hotpath.shard.engine import Dialect, Session, Shard, Statement, Value, Values
from hotpath.shard.engine.errors import NoSuchTable
from hotpath.shard.mover.cursor import START, tag
from hotpath.shard.mover.sql import CURSOR
from hotpath.shard.schema import Key, mark_of, slot_of
from hotpath.shard.topology import Move, MoveState, Route, Topology

from .lanes import ForeignEpoch, Lanes

T = TypeVar("T")
Item = TypeVar("Item")

# A slot, and a key of it as its mark has it: they sort as (_hp_slot, key) does.
Mark = tuple[int, bytes]
NO_MARK: Mark = (-1, b"")

# In front of a statement's own columns: a view has one moment, so the epoch is that of its rows.
EPOCHS = "(SELECT MIN(epoch) FROM _hp_fence), (SELECT MAX(epoch) FROM _hp_fence)"

# Marks asked for in one statement: more would be a long text for the server to parse, fewer more round trips.
MARKS_AT_ONCE = 128

# A map that is replaced so often while one question is asked is no map.
MAX_RESTARTS = 100

# As old as a router's map is at most.
FRESH_S = 1.5


class Map(Protocol):
    """What we need of the directory."""

    @property
    def topology(self) -> Topology:
        """The map as this process knows it."""
        ...

    def shard(self, name: str) -> Shard:
        """A member's connections."""
        ...

    def refresh(self) -> object:
        """Read the map again."""
        ...

    def stale(self, seen: Topology, shard: str, deadline_s: float) -> None:
        """`shard` is not in the epoch that `seen` says: return when there is another map."""
        ...


def with_map(map: Map, wait_s: float, work: Callable[[Topology], T]) -> T:
    """`work` of a map that holds while it lasts; it starts over when it meets a foreign epoch. It must only read.

    `wait_s`: for each change of the map.
    """
    for _ in range(MAX_RESTARTS):
        topology = map.topology
        began_s = time.monotonic()
        try:
            return work(topology)
        except ForeignEpoch as foreign:
            map.stale(topology, foreign.shard, time.monotonic() + wait_s)
        except (ShardUnavailable, NoSuchTable):
            # A shard that has left is away for good, or its tables are, and only an old map names it.
            if not is_replaced(map, topology, took_s=time.monotonic() - began_s):
                raise
    raise ShardUnavailable("meta", f"the map changed {MAX_RESTARTS} times")


def is_replaced(map: Map, topology: Topology, *, took_s: float) -> bool:
    """Whether the map is another by now than that of somebody who failed after `took_s`."""
    # A router reads its map each second by itself: what took longer need not take longer still.
    if map.topology.version == topology.version and took_s < FRESH_S:
        try:
            map.refresh()
        except ShardUnavailable:
            return False
    return map.topology.version != topology.version


def asked(topology: Topology) -> list[str]:
    """The shards that rows may stand on."""
    names = {name for name, slots in topology.slots.items() if slots}
    for move in topology.moves:
        if move.state in (MoveState.DUAL, MoveState.REVERSE):
            names |= {move.source, move.target}
    return sorted(names)


def is_plain(topology: Topology, name: str) -> bool:
    """Whether every row on this shard counts."""
    return not (topology.foreign[name] or topology.moving(name, MoveState.DUAL)
                or topology.moving(name, MoveState.REVERSE))


class Look:
    """What `looking` gives: questions to all shards, and judgement of their rows. Of one thread."""

    def __init__(self, map: Map, lanes: Lanes, topology: Topology, table: str, names: Sequence[str]) -> None:
        self.topology = topology
        self.names = names
        self._map = map
        self._lanes = lanes
        self._table = table.encode()
        self._held: dict[str, Session] = {}
        self._copied: dict[str, Mark | None] = {}

    def hold(self, names: Collection[str], stack: ExitStack) -> None:
        """Open snapshots, one after the other: those first that writes of moving keys hold while they ask the others.

        So nobody waits for what a look has while the look waits for what he has.
        """
        deciders = {move.target if move.state is MoveState.DUAL else move.source
                    for move in self.topology.moves if move.state in (MoveState.DUAL, MoveState.REVERSE)}
        for name in sorted(names, key=lambda name: (name not in deciders, name)):
            session = stack.enter_context(self.shard(name).snapshot())
            prove(self.topology, name, [fence_of(session)])
            self._held[name] = session

    def is_held(self, name: str) -> bool:
        """Whether not every row of this shard counts."""
        return name in self._held

    def ask(self, question: Callable[[str], T]) -> dict[str, T]:
        """`question(name)` of every shard at once."""
        return self._lanes.ask({name: partial(question, name) for name in self.names}, self._held)

    def rows(self, name: str, columns: str, rest: str, values: Values) -> list[tuple[Value, ...]]:
        """`SELECT columns rest` of one shard, of its snapshot if there is one."""
        session = self._held.get(name)
        if session is not None:
            return session.rows(select(columns, rest), values)
        shard = self.shard(name)
        rows = shard.rows(select(f"{EPOCHS}, {columns}", rest), values)
        # No row says no epoch. Epochs only grow: if it is ours still, it was.
        prove(self.topology, name, rows or [fence_of(shard)])
        return [row[2:] for row in rows]

    def shard(self, name: str) -> Shard:
        """Its connections. Raises ForeignEpoch: it has left since the map was looked at."""
        return shard_of(self._map, name)

    def dialect(self, name: str) -> Dialect:
        """Which SQL the shard speaks."""
        return self.shard(name).dialect

    def counting(self, name: str, items: Iterable[Item], key: Callable[[Item], Key]) -> Iterable[Item]:
        """Those of the rows found on `name`, in their order, that are what the cluster has under their keys."""
        routes = self.topology.routes
        if name not in self._held:
            return (item for item in items if routes[slot_of(key(item))].shard == name)
        return self._judged(name, items, key)

    def copied(self, move: Move) -> Mark | None:
        """Up to where the target of a move marks all that its source has; None: nowhere yet."""
        if move.id not in self._copied:
            rows = self._held[move.target].rows(CURSOR, (tag(move, "copy"), self._table))
            self._copied[move.id] = cast(Mark, rows[0][:2]) if rows and rows[0][0] != START else None
        return self._copied[move.id]

    def _judged(self, name: str, items: Iterable[Item], key: Callable[[Item], Key]) -> list[Item]:
        routes = self.topology.routes
        kept: list[tuple[Item, Route | None, Mark]] = []
        doubtful: dict[Route, list[Mark]] = {}
        for item in items:
            value = key(item)
            slot = slot_of(value)
            route = routes[slot]
            # N's rows of a move that goes on count: none stands there without a mark.
            if route.source == name or (route.shard == name and route.kind == "reverse"):
                mark = (slot, mark_of(value))
                doubtful.setdefault(route, []).append(mark)
                kept.append((item, route, mark))
            elif route.shard == name:
                kept.append((item, None, NO_MARK))
        counting = {route: self._counting(name, route, marks) for route, marks in doubtful.items()}
        return [item for item, route, mark in kept if route is None or mark in counting[route]]

    def _counting(self, name: str, route: Route, marks: Sequence[Mark]) -> Collection[Mark]:
        """Of these keys of a move, those whose rows on `name` count."""
        move = cast(Move, route.move)
        if route.kind == "dual":
            copied = self.copied(move)
            if copied is not None:
                marks = [mark for mark in marks if mark > copied]
            return set(marks) - self._marked(move.target, marks).keys()
        decided = self._marked(move.source, marks)
        written = {mark for mark, dirty in self._marked(move.target, marks).items() if dirty and mark not in decided}
        return written if name == move.target else set(marks) - written

    def _marked(self, name: str, marks: Sequence[Mark]) -> dict[Mark, int]:
        """Which of these keys the snapshot of `name` marks, and how often they were written since."""
        found: dict[Mark, int] = {}
        for chunk in padded(marks, MARKS_AT_ONCE):
            values = [value for slot, mark in chunk for value in (self._table, slot, mark)]
            for row in self._held[name].rows(_marks_statement(len(chunk)), values):
                slot, mark, dirty = cast(tuple[int, bytes, int], row)
                found[slot, mark] = dirty
        return found


def prove(topology: Topology, name: str, rows: Sequence[Sequence[Value]]) -> None:
    """Raises ForeignEpoch if the first two columns of any row are not the epoch of `name`."""
    epoch = topology.epochs[name]
    for row in rows:
        if row[0] != epoch or row[1] != epoch:
            raise ForeignEpoch(name, f"in the epochs {row[0]!r} to {row[1]!r}, not {epoch}")


def shard_of(map: Map, name: str) -> Shard:
    """A member's connections. Raises ForeignEpoch if it is none any more."""
    try:
        return map.shard(name)
    except KeyError:
        raise ForeignEpoch(name, "no member any more") from None


@contextmanager
def looking(map: Map, lanes: Lanes, topology: Topology, table: str, names: Sequence[str] | None = None,
            held: Collection[str] | None = None) -> Iterator[Look]:
    """A look at the rows of `table` on the shards `names`, with snapshots of those `held`.

    None: all shards, and those of them on which rows stand that do not count, or may not. Raises ForeignEpoch and
    ShardUnavailable, and so do its methods.
    """
    if names is None:
        names = asked(topology)
    if held is None:
        held = [name for name in names if not is_plain(topology, name)]
    look = Look(map, lanes, topology, table, names)
    with ExitStack() as stack:
        look.hold(held, stack)
        yield look


def padded(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """Pieces of `items` whose lengths are powers of two: the last one is repeated. So few texts of statements do."""
    for start in range(0, len(items), most):
        piece = items[start:start + most]
        size = min(most, 1 << (len(piece) - 1).bit_length())
        yield [*piece, *[piece[-1]] * (size - len(piece))]


@lru_cache(maxsize=1024)
def select(columns: str, rest: str) -> Statement:
    """The statement, made once."""
    return Statement(f"SELECT {columns} {rest}")


@lru_cache(maxsize=16)
def _marks_statement(n: int) -> Statement:
    return Statement("SELECT slot, k, dirty FROM _hp_moved WHERE "
                     + " OR ".join(["(tbl = ? AND slot = ? AND k = ?)"] * n))

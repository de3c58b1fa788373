"""A move, step by step, while somebody reads: each question to a shard may be preceded by some steps of it."""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hotpath.shard.engine import Session, Shard
from hotpath.shard.scatter import Lanes
from hotpath.shard.schema import Key, Row, mark_of, slot_of
from hotpath.shard.topology import Move, MoveState, Topology

from .byhand import Shards
from .states import map_of

Step = Callable[[], None]


class InOrder(Lanes):
    """Asks one after the other, in an order that the test chooses: what is found can be found again."""

    def __init__(self, order: Callable[[list[str]], list[str]]) -> None:
        super().__init__(1, 1.0)
        self._order = order

    def ask(self, questions: Mapping[str, Callable[[], Any]], held: Collection[str] = ()) -> dict[str, Any]:
        answers = {name: questions[name]() for name in self._order(list(questions))}
        return {name: answers[name] for name in questions}


class Stepping:
    """A shard that takes some steps before each answer."""

    def __init__(self, shard: Shard, steps: Step) -> None:
        self._shard = shard
        self._steps = steps
        self.name, self.dialect = shard.name, shard.dialect

    def rows(self, *asked):
        self._steps()
        return self._shard.rows(*asked)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        self._steps()
        with self._shard.snapshot() as session:
            yield SteppingSession(session, self._steps)


class SteppingSession:
    def __init__(self, session: Session, steps: Step) -> None:
        self._session = session
        self._steps = steps

    def rows(self, *asked):
        self._steps()
        return self._session.rows(*asked)


class Story:
    """A reshard from its beginning to its end, with a client who changes and deletes some rows that move.

    `map` is a router's; `rows` is what the cluster has, and `allowed` what it had since the test last emptied it.
    """

    def __init__(self, shards: Shards, rows: Mapping[Key, Row], moves: list[Move], pick: Callable[[int], int],
                 end: str | None = None) -> None:
        """`pick(n)` chooses one of n; `end`: "done" or "cancelled", chosen too if None."""
        self._shards = shards
        self.rows: dict[Key, Row | None] = dict(rows)
        self.allowed: dict[Key, list[Row | None]] = {}
        self._moves = moves
        self._pick = pick
        self._end = ("done", "cancelled")[pick(2)] if end is None else end
        self._version = 1
        self._epochs = dict.fromkeys(("s0", "s1", "s2", "s3"), 1)
        self._states = dict.fromkeys([move.id for move in moves], MoveState.PLANNED)
        self._marked: dict[str, dict[Key, int]] = {name: {} for name in self._epochs}
        self.published = self._topology()
        self._steps = self._told()
        self.is_over = False
        self.map = OldMap(self, {name: Stepping(shard, self.step) for name, shard in shards.shards.items()})
        for name in shards.shards:
            shards.fill(name, [row for key, row in rows.items() if self.published.owner(slot_of(key)) == name], {}, 1)

    def step(self) -> None:
        """None mostly, sometimes a few."""
        if self._pick(6) == 0:
            for _ in range(1 + self._pick(4)):
                self.advance()

    def advance(self) -> None:
        """One."""
        if next(self._steps, self) is self:
            self.is_over = True

    def _topology(self, moves: list[Move] | None = None) -> Topology:
        if moves is None:
            moves = [replace(move, state=self._states[move.id]) for move in self._moves]
        return map_of(moves, version=self._version, epochs=dict(self._epochs))

    def _raise(self, *names: str) -> Iterator[None]:
        for name in names:
            self._epochs[name] += 1
            self._shards.shards[name].write(lambda session, name=name: self._shards.fence(session, self._epochs[name]))
            yield

    def _publish(self, state: MoveState, moves: list[Move]) -> Iterator[None]:
        self._version += 1
        self._states.update((move.id, state) for move in moves)
        self.published = self._topology()
        yield

    def _told(self) -> Iterator[None]:
        moves = self._moves
        sources = sorted({move.source for move in moves})
        targets = sorted({move.target for move in moves})
        for source in sources:
            some = [move for move in moves if move.source == source]
            yield from self._raise(source, *sorted({move.target for move in some}))
            yield from self._publish(MoveState.DUAL, some)
        moving = [(key, row, move) for key, row in self.rows.items() for move in moves if slot_of(key) in move.slots]
        cancels, has_cursor = self._end == "cancelled", self._pick(3)
        moving.sort(key=lambda one: (slot_of(one[0]), mark_of(one[0])))
        for key, row, move in moving:
            dirty = self._pick(3)
            if dirty == 2 and cancels:
                has_cursor = 0
                continue        # cancelled before its turn came
            self._marked[move.target][key] = dirty
            yield self._write(move.target, key, self._changed(row) if dirty else row, dirty,
                              move if has_cursor else None)
        yield from self._taken_back(moving, sources, targets) if cancels else self._completed(moving, sources, targets)
        self._version += 1
        self.published = replace(self._topology([]), owners=self.published.owners)
        yield

    def _completed(self, moving, sources, targets) -> Iterator[None]:
        yield from self._raise(*targets)
        yield from self._publish(MoveState.COMPLETE, self._moves)
        yield from self._raise(*sources)
        yield from self._publish(MoveState.CLEANING, self._moves)
        for key, _, move in moving:
            yield self._drop(move.source, key)
        yield self._unmark(targets)

    def _taken_back(self, moving, sources, targets) -> Iterator[None]:
        yield from self._raise(*targets, *sources)
        yield from self._publish(MoveState.REVERSE, self._moves)
        for key, _, move in moving:
            is_dirty = self._marked[move.target].get(key)
            if is_dirty or self._pick(3) == 0:
                self._marked[move.source][key] = 1
                row = self.rows[key]
                yield self._write(move.source, key, row if is_dirty else self._changed(row), 1)
        yield from self._raise(*sources, *targets)
        yield from self._publish(MoveState.BACK, self._moves)
        for key, _, move in moving:
            yield self._drop(move.target, key)
        yield self._unmark([*sources, *targets])

    def _changed(self, row: Row | None) -> Row | None:
        """What a client makes of it."""
        match self._pick(3):
            case 0:
                return None
            case 1:
                return row
        return None if row is None else {**row, "x": -1.0 - self._pick(9)}

    def _write(self, name: str, key: Key, row: Row | None, dirty: int, copied: Move | None = None) -> None:
        def turn(session: Session) -> None:
            if row is None:
                self._shards.drop(session, key)
            else:
                self._shards.put(session, row)
            self._shards.mark(session, key, dirty)
            if copied is not None:
                self._shards.copied(session, copied, key)

        # Before and behind: whoever reads meanwhile may see either.
        self.allowed.setdefault(key, [self.rows[key]]).append(row)
        self._shards.shards[name].write(turn)
        self.rows[key] = row

    def _drop(self, name: str, key: Key) -> None:
        self._shards.shards[name].write(lambda session: self._shards.drop(session, key))

    def _unmark(self, names: list[str]) -> None:
        for name in names:
            self._shards.shards[name].write(
                lambda session, name=name: [self._shards.unmark(session, key) for key in self._marked[name]])


class OldMap:
    """The map of a router that reads it only when it must."""

    def __init__(self, story: Story, shards: Mapping[str, Stepping]) -> None:
        self._story = story
        self._shards = shards
        self.topology = story.published

    def shard(self, name: str) -> Stepping:
        self.topology.member(name)
        return self._shards[name]

    def refresh(self) -> None:
        self.topology = self._story.published

    def stale(self, seen: Topology, shard: str, deadline_s: float) -> None:
        assert self.topology is seen
        while self._story.published is seen:
            assert not self._story.is_over, f"{shard} is in no epoch of any map"
            self._story.advance()
        self.refresh()

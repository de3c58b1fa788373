"""One mover at one reshard: its record, its lease, and whether it is to go on."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from hotpath.core.errors import HotpathError
from hotpath.shard.config import ShardConfig
from hotpath.shard.directory import Directory, fence_of
from hotpath.shard.engine import Session, Shard, Value
from hotpath.shard.schema import Table
from hotpath.shard.topology import Move, Topology

from .reshard import NEXT, Reshard, State, dumped, loaded
from .sql import LOCKED, TableSql
from .throttle import Throttle

LEASE = "mover"
# Another takes over when it has not been renewed for so long.
LEASE_S = 3.0
# How often the record is looked at, for what people ask of the move, and progress written into it.
BEAT_S = 0.5


class Interrupted(HotpathError):
    """Leave what you do: it was paused, cancelled, is over, or another mover has it. Nothing is half done."""


class Blocked(HotpathError):
    """It cannot go on until somebody acts: the message says what is wrong."""


class Foreign(HotpathError):
    """A shard is in another epoch than the map says: read it anew."""


@dataclass(frozen=True)
class Lane:
    """A table of a move, and what is asked of its two shards."""

    move: Move
    table: Table
    source: Shard
    target: Shard
    epochs: Mapping[str, int]       # that the two must be in
    sql: TableSql                   # both speak the same dialect

    def locked(self, session: Session, shard: Shard) -> None:
        """Keep `shard` in its epoch until the transaction of `session` ends. Raises Foreign if it left it."""
        check_epoch(session, shard, self.epochs)

    def unchanged(self, session: Session, shard: Shard) -> None:
        """What `session` read until now was of its epoch: they only grow. Raises Foreign."""
        _same(shard, set(fence_of(session)), self.epochs)


def _later(old: object, new: object) -> object:
    """Counts only rise, whoever of two movers speaks last."""
    return max(old, new) if isinstance(old, int) and isinstance(new, int) else new


def check_epoch(session: Session, shard: Shard, epochs: Mapping[str, int]) -> None:
    """Keep `shard` in the epoch of the map until the transaction of `session` ends. Raises Foreign if it left it."""
    _same(shard, {row[0] for row in session.rows(LOCKED[shard.dialect])}, epochs)


def _same(shard: Shard, seen: set[Value], epochs: Mapping[str, int]) -> None:
    if seen != {epochs[shard.name]}:
        raise Foreign(f"{shard.name} is in epoch {seen}, the map says {epochs[shard.name]}")


@dataclass
class Job:
    """The mover's hand on the reshard `id`. One thread."""

    id: str
    holder: str
    directory: Directory
    config: ShardConfig
    throttle: Throttle
    closing: threading.Event
    moved: dict[tuple[str, str], int]
    state: State = "preparing"      # that is being worked on
    changes: dict[str, dict[str, object]] = field(default_factory=dict)     # of moves, not yet written down
    _beaten_s: float = 0.0
    _sql: dict[tuple[str, str], TableSql] = field(default_factory=dict)

    # ---- the record

    def read(self) -> Reshard:
        """It, now. Raises Interrupted if another one stands there."""
        return self._ours(self.directory.meta.reshard())

    def change(self, turn: Callable[[Reshard], Reshard]) -> Reshard:
        """Write down what `turn` makes of it. Raises Interrupted as `read` does, and what `turn` raises."""
        def change(text: bytes | None) -> bytes:
            return dumped(turn(self._ours(text)))

        text = self.directory.meta.change_reshard(change)
        assert text is not None
        return loaded(text)

    def _ours(self, text: bytes | None) -> Reshard:
        record = None if text is None else loaded(text)
        if record is None or record.id != self.id or record.over:
            raise Interrupted("it is over")
        return record

    def advance(self, state: State, **changes: object) -> Reshard:
        """From `state` to the one behind it. Raises Interrupted if it is elsewhere, as by a cancellation."""
        def turn(record: Reshard) -> Reshard:
            if record.state != state:
                raise Interrupted(f"no longer {state}")
            return msgspec.structs.replace(self.noted(record), state=NEXT[state], error=None, **changes)

        record = self.change(turn)
        self.changes.clear()
        return record

    def note(self, move_id: str, **counts: object) -> None:
        """Of a move: written down with the next beat, or the next state."""
        self.changes.setdefault(move_id, {}).update(counts)

    def noted(self, record: Reshard) -> Reshard:
        """`record` with all that was noted."""
        for progress in record.moves:
            changes = {name: _later(getattr(progress, name), value)
                       for name, value in self.changes.get(progress.id, {}).items()}
            if changes:
                record = record.with_move(msgspec.structs.replace(progress, **changes))
        return record

    # ---- its pulse

    def beat(self, state: State, *, at_once: bool = False) -> Reshard | None:
        """Between any two steps: tell how far it is, and hear whether to go on. Raises Interrupted if not."""
        if self.closing.is_set():
            raise Interrupted("the process ends")
        now_s = time.monotonic()
        if now_s - self._beaten_s < BEAT_S and not at_once:
            return None
        self._beaten_s = now_s
        if not self.directory.meta.take_lease(LEASE, self.holder, LEASE_S):
            raise Interrupted("another mover has it")

        def turn(record: Reshard) -> Reshard:
            if record.state != state:
                raise Interrupted(f"no longer {state}")
            # What people asked for stays as it stands there; an error that was waited out goes.
            return msgspec.structs.replace(self.noted(record), now=round(self.throttle.now, 1),
                                           error=record.error if record.paused else None)

        record = self.change(turn)
        self.changes.clear()
        self.throttle.rate = record.rate
        if record.paused:
            raise Interrupted("paused")
        return record

    def rest(self, state: State, seconds: float) -> None:
        """Wait so long, beating."""
        until_s = time.monotonic() + seconds
        self._wait(state, lambda: until_s - time.monotonic())

    def pace(self, state: State) -> None:
        """Wait until the next chunk may go, beating. A new rate counts at once, also for who waits already."""
        self._wait(state, self.throttle.pause_s)

    def ease(self, state: State, took_s: float) -> None:
        """Rest after a look that took so long, beating, while the foreground suffers: not for what it suffered once."""
        began_s = time.monotonic()
        self._wait(state, lambda: began_s + self.throttle.ease_s(took_s) - time.monotonic())

    def _wait(self, state: State, seconds_left: Callable[[], float]) -> None:
        while (left_s := seconds_left()) > 0:
            self.closing.wait(min(left_s, BEAT_S))
            self.beat(state)

    # ---- what it works on

    def topology(self) -> Topology:
        """The newest. Read before the record, so that what follows from both is refused if either has changed."""
        return self.directory.refresh()

    def lanes(self, topology: Topology, moves: list[Move]) -> Iterator[Lane]:
        """Each table of each of `moves`."""
        for move in moves:
            try:
                source, target = self.directory.aside(move.source), self.directory.aside(move.target)
            except KeyError as gone:
                raise Foreign(f"{gone} is no shard any more") from None
            for table in self.config.schema.values():
                yield Lane(move, table, source, target, topology.epochs, self.sql(table, source))

    def sql(self, table: Table, shard: Shard) -> TableSql:
        """Built once."""
        key = (table.name, shard.dialect)
        if key not in self._sql:
            self._sql[key] = TableSql(table, shard.dialect)
        return self._sql[key]

    @contextmanager
    def timed(self, rows: Callable[[], int]) -> Iterator[None]:
        """Tell the throttle how long the block took for so many rows."""
        began_s = time.monotonic()
        yield
        self.throttle.moved(rows(), time.monotonic() - began_s)

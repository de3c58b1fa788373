"""Is a recorded history one that a single, atomic, ever-growing cell per key could have made?

A key's cell is a register that only takes greater stamps, so a history of it is linearizable exactly when no read
misses a write that had ended, none sees a write that had not begun, and none goes behind an earlier read; a read is
no earlier than the write it saw.
(`test_checker.py` holds this against trying all orders.) Two more promises are checked beside it: whoever saw a
stamp writes a greater one, and of racing adds one wins.
"""
from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.crdt.oracle import Oracle
from tests.crdt.twinbytes import parse


class Violated(AssertionError):
    """A history or a state that must not be."""


@dataclass(frozen=True, slots=True)
class Op:
    """One call on one key. A write that got no answer has no end: it may take effect at any later time, or never."""

    kind: str                                   # read, put, add, remove, merge
    key: bytes
    start: int                                  # any clock that all threads share
    end: int | None
    stamp: tuple[Any, ...] | None               # written, or seen, greater ones win; None: nothing was seen

    @property
    def is_write(self) -> bool:
        """Whether its stamp entered by this call."""
        return self.kind != "read"


def by_key(history: Iterable[Op]) -> dict[bytes, list[Op]]:
    """Each key's part of a history."""
    parts: defaultdict[bytes, list[Op]] = defaultdict(list)
    for op in history:
        parts[op.key].append(op)
    return parts


NEVER: tuple[Any, ...] = (-1, "")


class Seen:
    """The greatest stamp among the calls that had ended by some time."""

    def __init__(self, history: Iterable[Op]) -> None:
        ended = sorted((op.end, op.stamp or NEVER) for op in history if op.end is not None)
        self.ends = [end for end, _ in ended]
        self.greatest = [NEVER]
        for _, stamp in ended:
            self.greatest.append(max(self.greatest[-1], stamp))

    def before(self, time: int) -> tuple[Any, ...]:
        """Of all that ended strictly before `time`."""
        return self.greatest[bisect_left(self.ends, time)]


def check_linearizable(history: Iterable[Op]) -> None:
    """Raise Violated unless every key's reads fit an atomic cell that only grows."""
    for key, part in by_key(history).items():
        begun: dict[tuple[Any, ...], int] = {}
        for op in part:
            if op.is_write and op.stamp is not None:
                begun[op.stamp] = min(op.start, begun.get(op.stamp, op.start))
        seen = Seen(part)
        for op in part:
            if op.is_write:
                continue
            if op.stamp is not None:
                if op.stamp not in begun:
                    raise Violated(f"{key!r}: {op} saw what nobody wrote")
                if op.end is not None and begun[op.stamp] > op.end:
                    raise Violated(f"{key!r}: {op} saw a write that had not begun")
            # It took place after it began and after what it saw began: by then nothing greater may have been there.
            earliest = op.start if op.stamp is None else max(op.start, begun[op.stamp])
            if (op.stamp or NEVER) < seen.before(earliest):
                raise Violated(f"{key!r}: {op} is behind {seen.before(earliest)}, which had been written or read")


def check_saw(history: Iterable[Op]) -> None:
    """Raise Violated unless each local write is greater than all that was seen of its key before it began."""
    for key, part in by_key(history).items():
        seen = Seen(part)
        for op in part:
            if op.kind in ("put", "add", "remove") and op.stamp is not None and op.stamp <= seen.before(op.start):
                raise Violated(f"{key!r}: {op} is not above {seen.before(op.start)}, which had been seen")


def check_adds(history: Iterable[Op]) -> None:
    """Raise Violated if two adds of a key succeeded without a removal between them."""
    for key, part in by_key(history).items():
        added = False
        for op in sorted((op for op in part if op.kind in ("add", "remove")), key=lambda op: op.stamp or NEVER):
            if op.kind == "add" and added:
                raise Violated(f"{key!r}: a second add won: {op}")
            added = op.kind == "add"


def check_unique(cells: Iterable[bytes]) -> None:
    """Raise Violated if one stamp was given to two writes of a replica."""
    given: dict[object, bytes] = {}
    for cell in cells:
        stamp = parse(cell)[1]
        if given.setdefault(stamp, cell) != cell:
            raise Violated(f"{stamp} was given twice")


def check_rising(cells: Iterable[bytes]) -> None:
    """Raise Violated unless the cells, in the order in which one caller got them, have rising stamps per replica."""
    last: dict[str, int] = {}
    for cell in cells:
        stamp = parse(cell)[1]
        if stamp.hlc <= last.get(stamp.replica, -1):
            raise Violated(f"{stamp} was given after {last[stamp.replica]:016x}")
        last[stamp.replica] = stamp.hlc


def check_kept(acknowledged: Iterable[bytes], state: Oracle, *, floor: int = 0) -> None:
    """Raise Violated if an acknowledged write is neither there nor superseded by a greater one.

    `state` was told what a replica holds. What is absent may be a collected tombstone, up to `floor`.
    """
    told = Oracle(state.bias)
    told.record_all(acknowledged)
    for key, write in told.state().items():
        held = state.greatest(key)
        if held is None:
            if write.live or write.hlc > floor:
                raise Violated(f"{key!r}: {write} is lost")
        elif state.order(held) < state.order(write):
            raise Violated(f"{key!r}: {write} is lost, {held} is there")


def check_agreed(states: Iterable[dict[bytes, object]], expected: dict[bytes, object]) -> None:
    """Raise Violated unless all states are the expected one."""
    for number, state in enumerate(states):
        for key in state.keys() | expected.keys():
            if state.get(key) != expected.get(key):
                raise Violated(f"{key!r}: state {number} has {state.get(key)}, expected {expected.get(key)}")

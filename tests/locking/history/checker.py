"""Which anomalies does a history of appends to lists and reads of them show?

After Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (2020): as each value
is appended once, a read of a list tells the order of all appends before it, and from the orders follow the
dependencies between transactions:

    ww      the second appended next behind the first
    wr      the second read what the first appended last
    rw      the second appended next behind what the first read: the first did not see it

A circle of them is an order that cannot be. Names are Adya's (1999).
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Edges = dict[str, dict[str, str]]       # of each transaction: who must come behind it, and why


@dataclass(frozen=True)
class Append:
    """`value` goes to the end of the list; no other append has it."""

    key: int
    value: int


@dataclass(frozen=True)
class Read:
    """The whole list, as it was shown."""

    key: int
    values: tuple[int, ...]


@dataclass(frozen=True)
class Txn:
    """A transaction. `unknown`: the connection was lost at COMMIT."""

    name: str
    ops: tuple[Append | Read, ...]
    outcome: Literal["ok", "failed", "unknown"] = "ok"


@dataclass(frozen=True)
class Found:
    """An anomaly, and what shows it."""

    name: str
    witness: str

    def __str__(self) -> str:
        return f"{self.name}: {self.witness}"


def anomalies(history: Sequence[Txn], final: dict[int, tuple[int, ...]]) -> list[Found]:
    """All that the history shows; `final`: the lists when all was over."""
    writers = {op.value: txn for txn in history for op in txn.ops if isinstance(op, Append)}
    counted = [txn for txn in history if txn.outcome == "ok"]
    found = [each for txn in counted for each in _of_one(txn, writers)]
    found += _lost(history, final)
    broken = list(_contradictions(counted, final))
    found += broken or _circles(*_dependencies(counted, final, writers))
    return list(dict.fromkeys(found))


def _of_one(txn: Txn, writers: dict[int, Txn]) -> Iterator[Found]:
    """What one transaction saw by itself."""
    mine: dict[int, tuple[int, ...]] = {}       # lists as this transaction must see them
    for i, op in enumerate(txn.ops):
        if isinstance(op, Append):
            if op.key in mine:
                mine[op.key] += (op.value,)
            continue
        said = f"{txn.name} read {list(op.values)} of {op.key}"
        own = tuple(each.value for each in txn.ops[:i] if isinstance(each, Append) and each.key == op.key)
        if mine.setdefault(op.key, op.values) != op.values or op.values[len(op.values) - len(own):] != own:
            yield Found("internal", f"{said}, which is not what it did and read before")
        for value in op.values:
            if value not in writers:
                yield Found("garbage", f"{said}: nobody appended {value}")
            elif writers[value].outcome == "failed":
                yield Found("G1a", f"{said}: {writers[value].name} was rolled back")
        if op.values and op.values[-1] in writers and (last := writers[op.values[-1]]) is not txn:
            theirs = [each.value for each in last.ops if isinstance(each, Append) and each.key == op.key]
            if theirs and theirs[-1] != op.values[-1]:
                yield Found("G1b", f"{said}: {last.name} then appended {theirs[-1]}")


def _lost(history: Sequence[Txn], final: dict[int, tuple[int, ...]]) -> Iterator[Found]:
    for txn in history:
        there = [op.value in final.get(op.key, ()) for op in txn.ops if isinstance(op, Append)]
        if txn.outcome == "ok" and not all(there):
            yield Found("lost append", f"of {txn.name}")
        if txn.outcome == "unknown" and any(there) and not all(there):
            yield Found("half a transaction", f"of {txn.name}")
        if txn.outcome == "failed" and any(there):
            yield Found("undone in vain", f"{txn.name} was rolled back and stands")
    for key, values in final.items():
        if len(set(values)) < len(values):
            yield Found("duplicate", f"{list(values)} of {key}")


def _contradictions(counted: Iterable[Txn], final: dict[int, tuple[int, ...]]) -> Iterator[Found]:
    """Reads that no moment of a list that only grows explains."""
    for txn in counted:
        for op in txn.ops:
            values = final.get(op.key, ())
            if isinstance(op, Read) and values[:len(op.values)] != op.values:
                yield Found("no order", f"{txn.name} read {list(op.values)} of {op.key}, which came to {list(values)}")


def _dependencies(counted: Iterable[Txn], final: dict[int, tuple[int, ...]], writers: dict[int, Txn]
                  ) -> tuple[Edges, Edges, Edges]:
    """ww, wr, rw; the lists at the end are the order of the appends to each."""
    ww: Edges = defaultdict(dict)
    wr: Edges = defaultdict(dict)
    rw: Edges = defaultdict(dict)

    def link(edges: Edges, first: Txn, second: Txn, why: str) -> None:
        if first is not second:
            edges[first.name].setdefault(second.name, why)

    for key, order in final.items():
        for before, after in pairwise(order):
            if before in writers and after in writers:
                link(ww, writers[before], writers[after], f"appended {after} to {key} behind {before}")
    for txn in counted:
        for op in txn.ops:
            if isinstance(op, Append):
                continue
            # What it appended itself is no dependency on another.
            seen = [value for value in op.values if writers.get(value) is not txn]
            if seen and seen[-1] in writers:
                link(wr, writers[seen[-1]], txn, f"read {seen[-1]} of {op.key}")
            after = final.get(op.key, ())[len(op.values):]
            if after and after[0] in writers:
                link(rw, txn, writers[after[0]], f"appended {after[0]} to {op.key}, unseen")
    return ww, wr, rw


def _circles(ww: Edges, wr: Edges, rw: Edges) -> Iterator[Found]:
    """The weakest name that each circle deserves: one without an rw, with one, with several."""
    known = _joined(ww, wr)
    everything = _joined(known, rw)
    for name, edges, inside in (
            ("G0", ww, ww), ("G1c", wr, known), ("G-single", rw, known), ("G2-item", rw, everything)):
        for first, behind in edges.items():
            for second in behind:
                back = _path(inside, second, first)
                if back and (name != "G2-item" or not _path(known, second, first)):
                    yield Found(name, _told([first, *back], everything))
                    break


def _joined(*several: Edges) -> Edges:
    joined: Edges = defaultdict(dict)
    for edges in several:
        for first, behind in edges.items():
            for second, why in behind.items():
                joined[first].setdefault(second, why)
    return joined


def _path(edges: Edges, start: str, end: str) -> list[str] | None:
    """The shortest from `start` to `end`, both included."""
    came: dict[str, str | None] = {start: None}
    ahead = [start]
    for node in ahead:
        if node == end:
            path = [node]
            while (before := came[path[-1]]) is not None:
                path.append(before)
            return path[::-1]
        for after in edges.get(node, ()):
            if after not in came:
                came[after] = node
                ahead.append(after)
    return None


def _told(circle: list[str], edges: Edges) -> str:
    return "; ".join(f"{second} behind {first} ({edges[first][second]})"
                     for first, second in pairwise(circle))


def is_serial(order: Iterable[Txn], final: dict[int, tuple[int, ...]]) -> bool:
    """Whether the transactions, one behind the other in this order, read what they read and leave what is there."""
    lists: dict[int, tuple[int, ...]] = {}
    for txn in order:
        for op in txn.ops:
            if isinstance(op, Append):
                lists[op.key] = (*lists.get(op.key, ()), op.value)
            elif lists.get(op.key, ()) != op.values:
                return False
    return all(lists.get(key, ()) == final.get(key, ()) for key in lists.keys() | final.keys())

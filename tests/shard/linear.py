"""Is there one order of the operations on a key that explains every answer? Wing and Gong's search, with Lowe's memory.

Linearizability composes over keys, so each key is judged alone. The search walks through the operations in time and
tries each that may come next: one that began before any other of the rest had ended. What it has found hopeless it
remembers by what is still open and by the row, so that it is never tried again. A read that fits the row now is taken
at once, and so is a write that rightly did nothing: later they can only fit worse. Values are unique, so one that is
overwritten does not come back: as long as somebody is still to read it, it stays.

An operation whose answer was lost may have taken effect at any time after it began, or never: it is optional. It is
tried last, when nothing else goes on.

Wing, Gong: Testing and Verifying Concurrent Objects, 1993. Lowe: Testing for linearizability, 2017.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

State = tuple[Any, ...] | None          # a row but for its key: (value, count); None: no row

LOST = "lost"                           # in place of an answer
# Beyond this the search is called off and says so: a history that needs more is either wrong or too crowded to judge.
MOST_STATES = 500_000


class Op(NamedTuple):
    """One operation of one client on one key. Times are of one clock; `answer` is LOST when none came."""

    key: Any
    kind: str                           # insert get put update add delete list
    value: Any                          # insert, put: a row; update: its value; add: a number; else None
    answer: Any                         # get, list: the row or None; insert put(created) update add delete: a bool
    began: float
    ended: float                        # inf when lost
    client: str = ""

    def __str__(self) -> str:
        given = "" if self.value is None else f" {self.value!r}"
        ended = "…" if self.ended == inf else f"{self.ended:.6f}"
        return f"{self.began:.6f}–{ended} {self.client} {self.kind}{given} -> {self.answer!r}"


def applied(op: Op, state: State) -> tuple[State, Any]:
    """The row behind `op` on a row as it is, and what it answers."""
    match op.kind:
        case "get" | "list":
            return state, state
        case "insert":
            return (state, False) if state is not None else (op.value, True)
        case "put":
            return op.value, state is None
        case "update":
            return (state, False) if state is None else ((op.value, *state[1:]), True)
        case "add":
            return (state, False) if state is None else ((state[0], state[1] + op.value), True)
        case "delete":
            return None, state is not None
    raise ValueError(op.kind)


READS = ("get", "list")
WRITES = ("insert", "put", "update")


def without_value(op: Op) -> Op:
    """A write whose value nobody read, and which is therefore like any other such write."""
    return op._replace(value=None if op.kind == "update" else (None, *op.value[1:]))


def written_by(op: Op) -> Any:
    """The value that a row has behind it."""
    return op.value if op.kind == "update" else op.value[0]


@dataclass(frozen=True)
class Anomaly:
    """A key whose answers no row gives. `after` is the longest explanation; none of `open` can come next."""

    key: Any
    reason: str
    after: tuple[Op, ...]
    state: State
    open: tuple[Op, ...]

    def __str__(self) -> str:
        return "\n".join([f"key {self.key!r}: {self.reason}", *(f"    {op}" for op in self.after[-8:]),
                          f"  the row is then {self.state!r}, and none of these can be next:",
                          *(f"    {op}" for op in self.open)])


def anomalies(ops: Iterable[Op], *, initial: Callable[[Any], State] = lambda key: None) -> list[Anomaly]:
    """Of all keys; `initial` tells the row of a key before the first operation."""
    by_key: dict[Any, list[Op]] = defaultdict(list)
    for op in ops:
        by_key[op.key].append(op)
    return [found for key, history in by_key.items() if (found := anomaly(history, initial(key))) is not None]


def anomaly(history: list[Op], initial: State = None, *, most_states: int = MOST_STATES) -> Anomaly | None:
    """What is wrong with a history of one key; None: it is linearizable."""
    return _Search(history, initial).run(most_states)


class _Node(NamedTuple):
    """How far an order has come: `first` is the first answered operation that is open."""

    first: int
    taken: int                          # bit i: operation first + i is taken
    lost: int                           # bit i: of the lost ones
    state: State


class _Search:
    def __init__(self, history: list[Op], initial: State) -> None:
        self.key = history[0].key if history else None
        self.initial = initial
        read = {op.answer[0] for op in history if op.kind in READS and op.answer not in (None, LOST)}
        written = [written_by(op) for op in history if op.kind in WRITES]
        unique = len(set(written)) == len(written)
        history = sorted((without_value(op) if unique and op.kind in WRITES and written_by(op) not in read else op
                          for op in history), key=lambda op: op.began)
        self.ops = [op for op in history if op.answer != LOST]
        self.lost = [op for op in history if op.answer == LOST and op.kind not in READS]
        self.readers: dict[Any, list[int]] = defaultdict(list)      # of each value, where values are unique
        for i, op in enumerate(self.ops if unique else ()):
            if op.kind in READS and op.answer is not None:
                self.readers[op.answer[0]].append(i)
        self.seen: dict[tuple[int, int, State], list[int]] = {}
        self.n_seen = 0

    def run(self, most_states: int) -> Anomaly | None:
        start = _Node(0, 0, 0, self.initial)
        self.new(start)
        path: list[tuple[_Node, Iterator[tuple[_Node, Op]], Op | None]] = [(start, self.after(start), None)]
        furthest, after = start, ()
        while path:
            node, ways, _ = path[-1]
            if node.first == len(self.ops):
                return None
            for following, op in ways:
                if self.new(following):
                    path.append((following, self.after(following), op))
                    if (following.first, following.taken.bit_count()) > (furthest.first, furthest.taken.bit_count()):
                        furthest = following
                        after = tuple(one for _, _, one in path[-9:] if one is not None)
                    break
            else:
                path.pop()
            if self.n_seen > most_states:
                return self.found(f"undecided after {most_states} states", furthest, after)
        return self.found("no order explains its answers", furthest, after)

    def new(self, node: _Node) -> bool:
        """Whether it was never met, also not with fewer of the lost operations spent."""
        spent = self.seen.setdefault(node[:2] + node[3:], [])
        if any(lost & node.lost == lost for lost in spent):
            return False
        spent.append(node.lost)
        self.n_seen += 1
        return True

    def found(self, reason: str, node: _Node, after: tuple[Op, ...]) -> Anomaly:
        return Anomaly(self.key, reason, after, node.state, tuple(self.ops[i] for i in self.candidates(node)[0]))

    def candidates(self, node: _Node) -> tuple[list[int], float]:
        """Answered operations that may be next, and until when the next must have begun."""
        found: list[int] = []
        until = inf
        ops, taken = self.ops, node.taken
        for i in range(node.first, len(ops)):
            op = ops[i]
            if op.began > until:
                break
            if not taken >> (i - node.first) & 1:
                found.append(i)
                until = min(until, op.ended)
        # Those that began before `until` was known to be so early.
        return [i for i in found if ops[i].began <= until], until

    def after(self, node: _Node) -> Iterator[tuple[_Node, Op]]:
        """Where an order can go from there, the most likely first."""
        candidates, until = self.candidates(node)
        changing: list[tuple[_Node, Op]] = []
        for i in candidates:
            op = self.ops[i]
            state, answer = applied(op, node.state)
            if answer != op.answer:
                continue
            if op.kind in READS or (op.answer is False and op.kind != "put"):
                # It fits now, and changes nothing wherever it stands: every order that goes on can begin with it.
                yield self.took(node, i, state), op
                return
            if not self.needed(node, state):
                changing.append((self.took(node, i, state), op))
        changing.sort(key=lambda way: way[1].ended)
        yield from changing
        tried: set[tuple[str, Any]] = set()
        for i, op in enumerate(self.lost):
            if op.began > until:
                break
            # Of two that do the same, the one that began first does.
            if not node.lost >> i & 1 and (op.kind, op.value) not in tried:
                tried.add((op.kind, op.value))
                state, _ = applied(op, node.state)
                if state != node.state and not self.needed(node, state):
                    yield node._replace(lost=node.lost | 1 << i, state=state), op

    def needed(self, node: _Node, state: State) -> bool:
        """Whether somebody is still to read the value that `state` does away with."""
        if node.state is None or (state is not None and state[0] == node.state[0]):
            return False
        return any(i >= node.first and not node.taken >> (i - node.first) & 1
                   for i in self.readers.get(node.state[0], ()))

    def took(self, node: _Node, i: int, state: State) -> _Node:
        """With operation `i` taken."""
        taken = node.taken | 1 << (i - node.first)
        ones = ((taken + 1) & ~taken).bit_length() - 1      # at its low end: these are behind us
        return _Node(node.first + ones, taken >> ones, node.lost, state)

"""One row as a register: what each operation promises, and whether the answers so far can be those of such a row.

The second is asked at every answer of a run, not of a history at its end: a run's judgement is the set of all states
that a correct row can be in now. Two runs with the same set have the same future, however they got there, which is
what keeps the search small.
"""
from __future__ import annotations

from functools import cache
from typing import NamedTuple

ABSENT = 0                  # in place of a value: no row
TWICE = -1                  # a page's answer that shows the key two times; no row ever answers so
KINDS = ("get", "list", "put", "insert", "update", "delete")
READS = ("get", "list")


class Op(NamedTuple):
    """An operation on the key; `value` is what it writes, and no other operation's."""

    kind: str
    value: int = ABSENT


@cache
def applied(op: Op, row: int) -> tuple[int, int]:
    """The row behind `op`, and what it answers: a read the row, a write whether it found what it needs."""
    match op.kind:
        case "get" | "list":
            return row, row
        case "put":
            return op.value, 1
        case "insert":
            return (op.value, 1) if row == ABSENT else (row, 0)
        case "update":
            return (op.value, 1) if row != ABSENT else (row, 0)
        case "delete":
            return ABSENT, int(row != ABSENT)
    raise ValueError(op.kind)


class Possible(NamedTuple):
    """One state of a correct row: its value, and what it answered to operations whose answer has not been seen yet."""

    row: int
    answered: tuple[int | None, ...]        # by client; None: its operation has not taken effect


Judgement = frozenset[Possible]             # empty: no correct row behaves like this


def unjudged(row: int, n_clients: int) -> Judgement:
    """Before anything happened to `row`."""
    return frozenset([Possible(row, (None,) * n_clients)])


@cache
def judged(before: Judgement, pending: tuple[Op | None, ...], client: int, answer: int) -> Judgement:
    """What is possible once `client` has its answer, while the operations of `pending` (by client) are under way.

    Any of them may have taken effect before that, in any order; the client's own must have, with this answer.
    """
    after: set[Possible] = set()
    seen: set[Possible] = set()
    rest = list(before)
    while rest:
        one = rest.pop()
        if one in seen:
            continue
        seen.add(one)
        if one.answered[client] is not None:
            if one.answered[client] == answer:
                after.add(Possible(one.row, _set(one.answered, client, None)))
            continue
        for other, op in enumerate(pending):
            if op is not None and one.answered[other] is None:
                row, said = applied(op, one.row)
                rest.append(Possible(row, _set(one.answered, other, said)))
    return frozenset(after)


def _set(answered: tuple[int | None, ...], client: int, answer: int | None) -> tuple[int | None, ...]:
    return (*answered[:client], answer, *answered[client + 1:])

"""What can go wrong between transactions: each anomaly as transactions, their order, and a look at what came of it.

The set and the names are those of Kleppmann's Hermitage, which tests the definitions of Adya (1999) and of Berenson and
others (1995); sentences, transactions and checks are our own. Two rows are there at first: 1 with 10, 2 with 20. A
`yield` ends a step; the last step is what is left, and the commit.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

AT_FIRST = {1: 10, 2: 20}


class Work(Protocol):
    """What a transaction may do; each call is one statement where the level is the database's own."""

    def read(self, key: int) -> int:
        """The row's value."""

    def find(self, *, value: int) -> list[int]:
        """Keys of the rows with this value."""

    def write(self, key: int, value: int) -> None:
        """Set the row's value."""

    def add(self, key: int, n: int) -> None:
        """Raise the value that the row has when this is done, if there is such a row."""

    def insert(self, key: int, value: int) -> None:
        """A new row."""

    def remove(self, keys: list[int], *, value: int) -> None:
        """Remove the rows with this value; `keys` are those that `find` gave for it."""

    def note(self, fact: object) -> None:
        """Something for the check, if the transaction is committed."""


class Undo(Exception):
    """A transaction that ends with it is rolled back, as it wanted."""


Body = Callable[[Work], Iterator[None]]


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    committed: frozenset[str]
    notes: dict[str, tuple[object, ...]]        # of each transaction; none if it was not committed
    final: dict[int, int]                       # values by key


@dataclass(frozen=True)
class Anomaly:
    """One of them."""

    name: str
    title: str
    sentence: str
    order: str                      # who takes a step; then all go on to their end, T1 first
    bodies: tuple[Body, ...]        # of T1, T2, …
    happened: Callable[[Outcome], bool]


def writes(*pairs: tuple[int, int], undo: bool = False) -> Body:
    """Sets values, one a step; the end is a step of its own."""
    def body(work: Work) -> Iterator[None]:
        for key, value in pairs:
            work.write(key, value)
            yield
        if undo:
            raise Undo
    return body


def reads(*keys: int) -> Body:
    """Reads rows, one a step; notes what it saw as (key, value)."""
    def body(work: Work) -> Iterator[None]:
        for key in keys:
            work.note((key, work.read(key)))
            yield
    return body


def write_then_read(written: int, value: int, key: int) -> Body:
    """Sets one row, then reads another."""
    def body(work: Work) -> Iterator[None]:
        work.write(written, value)
        yield
        work.note(work.read(key))
        yield
    return body


def increment(key: int, n: int) -> Body:
    """Reads, and writes what it computed from that."""
    def body(work: Work) -> Iterator[None]:
        value = work.read(key)
        yield
        work.write(key, value + n)
        yield
    return body


def find_twice(value: int) -> Body:
    """Looks for rows with a value, and once more."""
    def body(work: Work) -> Iterator[None]:
        for _ in range(2):
            work.note(tuple(work.find(value=value)))
            yield
    return body


def insert(key: int, value: int) -> Body:
    """A new row."""
    def body(work: Work) -> Iterator[None]:
        work.insert(key, value)
        yield
    return body


def add_to_all(n: int) -> Body:
    """Raises both rows' values in one step."""
    def body(work: Work) -> Iterator[None]:
        for key in AT_FIRST:
            work.add(key, n)
        yield
    return body


def remove_found(value: int) -> Body:
    """Looks for rows with a value, then removes the rows with that value."""
    def body(work: Work) -> Iterator[None]:
        found = work.find(value=value)
        work.note(tuple(found))
        yield
        work.remove(found, value=value)
        yield
    return body


def read_both_then_add(key: int, n: int) -> Body:
    """Reads both rows, then raises one where it is, and reads what came of it."""
    def body(work: Work) -> Iterator[None]:
        values = {each: work.read(each) for each in AT_FIRST}
        yield
        work.add(key, n)
        work.note((values[key], work.read(key)))
        yield
    return body


def read_both_then_write(key: int, value: int) -> Body:
    """Reads both rows, then sets one; notes what it read."""
    def body(work: Work) -> Iterator[None]:
        work.note({each: work.read(each) for each in AT_FIRST})
        yield
        work.write(key, value)
        yield
    return body


def insert_if_none(key: int, value: int) -> Body:
    """A new row if there is none with such a value yet."""
    def body(work: Work) -> Iterator[None]:
        if not work.find(value=value):
            yield
            work.insert(key, value)
        yield
    return body


def vanished(seen: tuple[object, ...]) -> bool:
    """T3 saw something of T2, and later a row that T2 writes without it."""
    of_second = ((1, 12), (2, 18))
    first = min((seen.index(each) for each in of_second if each in seen), default=len(seen))
    return any(each not in of_second for each in seen[first:])


def removed_others(it: Outcome) -> bool:
    """T2 neither found and removed as if T1 had been before, nor as if T1 had not been yet."""
    first = ({2: 30}, ((1,),))
    last = ({1: 20 if "T1" in it.committed else 10}, ((2,),))
    return (it.final, it.notes["T2"]) not in (first, last)


ANOMALIES = (
    Anomaly("G0", "dirty write",
            "Two transactions write the same two rows, and each is the last in one of them: "
            "the rows together are what neither wrote.",
            "T1 T2 T2 T1 T1 T2", (writes((1, 11), (2, 21)), writes((1, 12), (2, 22))),
            lambda it: (it.final[1], it.final[2]) in {(11, 22), (12, 21)}),
    Anomaly("G1a", "aborted read",
            "A transaction reads what another wrote and then took back.",
            "T1 T2 T1 T2 T2", (writes((1, 101), undo=True), reads(1, 1)),
            lambda it: (1, 101) in it.notes["T2"]),
    Anomaly("G1b", "intermediate read",
            "A transaction reads what another wrote first, and not what it left in the end.",
            "T1 T2 T1 T1 T2 T2", (writes((1, 101), (1, 11)), reads(1, 1)),
            lambda it: (1, 101) in it.notes["T2"]),
    Anomaly("G1c", "circular information flow",
            "Two transactions each read what the other wrote, so that each had to be the first.",
            "T1 T2 T1 T2 T1 T2", (write_then_read(1, 11, 2), write_then_read(2, 22, 1)),
            lambda it: it.notes["T1"] == (22,) and it.notes["T2"] == (11,)),
    Anomaly("OTV", "observed transaction vanishes",
            "A reader sees a transaction's effect in one row, and then another row as if that transaction had never "
            "been.",
            "T1 T1 T2 T1 T3 T3 T2 T2 T3 T3 T3",
            (writes((1, 11), (2, 19)), writes((1, 12), (2, 18)), reads(1, 2, 2, 1)),
            lambda it: vanished(it.notes["T3"])),
    Anomaly("PMP", "predicate-many-preceders",
            "A search that is made twice finds the second time a row that somebody added meanwhile.",
            "T1 T2 T2 T1 T1", (find_twice(30), insert(3, 30)),
            lambda it: len(set(it.notes["T1"])) > 1),
    Anomaly("PMP, writing", "predicate-many-preceders of a write",
            "A transaction looks for rows and then changes what it looked for; what it changes are other rows.",
            "T2 T1 T1 T2 T2", (add_to_all(10), remove_found(20)),
            lambda it: "T2" in it.committed and removed_others(it)),
    Anomaly("P4", "lost update",
            "Two transactions read a row and write what they computed from it; the second write undoes the first.",
            "T1 T2 T1 T2 T1 T2", (increment(1, 1), increment(1, 2)),
            lambda it: it.final[1] - AT_FIRST[1] != sum({"T1": 1, "T2": 2}[name] for name in it.committed)),
    Anomaly("G-single", "read skew",
            "A transaction reads one row before and another row after somebody changed both.",
            "T1 T2 T2 T2 T1 T1", (reads(1, 2), writes((1, 12), (2, 18))),
            lambda it: it.notes["T1"] == ((1, 10), (2, 18))),
    Anomaly("G-single, writing", "read skew of a write",
            "A transaction reads rows, and its write then builds on a newer state of them than it read.",
            "T1 T2 T2 T2 T1 T1", (read_both_then_add(2, 1), writes((1, 12), (2, 18))),
            lambda it: it.notes["T1"] == ((20, 19),)),
    Anomaly("G2-item", "write skew",
            "Two transactions read the same two rows and each changes another one of them: what either relied on is no "
            "longer so.",
            "T1 T2 T1 T2 T1 T2", (read_both_then_write(1, 11), read_both_then_write(2, 21)),
            lambda it: it.notes["T1"] == it.notes["T2"] == (AT_FIRST,)),
    Anomaly("G2", "anti-dependency cycle",
            "Two transactions each find no row of a kind and add one: now there are two.",
            "T1 T2 T1 T2 T1 T2", (insert_if_none(3, 30), insert_if_none(4, 30)),
            lambda it: list(it.final.values()).count(30) > 1),
)

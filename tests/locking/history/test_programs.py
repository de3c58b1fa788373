"""Small programs of transactions, in any order of their steps: what comes of them comes of some serial order too."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotpath import locking
from tests.locking.isolation.anomalies import AT_FIRST, Body, Work
from tests.locking.isolation.measure import Level, library, opened

# "read" notes a row, "add" raises it, "copy" sets it to one more than the other row.
Step = tuple[str, int]
Program = Sequence[Step]

QUICK = {"base": 0.001, "cap": 0.01, "attempts": 50}
SERIALIZABLE: dict[str, Level] = {
    "optimistic": library("optimistic", locking.Optimistic(**QUICK), guard=True),
    "pessimistic": library("pessimistic", locking.Pessimistic(**QUICK)),
    "escalating": library("escalating", locking.Escalating(after=1, **QUICK), guard=True),
    "adaptive": library("adaptive", locking.Adaptive(**QUICK), guard=True),
}
# As many as some seconds allow.
EXAMPLES = {"sqlite": 20, "mariadb": 10, "postgresql": 10}

steps = st.tuples(st.sampled_from(["read", "add", "copy"]), st.sampled_from(sorted(AT_FIRST)))
programs = st.lists(st.lists(steps, min_size=1, max_size=3), min_size=2, max_size=3)
SKEWED: Program = [[("copy", 1)], [("copy", 2)]]        # 11, 21 is of neither order: it would be 21, 22 or 11, 12


def body_of(program: Program) -> Body:
    def body(work: Work) -> Iterator[None]:
        for kind, key in program:
            if kind == "read":
                work.note(work.read(key))
            elif kind == "add":
                work.write(key, work.read(key) + 100)
            else:
                value = work.read(3 - key)
                yield
                work.write(key, value + 1)
            yield
    return body


class Alone:
    """Work on a dict, with nobody beside."""

    def __init__(self, rows: dict[int, int]) -> None:
        self.rows = rows
        self.noted: list[object] = []

    def read(self, key: int) -> int:
        return self.rows[key]

    def write(self, key: int, value: int) -> None:
        self.rows[key] = value

    def note(self, fact: object) -> None:
        self.noted.append(fact)


def serially(program: Sequence[Program], order: Sequence[int]) -> tuple[dict[str, tuple[object, ...]], dict[int, int]]:
    """What the transactions note, and the rows at the end, one transaction behind the other."""
    rows, notes = dict(AT_FIRST), {}
    for i in order:
        work = Alone(rows)
        for _ in body_of(program[i])(work):
            pass
        notes[f"T{i + 1}"] = tuple(work.noted)
    return notes, rows


def is_explained(played: Callable[..., object], program: Sequence[Program], order: str) -> bool:
    """Play it: does all come to an end, as in some serial order?"""
    outcome = played([body_of(each) for each in program], order).outcome
    assert len(outcome.committed) == len(program)
    return (outcome.notes, outcome.final) in [serially(program, each) for each in permutations(range(len(program)))]


@pytest.mark.parametrize("name", SERIALIZABLE)
def test_some_serial_order_explains_the_outcome(backend, url, name):
    with opened(backend, url, SERIALIZABLE[name]) as played:
        @settings(max_examples=EXAMPLES[backend], suppress_health_check=list(HealthCheck))
        @given(programs, st.data())
        def explained(program, data):
            turns = [f"T{i}" for i, each in enumerate(program, 1) for _ in each]
            assert is_explained(played, program, " ".join(data.draw(st.permutations(turns))))

        explained()


@pytest.mark.parametrize("name", SERIALIZABLE)
def test_write_skew_is_explained(backend, url, name):
    with opened(backend, url, SERIALIZABLE[name]) as played:
        assert is_explained(played, SKEWED, "T1 T2 T1 T2")


def test_control_versions_alone_are_not_enough(backend, url):
    with opened(backend, url, library("optimistic", locking.Optimistic(**QUICK))) as played:
        assert not is_explained(played, SKEWED, "T1 T2 T1 T2")

"""When a policy locks, how often it tries, how long it waits."""
from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from hotpath import locking as L
from hotpath.locking.policies import backoff_s
from tests.locking.rows import Tally, store

POLICIES = [L.Optimistic, L.Pessimistic, L.Escalating, L.Adaptive]


@given(attempt=st.integers(1, 10_000), base=st.floats(0, 10), cap=st.floats(10, 100))
def test_the_wait_lies_between_nothing_and_the_doubled_base(attempt: int, base: float, cap: float) -> None:
    wait_s = backoff_s(attempt, base_s=base, cap_s=cap)
    assert 0 <= wait_s <= min(cap, base * 2.0 ** min(attempt, 64))


def test_the_wait_is_drawn_from_the_whole_range(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    assert [L.Optimistic(base=0.005, cap=0.1).wait_s(n) for n in range(1, 7)] == [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]
    assert {low for low, _ in asked} == {0.0}


def test_two_that_met_do_not_meet_again() -> None:
    """Full jitter: whoever waits as long as the others meets them again."""
    policy = L.Optimistic(base=1.0, cap=1.0)
    assert len({policy.wait_s(1) for _ in range(100)}) > 90


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"base": -1.0}, {"base": 2.0, "cap": 1.0}, {"cap": float("nan")}],
                         ids=["attempts", "base", "cap", "nan"])
def test_a_policy_that_makes_no_sense_is_refused(policy: type[L.Optimistic], wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        policy(**wrong)         # type: ignore[arg-type]


def test_escalating_refuses_a_negative_after() -> None:
    with pytest.raises(ValueError, match="after -1"):
        L.Escalating(after=-1)


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_escalating_locks_from_the_attempt_behind_after(engine: Engine, after: int) -> None:
    Tally.metadata.create_all(engine)
    store(engine, Tally(id=1))
    locking = []

    def work(tx: L.Tx) -> None:
        locking.append(tx.locking)
        tx.load(Tally, 1)
        if tx.attempt <= 6:
            raise L.Conflict(1, 1, 2)

    stats = L.Stats()
    L.run(engine, work, L.Escalating(after=after, base=0, cap=0), stats=stats)
    assert locking == [False] * after + [True] * (7 - after)
    assert stats.locked_attempts == 7 - after


def test_the_first_argument_of_escalating_is_after() -> None:
    assert [L.Escalating(3).locks(n) for n in (3, 4)] == [False, True]
    assert [L.Optimistic(3).attempts, L.Pessimistic(3).attempts, L.Adaptive(3).attempts] == [3, 3, 3]


@pytest.mark.parametrize(("policy", "locks"), [(L.Optimistic(), False), (L.Pessimistic(), True)],
                         ids=["optimistic", "pessimistic"])
def test_the_steady_ones_never_change_their_mind(policy: L.Optimistic, locks: bool) -> None:
    assert {policy.locks(n) for n in range(1, 50)} == {locks}

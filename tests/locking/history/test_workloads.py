"""Histories of real units on real databases: under the policies that promise it, some order explains them all."""
from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import pytest

from hotpath import locking
from tests.locking.history.checker import anomalies
from tests.locking.history.workload import Recorder, meeting, plans, together

WORKERS = 6
UNITS = 12
PATIENT = {"attempts": 200, "base": 0.001, "cap": 0.02}
# Each with ensure_unchanged on what is only read, or a lock on it.
SERIALIZABLE = {
    "optimistic": partial(locking.Optimistic, **PATIENT),
    "pessimistic": partial(locking.Pessimistic, **PATIENT),
    "escalating": partial(locking.Escalating, **PATIENT),
    "adaptive": partial(locking.Adaptive, **PATIENT),
}


@contextmanager
def recording(url, isolation=None):
    # PostgreSQL looks for a deadlock a second after the wait began, if not told otherwise.
    soon = {"options": "-c deadlock_timeout=10ms"} if url.startswith("postgresql") else {}
    engine = locking.engine(url, isolation=isolation, connect_args=soon)
    yield Recorder(engine)
    engine.dispose()


@pytest.fixture
def recorder(url):
    with recording(url) as recorder:
        yield recorder


@pytest.mark.parametrize("name", SERIALIZABLE)
def test_no_append_is_lost_and_no_circle_is_seen(recorder, name):
    policy, guard = SERIALIZABLE[name](), name != "pessimistic"
    met = meeting(WORKERS)

    def work(seed):
        if guard:
            # All read the same before anybody commits: all but one are overtaken.
            recorder.unit([("read", 2), ("append", 1)], policy, guard=True, met=met)
        for plan in plans(seed, UNITS):
            recorder.unit(plan, policy, guard=guard)

    together(partial(work, seed) for seed in range(WORKERS))
    assert anomalies(recorder.history, recorder.final()) == []
    assert recorder.committed == WORKERS * (UNITS + guard)
    stats = recorder.stats
    assert stats.attempts == len(recorder.history)
    if guard:
        assert stats.attempts - stats.commits >= WORKERS - 1


def test_versions_alone_lose_no_append(recorder):
    policy = SERIALIZABLE["optimistic"]()
    together(partial(lambda seed: [recorder.unit(plan, policy, guard=False) for plan in plans(seed, UNITS)], seed)
             for seed in range(WORKERS))
    allowed = {"G-single", "G2-item"}
    assert {found.name for found in anomalies(recorder.history, recorder.final())} <= allowed


def test_serializable_needs_no_guard(url):
    with recording(url, "SERIALIZABLE") as recorder:
        policy = SERIALIZABLE["optimistic"]()
        together(partial(lambda seed: [recorder.unit(plan, policy, guard=False) for plan in plans(seed, UNITS)], seed)
                 for seed in range(WORKERS))
        assert anomalies(recorder.history, recorder.final()) == []
        assert recorder.committed == WORKERS * UNITS


def test_control_a_naive_unit_loses_appends(recorder):
    met = meeting(2)
    together(partial(recorder.naive_unit, [("append", 1)], met) for _ in range(2))
    assert "lost append" in {found.name for found in anomalies(recorder.history, recorder.final())}


def skewed(recorder, *, guard):
    """Two read both lists and each appends to another; what the history shows."""
    met = meeting(2)

    def work(mine, other):
        tx_plan = [("read", other), ("append", mine)]
        recorder.unit(tx_plan, locking.Optimistic(**PATIENT), guard=guard, met=met)

    together([partial(work, 1, 2), partial(work, 2, 1)])
    return {found.name for found in anomalies(recorder.history, recorder.final())}


def test_control_versions_alone_allow_write_skew(recorder):
    assert skewed(recorder, guard=False) == {"G2-item"}

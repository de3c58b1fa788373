"""Adaptive: what conflicts is locked, what does not is not, and both are found out anew."""
from __future__ import annotations

import random

import pytest
from sqlalchemy import Engine

from hotpath import locking as L
from tests.locking.rows import Plain, Tally, set_value, store, value_of

AT_ONCE = {"base": 0.0, "cap": 0.0}
HOT, COLD = (Tally, 1), (Tally, 2)


def conflicts(policy: L.Adaptive, row: tuple[type, int], times: int) -> None:
    """So many, one behind the other."""
    for _ in range(times):
        policy.conflicted(row)


def grant(policy: L.Adaptive, row: tuple[type, int]) -> int:
    """How many loads of it would be locked now; they are used up."""
    return next(n for n in range(10_000) if not policy.locks_row(row))


def test_what_never_conflicted_is_not_locked() -> None:
    policy = L.Adaptive()
    for _ in range(100):
        assert not policy.locks_row(HOT)
        policy.passed(HOT)


def test_a_row_that_conflicts_is_locked_and_its_neighbours_are_not() -> None:
    policy = L.Adaptive()
    conflicts(policy, HOT, 20)
    assert policy.locks_row(HOT)
    assert not policy.locks_row(COLD)
    assert not policy.locks_row((Plain, 1))


def test_one_conflict_now_and_then_does_not_add_up() -> None:
    policy = L.Adaptive()
    for _ in range(100):
        policy.conflicted(HOT)
        assert grant(policy, HOT) == 16
        for _ in range(20):
            assert not policy.locks_row(HOT)
            policy.passed(HOT)


def test_a_grant_ends_and_doubles_while_the_row_stays_contended() -> None:
    policy = L.Adaptive()
    conflicts(policy, HOT, 1)
    seen = []
    for _ in range(9):
        seen.append(grant(policy, HOT))
        policy.conflicted(HOT)          # the load without a lock behind it
    assert seen == [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]


def test_a_row_that_is_contended_no_more_is_forgotten() -> None:
    policy = L.Adaptive()
    conflicts(policy, HOT, 1)
    for _ in range(5):
        grant(policy, HOT)
        policy.conflicted(HOT)
    assert grant(policy, HOT) == 512
    for _ in range(20):
        assert not policy.locks_row(HOT)
        policy.passed(HOT)
    conflicts(policy, HOT, 1)
    assert grant(policy, HOT) == 16     # as at the beginning


def test_a_table_of_which_many_rows_conflict_is_locked_as_a_whole() -> None:
    """Where many workers meet on many rows, each worker sees each row too seldom to learn about it."""
    policy = L.Adaptive()
    for key in (1, 2):
        assert not policy.locks_row((Tally, 99))
        policy.conflicted((Tally, key))
    assert grant(policy, (Tally, 99)) == 16
    assert not policy.locks_row((Plain, 99))


def test_rows_that_conflict_seldom_do_not_add_up() -> None:
    policy = L.Adaptive()
    for key in range(100):
        policy.conflicted((Tally, key))
        for other in range(20):
            assert not policy.locks_row((Tally, 1000 + other))
            policy.passed((Tally, 1000 + other))


def test_the_memory_is_bounded() -> None:
    policy = L.Adaptive(slots=8)
    chance = random.Random(1)
    for _ in range(1000):
        conflicts(policy, (Tally, chance.randrange(10**9)), 1)
    assert {len(places) for places in (policy._scores, policy._grants, policy._left)} == {8}
    assert all(0 <= left <= 1024 for left in policy._left)


def test_an_attempt_behind_a_conflict_locks_all() -> None:
    assert [L.Adaptive().locks(n) for n in (1, 2, 10)] == [False, True, True]


def test_where_a_lock_stops_everybody_long_work_is_not_locked() -> None:
    policy = L.Adaptive(attempts=10)
    conflicts(policy, HOT, 20)
    policy.took(1.0, 0.001)             # one that stalled is forgotten with the next
    policy.took(0.0001, 0.001)
    assert policy.locks_row(HOT)
    for _ in range(20):
        policy.took(0.010, 0.001)
    assert not policy.locks_row(HOT)
    assert [policy.locks(n) for n in (1, 2, 9, 10)] == [False, False, False, True]      # the last must go well
    for _ in range(20):
        policy.took(0.0001, 0.001)      # it got shorter
    assert policy.locks_row(HOT)
    assert policy.locks(2)


@pytest.mark.parametrize("slots", [0, -1])
def test_no_slots_is_refused(slots: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        L.Adaptive(slots=slots)


def test_run_teaches_it(stored: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that others change all the time, and one that nobody does."""
    store(stored, Tally(id=1), Tally(id=2))
    policy = L.Adaptive(**AT_ONCE)
    monkeypatch.setattr(policy, "took", lambda *_times: None)       # of SQLite: no machine is too slow for this test
    stats = L.Stats()

    def hot(tx: L.Tx) -> None:
        row = tx.load(Tally, 1)
        if not tx._locked:
            set_value(stored, Tally, 1, row.value + 100)
        row.value += 1

    for _ in range(10):
        L.run(stored, hot, policy, stats=stats)
    # The first unit conflicted once, was locked as a whole then, and those behind it had the grant.
    assert (stats.conflicts, stats.locked_attempts, stats.attempts) == (1, 10, 11)
    assert value_of(stored, Tally, 1) == 110

    stats = L.Stats()
    L.run(stored, lambda tx: tx.load(Tally, 2), policy, stats=stats)
    assert stats.locked_attempts == 0


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_only_sqlite_says_how_long_the_work_took(backend: str, stored: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store(stored, Tally(id=1))
    policy = L.Adaptive()
    told: list[tuple[float, float]] = []
    monkeypatch.setattr(policy, "took", lambda *times: told.append(times))
    L.run(stored, lambda tx: tx.load(Tally, 1), policy)
    L.run(stored, lambda tx: tx.session.get(Tally, 1), policy)      # reads nothing that a policy decides on
    assert len(told) == (backend == "sqlite")

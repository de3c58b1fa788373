"""Adaptive: what conflicts is locked, what does not is not, and both are found out anew."""
from __future__ import annotations

import random
from collections.abc import Hashable
from itertools import count

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from hotpath import locking as L
from hotpath.locking import adaptive
from tests.locking.databases import SERVERS
from tests.locking.rows import Plain, Tally, set_value, store, value_of

AT_ONCE = {"base": 0.0, "cap": 0.0}
HOT, COLD = (Tally, 1), (Tally, 2)


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and tables have a place each: two in one place (a class's hash is its address) learn together."""
    numbers: dict[Hashable, int] = {}
    fresh = count()
    monkeypatch.setattr(adaptive, "hash", lambda one: numbers.setdefault(one, next(fresh)), raising=False)


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


def test_where_a_lock_stops_everybody_only_the_last_attempt_is_locked() -> None:
    there = L.Adaptive(attempts=10, base=0.1, cap=0.2).on_one_lock()
    assert [there.locks(n) for n in (1, 2, 9, 10)] == [False, False, False, True]       # which must go well
    assert (there.attempts, there.base, there.cap) == (10, 0.1, 0.2)
    assert not there.locks_row(HOT)


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_run_goes_by_it_on_sqlite(backend: str, stored: Engine) -> None:
    store(stored, Tally(id=1))
    locked = []

    def work(tx: L.Tx) -> None:
        tx.load(Tally, 1)
        locked.append(tx.locking)
        if tx.attempt < 4:
            raise L.Conflict(1, 1, 2)

    for where in (stored, sessionmaker(stored)):
        locked.clear()
        L.run(where, work, L.Adaptive(attempts=4, **AT_ONCE))
        assert locked == ([False, False, False, True] if backend == "sqlite" else [False, True, True, True])


@pytest.mark.parametrize("slots", [0, -1])
def test_no_slots_is_refused(slots: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        L.Adaptive(slots=slots)


@pytest.mark.parametrize("backend", SERVERS)
def test_run_teaches_it(stored: Engine) -> None:
    """A row that others change all the time, and one that nobody does."""
    store(stored, Tally(id=1), Tally(id=2))
    policy = L.Adaptive(**AT_ONCE)
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

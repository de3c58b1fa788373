"""Stats: each try is counted once, by how it ended, whoever counts beside."""
from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from hotpath import locking as L
from tests.locking.rows import Tally, store

AT_ONCE = {"base": 0.0, "cap": 0.0}
FAILURES = {L.Conflict: "conflicts", L.Serialization: "serialization", L.Deadlock: "deadlocks",
            L.LockTimeout: "timeouts", L.Disconnected: "disconnects"}


def ended(stats: L.Stats) -> int:
    """How many tries ended in a way that has a name."""
    return sum(getattr(stats, name) for name in ("commits", *FAILURES.values()))


@pytest.fixture
def one(stored: Engine) -> Engine:
    """A row 1 at 0."""
    store(stored, Tally(id=1))
    return stored


@pytest.mark.parametrize(("kind", "name"), FAILURES.items(), ids=list(FAILURES.values()))
def test_a_failure_is_counted_under_its_name_alone(one: Engine, kind: type[L.Retriable], name: str) -> None:
    stats = L.Stats()

    def work(tx: L.Tx) -> None:
        if tx.attempt <= 3:
            raise kind()

    L.run(one, work, L.Optimistic(**AT_ONCE), stats=stats)
    assert getattr(stats, name) == 3
    assert (stats.attempts, stats.commits, ended(stats)) == (4, 1, 4)


def test_attempts_are_the_sum_of_how_they_ended_whoever_counts(url: str) -> None:
    engine = L.engine(url, pool_size=8)
    Tally.metadata.create_all(engine)
    store(engine, *(Tally(id=n) for n in range(4)))
    stats = L.Stats()
    kinds = list(FAILURES)
    meet = threading.Barrier(8)

    def count(worker: int) -> None:
        meet.wait()
        for n in range(50):
            def work(tx: L.Tx, n: int = n) -> None:
                row = tx.load(Tally, n % 4)
                if tx.attempt <= n % 3:
                    raise kinds[(worker + n) % len(kinds)]()
                row.value += 1

            L.run(engine, work, L.Adaptive(attempts=1000, base=0.0005, cap=0.01), stats=stats)

    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(count, range(8)))
    finally:
        engine.dispose()
    assert stats.commits == 400
    assert stats.attempts == ended(stats) >= 400 + 8 * sum(n % 3 for n in range(50))
    assert stats.wasted_s > 0


def test_an_attempt_that_ends_by_an_error_of_the_work_is_an_attempt(one: Engine) -> None:
    stats = L.Stats()
    with pytest.raises(ZeroDivisionError):
        L.run(one, lambda _tx: 1 // 0, stats=stats)
    assert (stats.attempts, ended(stats)) == (1, 0)


def test_waits_and_waste_add_up(one: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("hotpath.locking.work.time.sleep", slept.append)
    stats = L.Stats()

    def work(tx: L.Tx) -> None:
        if tx.attempt <= 3:
            raise L.Deadlock

    L.run(one, work, L.Optimistic(base=1.0, cap=5.0), stats=stats)
    assert len(slept) == 3
    assert stats.wait_s == pytest.approx(sum(slept))
    assert 0 <= slept[0] <= 2 <= 5 >= slept[2]


def test_two_add_up_field_by_field_and_pickle() -> None:
    one, other = L.Stats(attempts=3, commits=2, wasted_s=0.5), L.Stats(attempts=4, deadlocks=1, wasted_s=0.25)
    one.add(other)
    assert one == L.Stats(attempts=7, commits=2, deadlocks=1, wasted_s=0.75)
    assert pickle.loads(pickle.dumps(one)) == one


def test_one_added_to_itself_is_doubled() -> None:
    stats = L.Stats(attempts=3, commits=3)
    twice = threading.Thread(target=stats.add, args=(stats,), daemon=True)      # it must not wait for itself
    twice.start()
    twice.join(20)
    assert not twice.is_alive()
    assert stats == L.Stats(attempts=6, commits=6)

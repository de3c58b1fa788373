"""No increment is lost, by 32 workers at once, under any policy; the naive way loses them."""
from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from hotpath import locking as L
from tests.locking.rows import Plain, Tally, store, value_of
from tests.waiting import DEADLINE_S

WORKERS = 32
UNITS, ROWS = 20, 256   # of each worker, over so many rows
MOST_ROWS = 1024
# Where they meet most often; `bench locking` counts ten thousand under every policy.
MANY = {"optimistic": (79, MOST_ROWS)}
EACH = 4                # rows in a unit
SETTINGS = {"attempts": 10_000, "base": 0.002, "cap": 0.05}
POLICIES = {
    "optimistic": L.Optimistic, "pessimistic": L.Pessimistic, "escalating": L.Escalating, "adaptive": L.Adaptive,
}


@pytest.fixture
def many(backend: str, url: str) -> Iterator[Engine]:
    """With a connection for each worker; a commit need not reach the disk."""
    engine = L.engine(url, pool_size=WORKERS, lock_timeout=60)
    Tally.metadata.create_all(engine)
    store(engine, *(Tally(id=n) for n in range(MOST_ROWS)), Plain(id=1))
    yield engine
    engine.dispose()


def everybody(work: Callable[[int], None]) -> None:
    """All workers at once, in threads; the first error of any is raised."""
    meet = threading.Barrier(WORKERS)

    def begin(worker: int) -> None:
        meet.wait(DEADLINE_S)
        work(worker)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(begin, range(WORKERS)))


def total(engine: Engine) -> int:
    """Of all rows."""
    with Session(engine) as session:
        return session.scalars(select(func.sum(Tally.value))).one()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*POLICIES, "atomic"])
def test_thousands_of_increments_are_all_there(many: Engine, name: str) -> None:
    """By chance different rows, so that they meet in every way."""
    policy = POLICIES.get(name, L.Optimistic)(**SETTINGS)
    units, rows = MANY.get(name, (UNITS, ROWS))
    stats = L.Stats()

    def worker(number: int) -> None:
        chance = random.Random(number)
        for _ in range(units):
            keys = sorted(chance.sample(range(rows), EACH))

            def work(tx: L.Tx, keys: list[int] = keys) -> None:
                if name == "atomic":
                    for key in keys:
                        tx.session.execute(update(Tally).where(Tally.id == key).values(value=Tally.value + 1))
                    return
                for key in keys:
                    tx.load(Tally, key).value += 1

            L.run(many, work, policy, stats=stats)

    everybody(worker)
    assert total(many) == WORKERS * units * EACH
    assert stats.commits == WORKERS * units
    assert stats.attempts == stats.commits + stats.conflicts + stats.deadlocks + stats.timeouts
    if name == "optimistic":
        assert WORKERS * units * EACH > 10_000
        assert stats.conflicts      # else nobody met anybody, and the test says nothing
    assert many.pool.checkedout() == 0


@pytest.mark.parametrize("isolation", ["READ COMMITTED"])
def test_the_naive_way_loses_all_but_one(backend: str, many: Engine, url: str, isolation: str) -> None:
    """The control: each has read before the first writes."""
    naive = L.engine(url, pool_size=WORKERS, lock_timeout=60, isolation=None if backend == "sqlite" else isolation)
    have_read = threading.Barrier(WORKERS)

    def worker(_number: int) -> None:
        with Session(naive) as session:
            row = session.get_one(Plain, 1)
            have_read.wait(DEADLINE_S)
            row.value += 1
            session.commit()

    try:
        everybody(worker)
    finally:
        naive.dispose()
    assert value_of(many, Plain, 1) == 1


@pytest.mark.parametrize("name", POLICIES)
def test_when_all_have_read_before_the_first_writes_nothing_is_lost(many: Engine, name: str) -> None:
    """The same meeting as in the control, under the policies: who locks cannot be met there."""
    have_read = threading.Barrier(WORKERS)
    attempts: list[int] = []

    def worker(_number: int) -> None:
        def work(tx: L.Tx) -> int:
            row = tx.load(Tally, 1)
            if tx.attempt == 1 and name != "pessimistic":
                have_read.wait(DEADLINE_S)
            row.value += 1
            return tx.attempt

        attempts.append(L.run(many, work, POLICIES[name](**SETTINGS)))

    everybody(worker)
    assert value_of(many, Tally, 1) == WORKERS
    if name != "pessimistic":
        assert sorted(attempts)[:2] == [1, 2]        # one was the first, and all others had to begin anew
    if name == "escalating":
        # Its third attempt has the row for itself before it reads: there is no fourth.
        assert max(attempts) <= 3

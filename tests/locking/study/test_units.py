import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from hotpath import locking
from hotpath.locking.study import units
from hotpath.locking.study.grid import POLICIES
from hotpath.locking.study.units import TABLE, WAYS, Base, Counter

OTHERS = tuple(policy for policy in POLICIES if policy != "naive")


@pytest.fixture
def counters(engine):
    """Three rows at 0."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(TABLE), [{"id": id, "n": 0, "version": 1} for id in (1, 2, 3)])
    return engine


def unit(engine, policy, key=2):
    do, kind = WAYS[policy]
    locking.run(engine, lambda tx: do(tx, key=key, work_s=0.001), kind())


def numbers(engine):
    with engine.connect() as connection:
        return list(connection.execute(select(TABLE.c.n).order_by(TABLE.c.id)).scalars())


def test_every_policy_of_the_grid_has_its_way():
    assert set(WAYS) == set(POLICIES)
    assert TABLE.name.startswith("hotpath_study_")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_unit_raises_its_counter_by_1(counters, policy):
    for _ in range(3):
        unit(counters, policy)
    assert numbers(counters) == [0, 3, 0]


def worked(monkeypatch, meanwhile):
    """From now on, the first work of a unit is `meanwhile`."""
    calls = [meanwhile]
    monkeypatch.setattr(units, "work", lambda work_s: calls.pop()() if calls else None)


def raised_elsewhere(engine, key=2):
    with engine.begin() as connection:
        connection.execute(TABLE.update().where(TABLE.c.id == key).values(n=TABLE.c.n + 1, version=TABLE.c.version + 1))


@pytest.mark.parametrize("policy", ["optimistic", "escalating", "adaptive", "atomic"])
def test_what_another_writes_during_the_work_is_not_lost(counters, url, policy, monkeypatch):
    other = locking.engine(url)
    worked(monkeypatch, lambda: raised_elsewhere(other))
    unit(counters, policy)
    other.dispose()
    assert numbers(counters) == [0, 2, 0]


def test_the_naive_way_loses_it(counters, url, monkeypatch):
    other = locking.engine(url)
    worked(monkeypatch, lambda: raised_elsewhere(other))
    unit(counters, "naive")
    other.dispose()
    assert numbers(counters) == [0, 1, 0]


@pytest.mark.parametrize(("policy", "is_locked"), [
    ("pessimistic", True), ("optimistic", False), ("naive", False), ("atomic", False)])
def test_the_work_is_inside_the_lock_where_there_is_one(counters, url, policy, is_locked, monkeypatch):
    other = locking.engine(url)
    met = []

    def look():
        with Session(other) as session:
            try:
                locking.locked(session, Counter, [2], nowait=True)
            except locking.LockTimeout:
                met.append(True)
            else:
                met.append(False)

    worked(monkeypatch, look)
    unit(counters, policy)
    other.dispose()
    assert met == [is_locked]
    assert numbers(counters) == [0, 1, 0]

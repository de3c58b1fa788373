"""Versions that are checked instead of rows that are locked: who comes second is told."""
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Computed, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking as L
from tests.waiting import DEADLINE_S

from .databases import SERVERS
from .rows import Order, Part, Seat, Tally, bump, store, value_of, version_of

servers = pytest.mark.parametrize("backend", SERVERS)


# ---- cas_update

def test_cas_update_sets_what_still_has_the_version(stored, new_session):
    store(stored, Tally(id=1), Tally(id=2))
    session = new_session()
    assert L.cas_update(session, Tally, 1, 1, value=5) == 2
    assert L.cas_update(session, Tally, 1, 2, value=6) == 3
    session.commit()
    assert value_of(stored, Tally, 1) == 6
    assert (version_of(stored, 1), version_of(stored, 2)) == (3, 1)


def test_cas_update_is_over_when_it_is_taken_back(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    L.cas_update(session, Tally, 1, 1, value=5)
    session.rollback()
    assert version_of(stored) == 1


def test_cas_update_tells_who_comes_second_which_version_there_is(stored, new_session):
    store(stored, Tally(id=1))
    bump(stored)
    bump(stored)
    session = new_session()
    with pytest.raises(L.Conflict) as info:
        L.cas_update(session, Tally, 1, 1, value=5)
    assert (info.value.key, info.value.expected, info.value.actual) == (1, 1, 3)
    session.rollback()
    assert version_of(stored) == 3


def test_also_where_the_transaction_began_before_the_other_came(stored, new_session):
    """MariaDB's snapshot still has the version that was expected."""
    store(stored, Tally(id=1))
    session = new_session()
    session.scalars(select(Tally)).all()
    bump(stored)
    with pytest.raises(L.Conflict) as info:
        L.cas_update(session, Tally, 1, 1, value=5)
    assert info.value.actual == 2


@servers
def test_under_repeatable_read_it_is_a_conflict_at_least(url):
    engine = L.engine(url, isolation="REPEATABLE READ")
    Tally.metadata.create_all(engine)
    store(engine, Tally(id=1))
    with Session(engine) as session:
        session.scalars(select(Tally)).all()
        bump(engine)
        with pytest.raises(L.Conflict):
            L.cas_update(session, Tally, 1, 1, value=5)
    assert version_of(engine) == 2
    engine.dispose()


def test_cas_update_of_what_is_not_there(stored, new_session):
    with pytest.raises(L.Missing) as info:
        L.cas_update(new_session(), Tally, 1, 1, value=5)
    assert (info.value.model, info.value.key) == (Tally, 1)


def test_cas_update_by_a_key_of_several_columns(stored, new_session):
    store(stored, Seat(number=1, row="a"), Seat(number=1, row="b"))
    session = new_session()
    assert L.cas_update(session, Seat, (1, "b"), 1, taker="Ann") == 2
    with pytest.raises(L.Conflict) as info:
        L.cas_update(session, Seat, (1, "b"), 1, taker="Bob")
    assert (info.value.key, info.value.actual) == ((1, "b"), 2)
    assert version_of(stored, (1, "a"), Seat) == 1


def test_the_same_values_again_are_a_change_too(stored, new_session):
    store(stored, Tally(id=1, value=5))
    session = new_session()
    assert L.cas_update(session, Tally, 1, 1, value=5) == 2
    assert L.cas_update(session, Tally, 1, 2) == 3


def test_a_value_may_be_an_expression(stored, new_session):
    store(stored, Tally(id=1, value=5))
    session = new_session()
    L.cas_update(session, Tally, 1, 1, value=Tally.value + 1)
    session.commit()
    assert value_of(stored, Tally, 1) == 6


def test_a_row_that_the_session_holds_is_seen_as_it_is_then(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    L.cas_update(session, Tally, 1, 1, value=5)
    assert (row.value, row.version) == (5, 2)
    row.value = 6
    session.commit()
    assert (value_of(stored, Tally, 1), version_of(stored)) == (6, 3)


def test_a_change_of_that_row_that_was_not_flushed_comes_first(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    session.get(Tally, 1).value = 4
    with pytest.raises(L.Conflict) as info:
        L.cas_update(session, Tally, 1, 1, value=5)
    assert info.value.actual == 2


def test_what_cannot_be_set_is_told(new_session):
    with pytest.raises(TypeError, match="valeu cannot be set"):
        L.cas_update(new_session(), Tally, 1, 1, valeu=1)


def test_of_two_at_once_one_wins(stored):
    store(stored, Tally(id=1))
    start = threading.Barrier(2)
    lost = []

    def work(value):
        won = 0
        for version in range(1, 51):
            start.wait(DEADLINE_S)
            with Session(stored) as session:
                try:
                    assert L.cas_update(session, Tally, 1, version, value=value) == version + 1
                    session.commit()
                    won += 1
                except L.Conflict as error:
                    lost.append((error.expected, error.actual))
            start.wait(DEADLINE_S)
        return won

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(work, value) for value in (1, 2)]
        assert sum(worker.result(60) for worker in workers) == 50
    assert version_of(stored) == 51
    assert lost == [(version, version + 1) for version in range(1, 51)]


# ---- force_increment

def test_force_increment_raises_the_version_and_nothing_else(stored, new_session):
    store(stored, Tally(id=1, value=7))
    session = new_session()
    row = session.get(Tally, 1)
    L.force_increment(session, row)
    session.commit()
    assert (row.value, row.version) == (7, 2)
    assert (value_of(stored, Tally, 1), version_of(stored)) == (7, 2)


def test_a_change_of_the_row_besides_is_the_same_change(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    L.force_increment(session, row)
    row.value = 5
    L.force_increment(session, row)
    session.commit()
    assert (value_of(stored, Tally, 1), version_of(stored)) == (5, 2)


def test_of_two_who_add_a_part_to_an_order_the_second_is_told(stored, new_session):
    """There is to be one part."""
    store(stored, Order(id=1))
    one, two = new_session(), new_session()
    orders = [session.get(Order, 1) for session in (one, two)]
    assert [session.scalars(select(Part)).all() for session in (one, two)] == [[], []]
    for session, order in zip((one, two), orders, strict=True):
        session.add(Part(order_id=1))
        L.force_increment(session, order)
    one.commit()
    with pytest.raises(L.Conflict), L.translating():
        two.commit()
    two.rollback()
    assert len(two.scalars(select(Part)).all()) == 1
    assert version_of(stored, model=Order) == 2


def test_a_row_that_was_forgotten_is_read_again_first(stored, new_session):
    store(stored, Tally(id=1, value=7))
    session = new_session()
    row = session.get(Tally, 1)
    session.commit()
    session.expire(row)
    bump(stored)
    L.force_increment(session, row)
    session.commit()
    assert (value_of(stored, Tally, 1), version_of(stored)) == (101, 3)


def test_without_it_both_add_one(stored, new_session):
    """The control."""
    store(stored, Order(id=1))
    one, two = new_session(), new_session()
    for session in (one, two):
        session.get(Order, 1)
    for session in (one, two):
        session.add(Part(order_id=1))
        session.commit()
    assert len(one.scalars(select(Part)).all()) == 2


class Other(DeclarativeBase):
    """Apart."""


class OnlyKey(L.Versioned, Other):
    """Nothing to write."""

    __tablename__ = "only_key"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Area(L.Versioned, Other):
    """Its first column is the database's to write."""

    __tablename__ = "areas"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    doubled: Mapped[int] = mapped_column(Computed("side * 2", persisted=True))
    side: Mapped[int] = mapped_column(default=1)


def test_a_row_without_other_columns_is_told(new_session):
    with pytest.raises(TypeError, match="OnlyKey"):
        L.force_increment(new_session(), OnlyKey(id=1))


def test_a_column_that_is_computed_is_left_alone(engine):
    Other.metadata.create_all(engine)
    store(engine, Area(id=1))
    with Session(engine) as session:
        area = session.get(Area, 1)
        L.force_increment(session, area)
        session.commit()
        assert (area.version, area.doubled) == (2, 2)

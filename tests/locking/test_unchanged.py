"""What was only read stays as it was until the end: the cure of write skew."""
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from hotpath import locking as L
from tests.waiting import DEADLINE_S

from .databases import SERVERS
from .rows import Order, Plain, Seat, Tally, bump, store, value_of, version_of

servers = pytest.mark.parametrize("backend", SERVERS)


def two_on_call(engine):
    """Two doctors: one of them must stay. 1: on call."""
    store(engine, Tally(id=1, value=1), Tally(id=2, value=1))


def read_both(session):
    rows = {row.id: row for row in session.scalars(select(Tally).order_by(Tally.id))}
    assert sum(row.value for row in rows.values()) == 2
    return rows


def test_what_another_changed_since_it_was_read_is_told(stored, new_session):
    two_on_call(stored)
    one, two = new_session(), new_session()
    of_one, of_two = read_both(one), read_both(two)
    of_two[2].value = 0
    L.ensure_unchanged(two, of_two[1])
    two.commit()
    of_one[1].value = 0
    with pytest.raises(L.Conflict) as info:
        L.ensure_unchanged(one, of_one[2])
    if info.type is L.Conflict:
        assert (info.value.key, info.value.expected, info.value.actual) == (2, 1, 2)
    one.rollback()
    assert [value_of(stored, Tally, key) for key in (1, 2)] == [1, 0]


def test_without_it_nobody_stays(stored, new_session):
    """The control: write skew, in spite of versions."""
    two_on_call(stored)
    one, two = new_session(), new_session()
    of_one, of_two = read_both(one), read_both(two)
    of_two[2].value = 0
    two.commit()
    of_one[1].value = 0
    one.commit()
    assert [value_of(stored, Tally, key) for key in (1, 2)] == [0, 0]


def test_of_two_at_once_at_most_one_goes(stored):
    two_on_call(stored)
    both_read = threading.Barrier(2)

    def leave(key):
        with Session(stored) as session:
            rows = read_both(session)
            both_read.wait(DEADLINE_S)
            rows[key].value = 0
            try:
                L.ensure_unchanged(session, rows[3 - key])
                with L.translating():
                    session.commit()
            except L.Retriable:
                return 0
        return 1

    with ThreadPoolExecutor(2) as pool:
        gone = [pool.submit(leave, key) for key in (1, 2)]
        assert sum(answer.result(DEADLINE_S) for answer in gone) <= 1
    assert sum(value_of(stored, Tally, key) for key in (1, 2)) >= 1


def test_what_was_checked_stays_as_it_is_until_the_end(stored, new_session):
    store(stored, Tally(id=1), Tally(id=2))
    session, other = new_session(), new_session()
    L.ensure_unchanged(session, session.get(Tally, 1))
    with pytest.raises(L.LockTimeout):
        L.locked(other, Tally, [1], nowait=True)
    other.rollback()
    session.commit()
    assert len(L.locked(other, Tally, [1], nowait=True)) == 1


def test_what_this_unit_changed_itself_is_no_conflict(stored, new_session):
    store(stored, Tally(id=1), Tally(id=2))
    session = new_session()
    one, two = session.get(Tally, 1), session.get(Tally, 2)
    one.value = 5
    L.ensure_unchanged(session, one, two, one)
    session.commit()
    assert version_of(stored) == 2


def test_what_was_deleted_has_changed(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    with Session(stored) as other:
        other.delete(other.get(Tally, 1))
        other.commit()
    with pytest.raises(L.Conflict) as info:
        L.ensure_unchanged(session, row)
    assert (info.value.key, info.value.actual) == (1, None)


def test_a_change_of_an_old_version_is_found_by_the_way(stored, new_session):
    store(stored, Tally(id=1), Tally(id=2))
    session = new_session()
    one, two = session.get(Tally, 1), session.get(Tally, 2)
    session.commit()
    bump(stored, 1)
    one.value = 5
    with pytest.raises(L.Conflict):
        L.ensure_unchanged(session, two)


def test_rows_of_several_models_and_of_composite_keys(stored, new_session):
    store(stored, Tally(id=1), Seat(number=1, row="a"), Seat(number=1, row="b"), Order(id=1))
    session = new_session()
    rows = [session.get(Tally, 1), session.get(Seat, (1, "b")), session.get(Order, 1), session.get(Seat, (1, "a"))]
    L.ensure_unchanged(session, *rows)
    L.ensure_unchanged(session)
    session.rollback()
    session.expunge_all()
    rows = [session.get(Tally, 1), session.get(Seat, (1, "b"))]
    session.commit()
    with Session(stored) as other:
        other.get(Seat, (1, "b")).taker = "Ann"
        other.commit()
    with pytest.raises(L.Conflict) as info:
        L.ensure_unchanged(session, *rows)
    assert info.value.key == (1, "b")


@servers
def test_two_who_only_read_do_not_wait_for_each_other(stored, new_session):
    store(stored, Tally(id=1), Plain(id=1), Plain(id=2))
    one, two = new_session(), new_session()
    for key, session in ((1, one), (2, two)):
        session.get(Plain, key).value = 5
        L.ensure_unchanged(session, session.get(Tally, 1))
    one.commit()
    two.commit()
    assert [value_of(stored, Plain, key) for key in (1, 2)] == [5, 5]

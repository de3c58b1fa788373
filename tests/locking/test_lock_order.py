"""Rows are locked in one order for all, so that nobody waits in a circle."""
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from hotpath import locking as L
from tests.waiting import DEADLINE_S, wait_for

from .databases import SERVERS, waiting
from .rows import Plain, Seat, Tally, deadlock, store, value_of

servers = pytest.mark.parametrize("backend", SERVERS)
models = pytest.mark.parametrize("model", [Plain, Tally])
ROUNDS = 200


@models
def test_two_who_lock_the_same_rows_in_opposite_order_never_deadlock(stored, model):
    store(stored, *(model(id=n) for n in range(1, 5)))
    start = threading.Barrier(2)

    def work(keys):
        for _ in range(ROUNDS):
            start.wait(DEADLINE_S)
            with Session(stored) as session:
                for row in L.locked(session, model, keys):
                    row.value += 1
                session.commit()

    with ThreadPoolExecutor(2) as pool:
        for worker in [pool.submit(work, [1, 2, 3, 4]), pool.submit(work, [4, 3, 2, 1])]:
            worker.result(120)
    assert [value_of(stored, model, n) for n in range(1, 5)] == [2 * ROUNDS] * 4


@servers
def test_nor_those_whose_key_has_several_columns(stored):
    keys = [(n, row) for n in (1, 2) for row in "ab"]
    store(stored, *(Seat(number=n, row=row) for n, row in keys))
    start = threading.Barrier(2)

    def work(keys):
        for _ in range(ROUNDS // 4):
            start.wait(DEADLINE_S)
            with Session(stored) as session:
                L.locked(session, Seat, keys)

    with ThreadPoolExecutor(2) as pool:
        for worker in [pool.submit(work, keys), pool.submit(work, keys[::-1])]:
            worker.result(60)


@servers
def test_one_by_one_in_opposite_order_they_do(stored):
    """The control."""
    store(stored, Plain(id=1), Plain(id=2))
    assert L.classify(deadlock(stored)) is L.Deadlock


@servers
def test_rows_are_locked_by_ascending_key(stored, new_session, server, backend):
    """Who waits for the third has the first and the second, and not yet the fourth."""
    for n in (4, 3, 2, 1):      # as they lie in PostgreSQL's file, and as it would find them
        store(stored, Plain(id=n))
    holder, other, third = new_session(), new_session(), new_session()
    L.locked(holder, Plain, [3])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(L.locked, other, Plain, [4, 1, 3, 2])
        wait_for(lambda: waiting(server, backend), "the other to wait")
        assert [row.id for row in L.locked(third, Plain, [1, 2, 3, 4], skip=True)] == [4]
        third.rollback()
        holder.rollback()
        assert [row.id for row in answer.result(DEADLINE_S)] == [4, 1, 3, 2]
    other.rollback()


@pytest.mark.parametrize("backend", ["mariadb"])
def test_two_who_find_a_row_missing_and_insert_it_are_a_deadlock_of_the_gap(stored):
    """A fact of InnoDB: both lock the gap, and neither may insert into it. Another try is the cure."""
    store(stored, Plain(id=1), Plain(id=9))
    both_have_missed = threading.Barrier(2)

    def make_up(key):
        with Session(stored) as session:
            with pytest.raises(L.Missing):
                L.locked(session, Plain, [key])
            both_have_missed.wait(DEADLINE_S)
            session.add(Plain(id=key))
            try:
                with L.translating():
                    session.commit()
            except L.Retriable as error:
                return type(error)
        return None

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(make_up, key) for key in (4, 5)]
        assert {answer.result(DEADLINE_S) for answer in answers} == {None, L.Deadlock}

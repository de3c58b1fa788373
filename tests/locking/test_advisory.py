"""A lock on a name: it keeps the others out, and ends with the transaction however that ends."""
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from hotpath import locking as L
from tests.waiting import DEADLINE_S, wait_for

from .databases import SERVERS, waiting
from .rows import Base, Plain, set_value, store, value_of

servers = pytest.mark.parametrize("backend", SERVERS)
mariadb = pytest.mark.parametrize("backend", ["mariadb"])


# Of two hundred engines that come and go some have a pool where one before them had its: four of them, here.
MANY = 200


def is_free(engine, name="x"):
    """Asked from a session of another engine, since who holds a name may have it again."""
    with Session(engine) as session:
        try:
            with L.advisory(session, name, timeout=0):
                return True
        except L.LockTimeout:
            return False


@pytest.fixture
def outside(url):
    """An engine of somebody else's, on the same database; its own wait is longer than any test may last."""
    engine = L.engine(url, lock_timeout=600)
    yield engine
    engine.dispose()


@pytest.fixture
def alone(url):
    """An engine whose pool has one connection: what leaks in it meets whoever comes next."""
    engine = L.engine(url, pool_size=1)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_a_name_is_held_by_one(alone, outside):
    with Session(alone) as session:
        with L.advisory(session, "x"):
            assert not is_free(outside)
        assert not is_free(outside)         # to the end of the transaction, not of the block
        session.commit()
        assert is_free(outside)


@servers
def test_other_names_are_free(alone, outside):
    with Session(alone) as session, L.advisory(session, "x"):
        for name in ("y", "X", "x ", " x", "", "ẋ"):
            assert is_free(outside, name), name


NAMES = ["", " ", "a" * 64, "a" * 65, "a" * 10_000, "naïve 漢字 🔒",
         "with 'quotes' \"and\" `ticks`", "100%s :name %(x)s",
         "null\0byte", "line\nbreak", "\ud800", "\\"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_will_do(alone, outside, name):
    with Session(alone) as session:
        with L.advisory(session, name):
            assert not is_free(outside, name)
        session.commit()
    assert is_free(outside, name)


@servers
def test_long_names_are_told_apart_by_their_ends(alone, outside):
    with Session(alone) as session, L.advisory(session, "a" * 1000 + "b"):
        assert is_free(outside, "a" * 1000 + "c")


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_it_ends_with_the_transaction(alone, outside, end):
    with Session(alone) as session:
        with L.advisory(session, "x"):
            pass
        getattr(session, end)()
        assert is_free(outside)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_next_who_uses_the_connection_does_not_have_it(alone, outside, end):
    with Session(alone) as session:
        with L.advisory(session, "x"):
            pass
        getattr(session, end)()
        session.execute(text("SELECT 1"))       # the same connection again
        assert is_free(outside)


@mariadb
def test_by_hand_it_leaks(url, outside):
    """The control: GET_LOCK belongs to the connection, which goes back to the pool with it."""
    name = "hotpath-test-leak"
    naive = create_engine(url, pool_size=1, connect_args={"charset": "utf8mb4", "collation": "utf8mb4_general_ci"})
    with Session(naive) as session:
        assert session.scalar(text("SELECT GET_LOCK(:name, 0)"), {"name": name}) == 1
        session.commit()
    with Session(outside) as session:
        assert session.scalar(text("SELECT IS_FREE_LOCK(:name)"), {"name": name}) == 0
    naive.dispose()


def test_an_error_in_the_block_comes_out_and_the_rollback_frees_it(alone, outside):
    with Session(alone) as session:
        with pytest.raises(KeyError), L.advisory(session, "x"):
            raise KeyError("x")
        session.rollback()
        assert is_free(outside)


def test_an_error_of_the_database_in_the_block_frees_it_as_well(alone, outside):
    with Session(alone) as session:
        with pytest.raises(DBAPIError), L.advisory(session, "x"):
            session.execute(text("SELEKT 1"))
        session.rollback()
        assert is_free(outside)


@servers
def test_a_lost_connection_frees_it(alone, outside, server, backend):
    ask, kill = {"mariadb": ("SELECT connection_id()", "KILL {}"),
                 "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})")}[backend]
    session = Session(alone)
    with L.advisory(session, "x"):
        server.execute(kill.format(session.scalar(text(ask))))
        wait_for(lambda: is_free(outside), "the name to be free")
        with pytest.raises(L.Disconnected), L.translating():
            wait_for(lambda: session.scalar(text("SELECT 0")), "the loss to be seen")
    session.close()
    # And the pool goes on with another connection.
    with Session(alone) as session:
        with L.advisory(session, "x"):
            assert not is_free(outside)
        session.commit()
    assert is_free(outside)


def test_one_who_has_it_may_have_it_again(alone, outside):
    with Session(alone) as session:
        with L.advisory(session, "x"), L.advisory(session, "x", timeout=0):
            pass
        session.commit()
    assert is_free(outside)


@servers
def test_several_names_at_once_all_end(alone, outside):
    with Session(alone) as session:
        for name in "abc":
            with L.advisory(session, name):
                pass
        assert not any(is_free(outside, name) for name in "abc")
        session.commit()
        assert all(is_free(outside, name) for name in "abc")


def test_a_short_wait_ends_in_a_lock_timeout(alone, outside):
    with Session(alone) as holder, Session(outside) as other, L.advisory(holder, "x"):
        with pytest.raises(L.LockTimeout), L.advisory(other, "x", timeout=0.1):
            pass
        other.rollback()
        assert not is_free(outside)


def test_the_engines_wait_counts_where_the_call_names_none(url, alone):
    hasty = L.engine(url, lock_timeout=0.1)
    with (Session(alone) as holder, Session(hasty) as other, L.advisory(holder, "x"),
          pytest.raises(L.LockTimeout), L.advisory(other, "x")):
        pass
    hasty.dispose()


def test_who_waits_gets_it_when_the_other_ends(alone, outside, server, backend):
    def take():
        with Session(outside) as session:
            with L.advisory(session, "x"):
                session.commit()
            return True

    with Session(alone) as holder, ThreadPoolExecutor(1) as pool:
        with L.advisory(holder, "x"):
            answer = pool.submit(take)
            if server is not None:      # of SQLite nobody can tell who waits
                wait_for(lambda: waiting(server, backend), "the other to wait")
                assert not answer.done()
        holder.commit()
        assert answer.result(DEADLINE_S)


@servers
def test_two_who_take_two_names_crosswise_are_a_deadlock(stored):
    both_have_one = threading.Barrier(2)

    def take(first, second):
        with Session(stored) as session:
            try:
                with L.advisory(session, first):
                    both_have_one.wait(DEADLINE_S)
                    with L.advisory(session, second):
                        return None
            except L.Retriable as error:
                return type(error)

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(take, "a", "b"), pool.submit(take, "b", "a")]
        assert sorted(map(str, (answer.result(DEADLINE_S) for answer in answers))) == sorted(
            map(str, (None, L.Deadlock)))


def test_it_goes_on_behind_dispose(alone, outside):
    for _ in range(3):
        with Session(alone) as session:
            with L.advisory(session, "x"):
                assert not is_free(outside)
            session.commit()
            session.execute(text("SELECT 1"))
            assert is_free(outside)
        alone.dispose()


@mariadb
def test_it_ends_in_every_pool(url, outside):
    """Also in one that stands in memory where another stood, which was disposed while its engine lived on."""
    for _ in range(MANY):
        engine = L.engine(url, pool_size=1)
        with Session(engine) as session:
            with L.advisory(session, "x"):
                pass
            session.commit()
            assert is_free(outside)
        engine.dispose()


def test_also_on_a_connection_of_the_callers(alone, outside):
    """Which the session does not give back when its transaction ends."""
    with alone.connect() as connection:
        for end in ("commit", "rollback"):
            with Session(connection) as session:
                with L.advisory(session, "x"):
                    assert not is_free(outside)
                getattr(session, end)()
                assert is_free(outside), end


ROUNDS = 30


def test_what_it_guards_is_done_by_one_at_a_time(stored):
    """A value that is read, and written back, without any other lock."""
    store(stored, Plain(id=1))
    start = threading.Barrier(3)

    def work():
        start.wait(DEADLINE_S)
        for _ in range(ROUNDS):
            with Session(stored) as session, L.advisory(session, "counter"):
                session.get(Plain, 1).value += 1
                session.commit()

    with ThreadPoolExecutor(3) as pool:
        for worker in [pool.submit(work) for _ in range(3)]:
            worker.result(60)
    assert value_of(stored, Plain, 1) == 3 * ROUNDS


def test_without_it_a_change_is_lost(stored, new_session):
    """The control."""
    store(stored, Plain(id=1))
    session = new_session()
    row = session.get(Plain, 1)
    set_value(stored, Plain, 1, 1)
    row.value += 1
    session.commit()
    assert value_of(stored, Plain, 1) == 1

"""Errors that real servers are driven to: are they told apart, and by what they are?"""
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import exc, make_url, select, text
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from hotpath import locking as L
from tests.waiting import DEADLINE_S, wait_for

from .databases import SERVERS, running, waiting
from .rows import Base, Plain, Tally, deadlock, lock_row, set_value, store, value_of

servers = pytest.mark.parametrize("backend", SERVERS)


@contextmanager
def caught(kind=Exception):
    """The error that the block ends with, in a list."""
    errors = []
    with pytest.raises(kind) as info:
        yield errors
    errors.append(info.value)


# ---- errors of real servers

@servers
def test_a_deadlock(stored):
    store(stored, Plain(id=1), Plain(id=2))
    error = deadlock(stored)
    assert L.classify(error) is L.Deadlock
    assert L.classify(error.orig) is L.Deadlock


@pytest.mark.parametrize("backend", ["mariadb"])
def test_who_retries_on_the_class_of_the_error_never_does(stored):
    """The control: why it is told by numbers."""
    store(stored, Plain(id=1), Plain(id=2))
    assert not isinstance(deadlock(stored), exc.OperationalError)


def test_a_wait_that_was_too_long(url):
    engine = L.engine(url, lock_timeout=0.1)
    Base.metadata.create_all(engine)
    store(engine, Plain(id=1))
    with Session(engine) as holder, Session(engine) as other:
        holder.get(Plain, 1).value = 5
        holder.flush()
        other.get(Plain, 1).value = 6
        with caught() as errors:
            other.flush()
    assert L.classify(errors[0]) is L.LockTimeout
    engine.dispose()


@servers
def test_no_wait_at_all(stored):
    store(stored, Plain(id=1))
    with Session(stored) as holder, Session(stored) as other:
        lock_row(holder, 1)
        with caught(exc.DBAPIError) as errors:
            lock_row(other, 1, nowait=True)
    assert L.classify(errors[0]) is L.LockTimeout


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_serialization_failure_of_postgresql(url, isolation):
    engine = L.engine(url, isolation=isolation)
    Base.metadata.create_all(engine)
    store(engine, Plain(id=1))
    with Session(engine) as session:
        row = session.get(Plain, 1)
        set_value(engine, Plain, 1, 5)
        row.value = 6
        with caught() as errors:
            session.commit()
    assert L.classify(errors[0]) is L.Serialization
    assert value_of(engine, Plain, 1) == 5
    engine.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_serialization_failure_that_only_the_commit_tells(url):
    engine = L.engine(url, isolation="SERIALIZABLE")
    Base.metadata.create_all(engine)
    store(engine, Plain(id=1), Plain(id=2))
    with Session(engine) as one, Session(engine) as two:
        for session, key in ((one, 1), (two, 2)):
            session.scalars(select(Plain)).all()
            session.get(Plain, key).value = 9
            session.flush()
        one.commit()
        with caught() as errors:
            two.commit()
    assert L.classify(errors[0]) is L.Serialization
    engine.dispose()


@pytest.mark.parametrize("backend", ["mariadb"])
def test_a_serialization_failure_of_mariadb(stored):
    store(stored, Plain(id=1))
    with Session(stored) as session:
        session.execute(text("SET SESSION innodb_snapshot_isolation = ON"))
        row = session.get(Plain, 1)
        set_value(stored, Plain, 1, 5)
        row.value = 6
        with caught() as errors:
            session.commit()
    assert L.classify(errors[0]) is L.Serialization
    assert value_of(stored, Plain, 1) == 5


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_snapshot_of_sqlite_that_is_out_of_date(stored):
    """Who begins by himself, and reads before he writes."""
    store(stored, Plain(id=1))
    with Session(stored) as session:
        session.execute(text("BEGIN"))
        row = session.get(Plain, 1)
        set_value(stored, Plain, 1, 5)
        row.value = 6
        with caught() as errors:
            session.flush()
    assert L.classify(errors[0]) is L.Serialization


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_database_that_somebody_else_writes_to(url):
    path = url.removeprefix("sqlite:///")
    one, other = (sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2))
    one.execute("BEGIN IMMEDIATE")
    with caught(sqlite3.OperationalError) as errors:
        other.execute("BEGIN IMMEDIATE")
    assert L.classify(errors[0]) is L.LockTimeout
    one.close()
    other.close()


@servers
@pytest.mark.parametrize("when", ["idle", "in a statement"])
def test_a_connection_that_the_server_ended(stored, server, backend, when):
    store(stored, Plain(id=1))
    ask, kill = {"mariadb": ("SELECT connection_id()", "KILL {}"),
                 "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})")}[backend]
    with Session(stored) as holder, ThreadPoolExecutor(1) as pool:
        lock_row(holder, 1)
        victim = Session(stored)
        pid = victim.scalar(text(ask))
        if when == "idle":
            server.execute(kill.format(pid))
            with caught() as errors:
                # It may be told of the end only behind the first statement.
                wait_for(lambda: victim.scalar(text("SELECT 0")), "the loss to be seen")
        else:
            answer = pool.submit(lock_row, victim, 1)
            wait_for(lambda: waiting(server, backend), "the victim to wait")
            server.execute(kill.format(pid))
            with caught() as errors:
                answer.result(DEADLINE_S)
        assert L.classify(errors[0]) is L.Disconnected
        victim.close()          # and the loss does not come out of the session's end
        holder.commit()
        assert value_of(stored, Plain, 1) == 0


@servers
def test_a_server_that_was_killed(backend):
    with running(backend) as server:
        engine = L.engine(server.new_url())
        Base.metadata.create_all(engine)
        store(engine, Plain(id=1))
        server.kill()
        for what in ("whose connection waited in the pool", "that does not answer any more"):
            with Session(engine) as session, caught() as errors:
                session.get(Plain, 1)
            assert L.classify(errors[0]) is L.Disconnected, what
        server.start()
        assert value_of(engine, Plain, 1) == 0
        engine.dispose()


@servers
def test_a_server_that_was_killed_in_a_transaction(backend):
    with running(backend) as server:
        engine = L.engine(server.new_url())
        Base.metadata.create_all(engine)
        store(engine, Plain(id=1))
        with Session(engine) as session:
            session.get(Plain, 1).value = 5
            session.flush()
            server.kill()
            with caught() as errors:
                session.commit()
        assert L.classify(errors[0]) is L.Disconnected
        server.start()
        assert value_of(engine, Plain, 1) == 0
        engine.dispose()


@servers
@pytest.mark.parametrize("wrong", [{"database": "nowhere"}, {"username": "nobody", "password": "x"}], ids=str)
def test_a_database_that_does_not_let_us_in(url, wrong):
    engine = L.engine(make_url(url).set(**wrong))
    with caught() as errors:
        engine.connect()
    assert L.classify(errors[0]) is None
    engine.dispose()


@pytest.mark.parametrize(("said", "kind"), [
    ("Connection refused", L.Disconnected),
    ("server closed the connection unexpectedly", L.Disconnected),
    ("FATAL:  the database system is starting up", L.Disconnected),
    ("FATAL:  the database system is shutting down", L.Disconnected),
    ("FATAL:  the database system is in recovery mode", L.Disconnected),
    ("FATAL:  sorry, too many clients already", L.Disconnected),
    ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", L.Disconnected),
    ('FATAL:  password authentication failed for user "x"', None),
])
def test_what_postgresql_says_at_the_door_has_no_state(said, kind):
    assert L.classify(psycopg.OperationalError(f"connection failed: {said}")) is kind


@servers
def test_a_statement_that_somebody_stopped_is_not_tried_again(stored, server, backend):
    """The connection lives, and who stopped it did not mean: once more."""
    ask, stop = {"mariadb": ("SELECT connection_id()", "KILL QUERY {}"),
                 "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_cancel_backend({})")}[backend]
    store(stored, Plain(id=1))
    with Session(stored) as holder, Session(stored) as victim, ThreadPoolExecutor(1) as pool:
        lock_row(holder, 1)
        pid = victim.scalar(text(ask))
        answer = pool.submit(lock_row, victim, 1)
        wait_for(lambda: waiting(server, backend), "the victim to wait")
        server.execute(stop.format(pid))
        with caught() as errors:
            answer.result(DEADLINE_S)
        assert L.classify(errors[0]) is None
        victim.rollback()
        assert victim.scalar(text(ask)) == pid


def test_a_row_of_another_version(stored):
    store(stored, Tally(id=1))
    with Session(stored) as session:
        row = session.get(Tally, 1)
        set_value(stored, Tally, 1, 5)
        row.value = 6
        with caught(StaleDataError) as errors:
            session.flush()
    assert L.classify(errors[0]) is L.Conflict
    assert value_of(stored, Tally, 1) == 5


def twice(session):
    session.add_all([Plain(id=1), Plain(id=1)])
    session.flush()


def nonsense(session):
    session.execute(text("SELEKT 1"))


def no_table(session):
    session.execute(text("SELECT * FROM nowhere"))


def no_such_null(session):
    session.execute(text("INSERT INTO plain (id, value) VALUES (1, NULL)"))


@pytest.mark.filterwarnings("ignore:New instance")
@pytest.mark.parametrize("mistake", [twice, nonsense, no_table, no_such_null])
def test_what_another_try_would_not_help(stored, mistake):
    with Session(stored) as session:
        with caught() as errors:
            mistake(session)
        assert L.classify(errors[0]) is None
        session.rollback()
        # What the operator can mend is said so; the rest is SQLAlchemy's, as it was.
        expected = L.Unusable if mistake is no_table else type(errors[0])
        with pytest.raises(expected), L.translating():
            mistake(session)

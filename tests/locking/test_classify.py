"""Which of our errors is it? All numbers in the tables, and what becomes of an error on its way."""
import sqlite3
from contextlib import suppress

import mysql.connector
import psycopg
import pytest
from psycopg.errors import lookup
from sqlalchemy import delete, exc
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from hotpath import locking as L

from .databases import SERVERS
from .rows import Plain, Tally, deadlock, store

# ---- numbers

MYSQL = {
    1213: L.Deadlock, 3058: L.Deadlock,
    1205: L.LockTimeout, 3572: L.LockTimeout,
    1020: L.Serialization,
    1040: L.Disconnected, 1053: L.Disconnected, 1927: L.Disconnected, 2002: L.Disconnected, 2003: L.Disconnected,
    2006: L.Disconnected, 2013: L.Disconnected, 2055: L.Disconnected, 4031: L.Disconnected,
    1045: None, 1049: None, 1054: None, 1062: None, 1064: None, 1146: None, 1317: None, 1406: None, 1451: None,
    1452: None, 1792: None, 3024: None, 4025: None,
}
POSTGRESQL = {
    "40P01": L.Deadlock, "40001": L.Serialization, "55P03": L.LockTimeout,
    "08000": L.Disconnected, "08003": L.Disconnected, "08006": L.Disconnected, "25P03": L.Disconnected,
    "53300": L.Disconnected, "57P01": L.Disconnected, "57P02": L.Disconnected, "57P03": L.Disconnected,
    "22003": None, "23502": None, "23503": None, "23505": None, "23514": None, "25006": None, "25P02": None,
    "28P01": None, "3D000": None, "42601": None, "42P01": None, "57014": None,
}
SQLITE = {
    sqlite3.SQLITE_BUSY: L.LockTimeout, sqlite3.SQLITE_BUSY_RECOVERY: L.LockTimeout, 773: L.LockTimeout,
    sqlite3.SQLITE_LOCKED: L.LockTimeout, sqlite3.SQLITE_LOCKED_SHAREDCACHE: L.LockTimeout,
    sqlite3.SQLITE_BUSY_SNAPSHOT: L.Serialization,
    sqlite3.SQLITE_ERROR: None, sqlite3.SQLITE_FULL: None, sqlite3.SQLITE_READONLY: None, sqlite3.SQLITE_CORRUPT: None,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: None, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: None,
}
CLASSES = [mysql.connector.Error, mysql.connector.DatabaseError, mysql.connector.InternalError,
           mysql.connector.OperationalError, mysql.connector.IntegrityError, mysql.connector.InterfaceError]


def wrapped(driver):
    """As SQLAlchemy raises it."""
    return exc.DBAPIError("SELECT 1", {}, driver)


@pytest.mark.parametrize(("number", "kind"), MYSQL.items())
def test_numbers_of_mysql_whatever_the_class(number, kind):
    for raised_as in CLASSES:
        error = raised_as("said so", errno=number, sqlstate="HY000")
        assert L.classify(error) is kind
        assert L.classify(wrapped(error)) is kind


@pytest.mark.parametrize(("state", "kind"), POSTGRESQL.items())
def test_states_of_postgresql(state, kind):
    error = lookup(state)("said so")
    assert L.classify(error) is kind
    assert L.classify(wrapped(error)) is kind


@pytest.mark.parametrize(("code", "kind"), SQLITE.items())
def test_codes_of_sqlite(code, kind):
    error = sqlite3.OperationalError("said so")
    error.sqlite_errorcode = code
    assert L.classify(error) is kind
    assert L.classify(wrapped(error)) is kind


def test_what_sqlalchemy_knows_to_be_lost_is():
    assert L.classify(exc.DBAPIError("SELECT 1", {}, psycopg.OperationalError("gone"), connection_invalidated=True)
                      ) is L.Disconnected


@pytest.mark.parametrize("error", [
    ValueError("x"), KeyError(1205), OSError(1205, "x"), BrokenPipeError(32, "x"), exc.InvalidRequestError("x"),
    exc.NoResultFound("x"), L.Missing(Plain, 1), L.LostLease("x", 1), L.Unusable("x"), KeyboardInterrupt(),
    mysql.connector.Error("x"), psycopg.ProgrammingError("x"), sqlite3.ProgrammingError("x"),
], ids=repr)
def test_errors_of_others_are_none_of_ours(error):
    assert L.classify(error) is None


@pytest.mark.parametrize("error", [L.Conflict(1, 2, 3), L.Serialization(cause="x"), L.Deadlock("x"), L.LockTimeout("x"),
                                   L.Disconnected("x")], ids=lambda error: type(error).__name__)
def test_ours_are_what_they_are(error):
    assert L.classify(error) is type(error)


# ---- translating

@pytest.mark.parametrize("backend", SERVERS)
def test_an_error_is_translated_and_its_cause_kept(stored):
    store(stored, Plain(id=1), Plain(id=2))
    raw = deadlock(stored)
    with pytest.raises(L.Deadlock) as info, L.translating():
        raise raw
    assert info.value.__cause__ is raw
    assert "eadlock" in str(info.value)
    assert "\n" not in str(info.value)
    assert "SELECT" not in str(info.value)


def test_a_row_of_another_version_becomes_a_conflict(stored):
    store(stored, Tally(id=1))
    with Session(stored) as session:
        session.delete(session.get(Tally, 1))
        with Session(stored) as other:
            other.execute(delete(Tally))
            other.commit()
        with pytest.raises(L.Conflict) as info, L.translating():
            session.commit()
    assert isinstance(info.value.__cause__, StaleDataError)


@pytest.mark.parametrize("error", [ValueError("x"), L.Conflict(1, 2, 3), L.Missing(Plain, 1), KeyboardInterrupt(),
                                   StopIteration()], ids=lambda error: type(error).__name__)
def test_what_is_no_error_of_a_database_passes_as_it_is(error):
    with pytest.raises(type(error)) as info, L.translating():
        raise error
    assert info.value is error
    assert info.value.__cause__ is None


def test_nothing_happens_to_a_block_that_ends_well():
    with suppress(AssertionError), L.translating():
        done = True
    assert done

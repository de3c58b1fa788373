"""Which of our errors is this? Told by the server's error number or SQLSTATE, never by the driver's class.

mysql-connector raises InternalError for a deadlock and DatabaseError for a lock timeout, so whoever retries on
OperationalError retries nothing.
"""
from __future__ import annotations

import re
import sqlite3
from types import TracebackType

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from .errors import Conflict, Deadlock, Disconnected, LockTimeout, Retriable, Serialization, Unusable

# MySQL and MariaDB: server errors 1000 to 1999 and 3000 up, 2000 to 2999 are the client's.
BY_NUMBER: dict[int, type[Retriable]] = {
    1213: Deadlock,             # ER_LOCK_DEADLOCK; the transaction is rolled back
    3058: Deadlock,             # ER_USER_LOCK_DEADLOCK: of GET_LOCK
    1205: LockTimeout,          # ER_LOCK_WAIT_TIMEOUT; only the statement is rolled back. MariaDB: NOWAIT, too
    3572: LockTimeout,          # ER_LOCK_NOWAIT
    1020: Serialization,        # ER_CHECKREAD: MariaDB with innodb_snapshot_isolation
    1040: Disconnected,         # ER_CON_COUNT_ERROR: no connection was to be had
    1047: Disconnected,         # a node of Galera that is not ready
    1053: Disconnected,         # ER_SERVER_SHUTDOWN
    1927: Disconnected,         # ER_CONNECTION_KILLED
    2002: Disconnected, 2003: Disconnected,         # cannot connect
    2006: Disconnected, 2013: Disconnected, 2014: Disconnected, 2045: Disconnected, 2048: Disconnected,
    2055: Disconnected,         # lost, in several ways
    4031: Disconnected,         # ER_CLIENT_INTERACTION_TIMEOUT
}
# PostgreSQL; also what a front end of MySQL may say alone.
BY_STATE: dict[str, type[Retriable]] = {
    "40P01": Deadlock,
    "40001": Serialization,
    "55P03": LockTimeout,       # lock_not_available
    "25P03": Disconnected,      # idle_in_transaction_session_timeout ends the connection
    "53300": Disconnected,      # too_many_connections
    "57P01": Disconnected, "57P02": Disconnected, "57P03": Disconnected,        # shut down, crashed, starting up
    "57P05": Disconnected,      # idle_session_timeout
}
CONNECTION_CLASS = "08"
# What mysql-connector says of a connection that it has found dead, without a number.
NUMBERLESS = -1
DEAD = "onnection not available"
# A server of PostgreSQL that will let us in a little later says one of these.
SOON = ("starting up", "shutting down", "recovery", "too many", "connection slots")
NO_TABLE_MYSQL = 1146
NO_TABLE_POSTGRESQL = "42P01"
NO_TABLE_SQLITE = "no such table"
CANNOT_OPEN = 14
STALE = re.compile(r"on table '([^']+)'")
# SQLite's primary code is the low byte; the extended one is looked up first.
BY_CODE: dict[int, type[Retriable]] = {
    5: LockTimeout,             # SQLITE_BUSY, also for busy_timeout and recovery
    6: LockTimeout,             # SQLITE_LOCKED: another connection of the shared cache
    517: Serialization,         # SQLITE_BUSY_SNAPSHOT: it read before somebody else wrote
}


def classify(exc: BaseException) -> type[Retriable] | None:
    """Deadlock, LockTimeout, Serialization, Disconnected or Conflict; None: another try would not help.

    Takes errors of SQLAlchemy, of a driver, and our own.
    """
    if isinstance(exc, Retriable):
        return type(exc)
    if isinstance(exc, StaleDataError):
        return Conflict
    if isinstance(exc, DBAPIError):
        driver = exc.orig
        # Why it was lost may be said in many ways; that it was, SQLAlchemy knows.
        return (_of_driver(driver) if driver is not None else None) or (
            Disconnected if exc.connection_invalidated else None)
    return _of_driver(exc)


def _of_driver(error: BaseException) -> type[Retriable] | None:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return BY_CODE.get(code) or BY_CODE.get(code & 0xFF)
    number = getattr(error, "errno", None)
    state = getattr(error, "sqlstate", None)
    # An OSError has an errno of another kind.
    if isinstance(number, int) and not isinstance(error, OSError) and number in BY_NUMBER:
        return BY_NUMBER[number]
    if number == NUMBERLESS and DEAD in str(error):
        return Disconnected
    if state is None and type(error).__module__.partition(".")[0] == "psycopg":
        return _of_psycopg(error)
    if isinstance(state, str):
        return Disconnected if state.startswith(CONNECTION_CLASS) else BY_STATE.get(state)
    return None


def _of_psycopg(error: BaseException) -> type[Retriable] | None:
    # Whatever a server says in a session has a SQLSTATE; an OperationalError without one is of the connection. What it
    # says instead of a session is in the text alone: a wrong password will be wrong again.
    if not any(kind.__name__ == "OperationalError" for kind in type(error).__mro__):
        return None
    said = str(error)
    return Disconnected if "FATAL:" not in said or any(word in said for word in SOON) else None


class Translating:
    """A block in which errors of SQLAlchemy and of drivers become ours; the cause is kept. Others pass."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 where: TracebackType | None) -> None:
        """Raise ours in its place."""
        if error is not None and (ours := translated(error)) is not error:
            raise ours from error


# No generator: it costs a microsecond for each unit of work.
translating = Translating


def translated(error: BaseException) -> BaseException:
    """Ours, or the error itself where we have none for it."""
    kind = classify(error)
    if isinstance(error, Retriable):
        return error
    if kind is None:
        return unusable(error) or error
    sentence = first_line(error)
    if isinstance(error, StaleDataError):
        # SQLAlchemy's own words advise those who delete to switch the check off.
        table = STALE.search(sentence)
        sentence = f"a row of {table[1] if table else 'a table'} was changed since it was read"
    return kind(cause=sentence) if issubclass(kind, Conflict) else kind(sentence)


def unusable(error: BaseException) -> Unusable | None:
    """What the operator must mend first: a table or a file that is not there; None: it is something else."""
    driver = getattr(error, "orig", None) or error
    said = first_line(error)
    if getattr(driver, "sqlite_errorcode", None) == CANNOT_OPEN:
        return Unusable(f"{said}: its folder must be there, and both must be ours to read and write")
    if (getattr(driver, "errno", None) == NO_TABLE_MYSQL or getattr(driver, "sqlstate", None) == NO_TABLE_POSTGRESQL
            or (isinstance(driver, sqlite3.Error) and NO_TABLE_SQLITE in said)):
        return Unusable(f"{said}: make it first, as Base.metadata.create_all(engine) does")
    return None


def first_line(error: BaseException) -> str:
    """What the driver said, without the statement and its values."""
    said = getattr(error, "orig", None) or error
    return next(iter(str(said).strip().splitlines()), "") or type(said).__name__

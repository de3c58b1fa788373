"""An Engine on which locks and versions mean what they say: each dialect's traps are closed here."""
from __future__ import annotations

import contextlib
import math
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from .classify import classify, translating
from .errors import Disconnected, Unusable

# The longest that a lock is waited for, unless a call says otherwise. MySQL's own 50 s outlast every client's patience.
LOCK_TIMEOUT_S = 10.0
MYSQL = ("mysql", "mariadb")
# For a host that answers nothing.
CONNECT_TIMEOUT_S = 10
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
CURES = {
    "sqlite": "sqlite:///FILE",
    "mysql": "mysql+mysqlconnector://USER:PASSWORD@HOST:PORT/DATABASE",
    "mariadb": "mysql+mysqlconnector://USER:PASSWORD@HOST:PORT/DATABASE",
    "postgresql": "postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE",
}
DRIVERS = {"mysql": "mysqlconnector", "mariadb": "mysqlconnector", "postgresql": "psycopg", "sqlite": "pysqlite"}
PACKAGES = {"mysqlconnector": "mysql-connector-python", "psycopg": "hotpath[postgresql]"}

# What reads only, unless a WITH hides a write; PRAGMA and ATTACH cannot be in a transaction.
READS = re.compile(
    r"\s*(?:SELECT|VALUES|EXPLAIN|PRAGMA|ATTACH|DETACH|VACUUM|BEGIN|COMMIT|END|ROLLBACK|RELEASE)\b", re.I)
WITH = re.compile(r"\s*WITH\b", re.I)
WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.I)


def engine(url: str | URL, *, pool_size: int = 10, pool_timeout: float = 30.0, lock_timeout: float = LOCK_TIMEOUT_S,
           isolation: str | None = None, connect_args: dict[str, Any] | None = None, **options: object) -> Engine:
    """A pool of at most `pool_size` connections, for SQLite, MySQL, MariaDB or PostgreSQL. Nothing is connected yet.

    `lock_timeout`: seconds that a lock is waited for, in MySQL whole ones. `isolation`: READ COMMITTED, REPEATABLE READ
    or SERIALIZABLE; None: the server's own. `connect_args` go to the driver, `options` to `create_engine`. A process
    that forks makes its engines after the fork, or calls `dispose(close=False)` in the child. Raises Unusable.

    On SQLite a unit of work reads without a transaction, and BEGIN IMMEDIATE is sent before its first write: with a
    deferred BEGIN whoever reads first and then writes fails whenever anybody else wrote in between, whatever the rows.
    SERIALIZABLE there lets one unit of work run at a time.
    """
    parts = _url(url)
    kind = parts.get_backend_name()
    if isolation is not None and (isolation not in LEVELS or (kind == "sqlite" and isolation != "SERIALIZABLE")):
        allowed = "SERIALIZABLE" if kind == "sqlite" else ", ".join(LEVELS)
        raise Unusable(f"isolation {isolation!r} is not known to {kind}; allowed: {allowed}, or None")
    given = dict(connect_args or {})
    settings = {"sqlite": _sqlite, "mysql": _mysql, "mariadb": _mysql, "postgresql": _postgresql}[kind](
        parts, given, lock_timeout)
    # A database in memory is its connection: there is one, and threads take turns.
    in_memory = kind == "sqlite" and parts.database in (None, "", ":memory:")
    if isolation is not None and kind != "sqlite":
        settings["isolation_level"] = isolation
    try:
        made = sqlalchemy.create_engine(
            parts, poolclass=QueuePool, pool_size=1 if in_memory else pool_size, max_overflow=0,
            pool_timeout=pool_timeout, connect_args=given, **{**settings, **options})
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        driver = parts.get_driver_name()
        raise Unusable(f"the driver of {parts.drivername} is not installed: "
                       f'pip install "{PACKAGES.get(driver, driver)}"') from error
    event.listen(made, "handle_error", _tell_of_lost_connections)
    if kind == "sqlite":
        event.listen(made, "connect", _open_sqlite)
        event.listen(made, "before_cursor_execute", _begin_always if isolation else _begin_before_writes)
    elif kind in MYSQL:
        event.listen(made, "connect", _set_lock_timeout(lock_timeout))
    return made


def _tell_of_lost_connections(context: ExceptionContext) -> None:
    # SQLAlchemy does not know every way in which servers and drivers say it, and would keep the connection.
    if not context.is_disconnect and classify(context.original_exception) is Disconnected:
        context.is_disconnect = True


def _url(url: str | URL) -> URL:
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        # Not shown, nor kept as the cause: there may be a password in it.
        raise Unusable(f"this is no URL of a database; allowed: {', '.join(sorted(set(CURES.values())))}") from None
    kind, _, driver = parts.drivername.partition("+")
    if kind == "postgres":
        kind = "postgresql"
    if kind not in CURES:
        raise Unusable(f"{kind} is not supported; allowed: {', '.join(sorted(set(CURES.values())))}")
    if driver and driver != DRIVERS[kind]:
        raise Unusable(f"the driver {driver} is not supported; allowed: {CURES[kind]}")
    return parts.set(drivername=f"{kind}+{DRIVERS[kind]}")


def _default(parts: URL, given: dict[str, Any], name: str, value: object) -> None:
    """For the driver, unless the URL or the caller says it."""
    if name not in parts.query:
        given.setdefault(name, value)


# ---- SQLite

def _sqlite(parts: URL, given: dict[str, Any], lock_timeout: float) -> dict[str, Any]:
    _default(parts, given, "timeout", lock_timeout)
    _default(parts, given, "check_same_thread", False)      # the pool sees to it that only one has it
    given["isolation_level"] = None                     # the driver begins nothing by itself
    return {}


def _open_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    try:
        # Readers and the writer do not wait for each other. A commit is on the disk when it returns.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}").fetchall()
    finally:
        cursor.close()


def _begin_before_writes(connection: Connection, cursor: sqlite3.Cursor, statement: str, _parameters: object,
                         _context: object, _executemany: bool) -> None:
    if not (READS.match(statement) or (WITH.match(statement) and not WRITES.search(statement))):
        _begin(connection, cursor.connection)


def _begin_always(connection: Connection, cursor: sqlite3.Cursor, _statement: str, _parameters: object,
                  _context: object, _executemany: bool) -> None:
    # SERIALIZABLE: one unit of work after the other, reads included.
    _begin(connection, cursor.connection)


def _begin(connection: Connection, driver: sqlite3.Connection) -> None:
    if not driver.in_transaction and connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        driver.execute("BEGIN IMMEDIATE")


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection below SQLAlchemy's, of SQLite."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def begin_write(session: Session, timeout: float | None = None) -> None:
    """On SQLite: be the one that writes, from now to the end of the transaction. Elsewhere: nothing.

    `timeout`: seconds to wait; None: the engine's. Raises LockTimeout.
    """
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return
    driver = driver_of(connection)
    if driver.in_transaction:
        return
    with translating(), _busy(driver, timeout):
        driver.execute("BEGIN IMMEDIATE")


@contextlib.contextmanager
def _busy(driver: sqlite3.Connection, timeout: float | None) -> Iterator[None]:
    """The wait for the writer is `timeout` in the block."""
    if timeout is None:
        yield
        return
    (before,) = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute(f"PRAGMA busy_timeout = {math.ceil(timeout * 1000)}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {before}")


# ---- MySQL and MariaDB

def _mysql(parts: URL, given: dict[str, Any], lock_timeout: float) -> dict[str, Any]:
    # A server that says it is 8 makes the driver ask for a collation that MariaDB does not know.
    _default(parts, given, "charset", "utf8mb4")
    _default(parts, given, "collation", "utf8mb4_general_ci")
    _default(parts, given, "connection_timeout", CONNECT_TIMEOUT_S)
    # rowcount counts rows that were found, not those that changed: SQLAlchemy's dialect asks for it (FOUND_ROWS).
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("socket"):
        _default(parts, given, "use_pure", True)              # the driver in C would block all greenlets
    return {}


def _set_lock_timeout(lock_timeout: float) -> Callable[[DBAPIConnection, object], None]:
    def set_it(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        try:
            # From 1000 keys on MariaDB makes a join of an IN, reads the whole table for it, and locks what it reads.
            cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {whole_seconds(lock_timeout)} "
                           "/*M!100308 , in_predicate_conversion_threshold = 0 */")
        finally:
            cursor.close()
    return set_it


def whole_seconds(timeout: float) -> int:
    """As InnoDB takes a wait: at least 1."""
    return max(1, math.ceil(timeout))


# ---- PostgreSQL

def _postgresql(parts: URL, given: dict[str, Any], lock_timeout: float) -> dict[str, Any]:
    _default(parts, given, "connect_timeout", CONNECT_TIMEOUT_S)        # the driver's own is for ever
    # The last word of two wins.
    theirs = given.get("options", parts.query.get("options", ""))
    given["options"] = f"-c lock_timeout={milliseconds(lock_timeout)} {theirs}".strip()
    return {}


def milliseconds(timeout: float) -> int:
    """As PostgreSQL takes a wait: at least 1, since 0 means for ever."""
    return max(1, math.ceil(timeout * 1000))

"""One database of either engine: opened, its tables made, its connections set so that a commit is a promise."""
from __future__ import annotations

import logging
import math
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict, TypeVar

import sqlalchemy
from sqlalchemy import Engine, event
from sqlalchemy.pool import PoolProxiedConnection

from hotpath.chat.config import ChatConfig
from hotpath.chat.models import meta, metadata

from .errors import Unavailable
from .failures import Failure, meaning
from .search import create_index
from .statements import Statements

if TYPE_CHECKING:
    # A quarter of a second and some megabytes that whoever uses SQLite does not need.
    from mysql.connector.connection import MySQLConnection

log = logging.getLogger(__name__)

T = TypeVar("T")

FILE = "chat.db"
EPOCH = "epoch"
MEMBERSHIP_VERSION = "membership_version"

# What each connection may keep of SQLite's file; the system keeps it too. Whoever makes no tables reads only the ends
# of logs: a gateway, whose memory is meant for sockets.
CACHE_KIB = 4096
SMALL_CACHE_KIB = 256
# Prepared statements kept for each connection of SQLite: those of batches have a text for each length.
STATEMENTS = 256
# A server of MySQL that says nothing for that long beyond the wait for a lock is taken for dead.
SILENCE_S = 5
# Held while tables are made, so that processes started together make them once.
SCHEMA_LOCK = "hotpath-chat-schema"
SCHEMA_WAIT_S = 30


class Database:
    """The engine, and what is kept about the whole of it. Any thread may use it."""

    def __init__(self, engine: Engine, config: ChatConfig) -> None:
        self.engine = engine
        self.config = config
        self.is_sqlite = config.database.is_sqlite

    @classmethod
    def open(cls, config: ChatConfig, *, create: bool = True) -> Self:
        """Connect, and make what is missing if `create`. Unavailable: it cannot be reached."""
        database = cls(_engine(config, create=create), config)
        try:
            if create:
                database._create()
            elif not database._is_made():
                raise Unavailable("the tables are not made yet: the API makes them")
            database._warn()
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Let the pool's connections go."""
        self.engine.dispose()

    def connect(self) -> PoolProxiedConnection:
        """A connection that is nobody else's, not counted by the pool: the writer's. Unavailable."""
        with translated():
            connection = self.engine.raw_connection()
            connection.detach()
            return connection

    def read(self, work: Callable[[Statements], T]) -> T:
        """`work` in a transaction that sees one moment. Unavailable."""
        # A server that was restarted has closed all connections of the pool.
        for _ in range(self.config.database.pool):
            try:
                return self._read(work)
            except _Stale as stale:
                log.info("event=stale_connection error=%s", stale)
        return self._read(work)

    def _read(self, work: Callable[[Statements], T]) -> T:
        with translated():
            connection = self.engine.raw_connection()
        try:
            rows = self._begin(connection)
            try:
                return work(rows)
            finally:
                _end(connection, rows)
        except _Stale:
            raise
        except Exception as error:
            if (what := meaning(error)) is Failure.LOST:
                connection.invalidate(error)
            if what.ends_transaction:
                raise Unavailable(f"the database cannot answer: {cause(error)}") from error
            raise
        finally:
            connection.close()

    def _begin(self, connection: PoolProxiedConnection) -> Statements:
        try:
            rows = Statements(connection, is_sqlite=self.is_sqlite)
            rows.run("BEGIN" if self.is_sqlite else "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        except Exception as error:
            if meaning(error) is not Failure.LOST:
                raise
            connection.invalidate(error)
            raise _Stale(str(error)) from error
        return rows

    # ---- what is known of the whole

    def epoch(self) -> str:
        """Which history this is; another one after the database was restored from a copy."""
        row = self.read(lambda rows: rows.one("SELECT value FROM meta WHERE name = ?", (EPOCH,)))
        if row is None:
            raise Unavailable("the database has no epoch: its tables were not made by us")
        return str(row[0])

    def new_epoch(self) -> str:
        """Say that this is another history: clients forget how far they had got."""
        epoch = secrets.token_hex(8)
        with translated(), self.engine.begin() as connection:
            connection.execute(meta.update().where(meta.c.name == EPOCH).values(value=epoch))
        return epoch

    def _create(self) -> None:
        if self._is_made():
            return
        with translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                self._fill(connection)
                return
            # DDL commits by itself there: this lock, not the transaction, keeps other processes out.
            if not connection.scalar(sqlalchemy.select(sqlalchemy.func.get_lock(SCHEMA_LOCK, SCHEMA_WAIT_S))):
                raise Unavailable("another process has been making the tables for too long")
            try:
                self._fill(connection)
            finally:
                connection.scalar(sqlalchemy.select(sqlalchemy.func.release_lock(SCHEMA_LOCK)))

    def _is_made(self) -> bool:
        """Whether the last thing that is made is there: the epoch."""
        tables = ("SELECT 1 FROM sqlite_master WHERE name = 'meta'" if self.is_sqlite else
                  "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'meta'")
        return self.read(lambda rows: bool(rows.one(tables) and rows.one(
            "SELECT 1 FROM meta WHERE name = ?", (EPOCH,))))

    def _fill(self, connection: sqlalchemy.Connection) -> None:
        metadata.create_all(connection)
        create_index(connection, is_sqlite=self.is_sqlite)
        known = set(connection.scalars(sqlalchemy.select(meta.c.name)))
        for name, value in ((MEMBERSHIP_VERSION, "0"), (EPOCH, secrets.token_hex(8))):
            if name not in known:
                connection.execute(meta.insert().values(name=name, value=value))
        # Before the lock goes: whoever comes next shall find it.
        connection.commit()

    def _warn(self) -> None:
        if self.is_sqlite:
            return
        row = self.read(lambda rows: rows.one("SELECT @@innodb_flush_log_at_trx_commit"))
        if row is not None and int(row[0]) != 1:
            log.warning("event=unsafe_database innodb_flush_log_at_trx_commit=%s what=%s", row[0],
                        "a commit is not synced: messages that were acknowledged can be lost; set it to 1")


class _Stale(Exception):
    """A pooled connection was dead before anything was read."""


def _end(connection: PoolProxiedConnection, rows: Statements) -> None:
    try:
        rows.run("ROLLBACK")
        rows.close()
    except Exception as error:      # whatever it is: the next one shall not begin with the rest of this one
        connection.invalidate(error)


@contextmanager
def translated() -> Iterator[None]:
    """What a driver or the pool raises becomes Unavailable, unless it is a mistake of ours."""
    try:
        yield
    except Exception as error:
        if meaning(error).ends_transaction:
            raise Unavailable(f"the database cannot answer: {cause(error)}") from error
        raise


def cause(error: BaseException) -> str:
    """What the driver said, in a line: SQLAlchemy adds where to read about itself."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def _engine(config: ChatConfig, *, create: bool) -> Engine:
    if config.database.is_sqlite:
        return _sqlite_engine(config, create=create)
    # Seconds, the least MySQL knows; the writer's own deadline is finer.
    wait_s = max(1, math.ceil(config.database.busy))
    engine = sqlalchemy.create_engine(
        sqlalchemy.make_url(config.database.url), **_pool(config),
        connect_args={"use_pure": True, "charset": "utf8mb4", "collation": "utf8mb4_general_ci", "autocommit": True,
                      "connection_timeout": wait_s, "read_timeout": wait_s + SILENCE_S,
                      "write_timeout": wait_s + SILENCE_S})

    @event.listens_for(engine, "connect")
    def _settings(connection: MySQLConnection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {wait_s}, "
                       "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'")
        cursor.close()

    return engine


class _Pool(TypedDict):
    pool_size: int
    max_overflow: int
    pool_timeout: float
    pool_reset_on_return: None


def _pool(config: ChatConfig) -> _Pool:
    # Whoever reads rolls back by itself: one round trip less.
    return {"pool_size": config.database.pool, "max_overflow": 0, "pool_timeout": config.database.busy,
            "pool_reset_on_return": None}


def _sqlite_engine(config: ChatConfig, *, create: bool) -> Engine:
    path = Path(config.data).absolute() / FILE
    if create:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not path.exists():
        raise Unavailable(f"{path} does not exist")
    engine = sqlalchemy.create_engine(
        sqlalchemy.URL.create("sqlite", database=str(path)), **_pool(config),
        connect_args={"timeout": config.database.busy, "check_same_thread": False, "cached_statements": STATEMENTS})
    event.listen(engine, "connect", partial(_sqlite_settings, CACHE_KIB if create else SMALL_CACHE_KIB))
    event.listen(engine, "begin", _begin_immediate)
    return engine


SQLITE_SYNCHRONOUS = "FULL"     # in WAL mode NORMAL loses the last commits with the power


def _sqlite_settings(cache_kib: int, connection: sqlite3.Connection, _record: object) -> None:
    # Without this the module begins transactions by itself: deferred ones, whose first write fails at once with BUSY if
    # somebody else wrote since their first read, whatever the busy time-out.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute(f"PRAGMA synchronous = {SQLITE_SYNCHRONOUS}")
    cursor.execute(f"PRAGMA cache_size = -{cache_kib}")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")

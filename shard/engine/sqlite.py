"""A shard that is a file of SQLite.

In WAL mode, so that readers wait for nobody; each commit is synced. Those who write stand in one line (`commits.py`).
"""
from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NoReturn, TypeVar
from urllib.parse import quote

from hotpath.core.errors import PoolTimeout, ShardUnavailable, UncertainOutcome
from hotpath.shard import checks
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.rows.decimals import register

from . import Dialect, PoolStats, Session, Statement, Value, Values, forks
from .commits import Commits
from .errors import Conflict, Duplicate, Full, NoSuchTable, OutOfRange, StatementRefused, Unreachable
from .pool import Pool

T = TypeVar("T")

# Primary result codes of SQLite, and the extended ones that matter.
INTERRUPT, BUSY, LOCKED = sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED
DUPLICATES = {sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID}
OUT_OF_RANGE = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}
OURS = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_SCHEMA}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# A statement looks at the clock each time it has done so much, which takes about a millisecond.
STEPS = 50_000
KEPT_STATEMENTS = 256
FIRST_READ = Statement("SELECT 1 FROM sqlite_master LIMIT 1")
KEPT_WAL_BYTES = 64 << 20


class _Files:
    """Which files this process has open. Those that its parent had open when it forked cannot be used here.

    SQLite keeps the locks of a file once per process, in memory that the child inherits, though the kernel gives it
    none of the locks: the child would believe that it holds them.
    """

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._inherited: set[str] = set()
        forks.tell(self)

    def opening(self, path: str) -> None:
        """Raises Unreachable."""
        if path in self._inherited:
            raise Unreachable(f"{path} was in use while this process was forked, and cannot be used in it: "
                              "start it before the shard is used, or by `spawn`")
        self._open[path] += 1

    def closed(self, path: str) -> None:
        """It was, or was never opened."""
        self._open[path] -= 1

    def before_fork(self) -> None:
        """The pools close what nobody has in hand."""

    def after_fork(self, *, child: bool) -> None:
        """What is open now, another thread had in hand."""
        if child:
            self._inherited |= {path for path, n in self._open.items() if n > 0}
            self._open.clear()


_files = _Files()


def create(path: str) -> None:
    """Make an empty file for a shard; one that stands is left as it is. Raises OSError, sqlite3.Error."""
    # Its owner's alone.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    finally:
        connection.close()


class SqliteSession:
    """A connection to the file."""

    def __init__(self, shard: str, path: str, config: PoolConfig) -> None:
        """Raises Unreachable."""
        self.shard = shard
        self.path = path
        self.opened_s = self.since_s = 0.0
        self._statement_s = config.statement
        self._stop_s = 0.0
        self._given_up = False
        self._writes = False        # it is the one that `begin` was called on
        self._file = os.path.realpath(path)
        _files.opening(self._file)
        db = None
        try:
            self._inode = os.stat(path).st_ino
            # Who opens or reads waits only for one who closes the last connection, or recovers what a dead one left.
            self._db = db = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=config.wait,
                                            isolation_level=None, check_same_thread=False,
                                            cached_statements=KEPT_STATEMENTS)
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA journal_size_limit = {KEPT_WAL_BYTES}")
            if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                raise Unreachable(f"{path} is no shard's file: it is not in WAL mode")
        except BaseException as error:
            if db is not None:
                db.close()
            _files.closed(self._file)
            if isinstance(error, FileNotFoundError):
                raise Unreachable(f"{path} is not there") from error
            if isinstance(error, sqlite3.Error | OSError):
                raise Unreachable(f"{path}: {_damage(error) or error}") from error
            raise
        register(db)
        checks.register(db)
        db.set_progress_handler(self._is_late, STEPS)

    def rows(self, statement: Statement, values: Values = ()) -> list[tuple[Value, ...]]:
        """All rows that `statement` answers."""
        self._stop_s = time.monotonic() + self._statement_s
        try:
            return self._db.execute(statement.text, values).fetchall()
        except Exception as error:
            raise self._refusal(error) from error

    def run(self, statement: Statement, values: Values = ()) -> int:
        """How many rows `statement` matched."""
        self._stop_s = time.monotonic() + self._statement_s
        if self._writes and not self._db.in_transaction:
            raise ShardUnavailable(self.shard, "the transaction was undone by an error before")
        try:
            return max(0, self._db.execute(statement.text, values).rowcount)
        except Exception as error:
            raise self._refusal(error) from error

    def command(self, sql: str) -> None:
        """Begin, commit, roll back."""
        self._stop_s = time.monotonic() + self._statement_s
        try:
            self._db.execute(sql).fetchall()
        except Exception as error:
            raise self._refusal(error) from error

    def begin(self) -> None:
        """A transaction that writes. Raises Conflict while another process is in one."""
        if not self.ping():
            self._given_up = True      # what it would commit, nobody would find
            raise ShardUnavailable(self.shard, f"{self.path} was removed or replaced")
        if not self._writes:
            self._writes = True
            self.command("PRAGMA busy_timeout = 0")     # see `commits.patient`
        self.command("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit, or roll back and raise Full or PoolTimeout; UncertainOutcome if it cannot be known which it was."""
        try:
            self.command("COMMIT")
        except Exception as error:
            if self._db.in_transaction:
                with suppress(Exception):
                    self.command("ROLLBACK")
            if isinstance(error, Full):         # the record of the commit is the last that is written
                raise
            if isinstance(error, Conflict):
                raise PoolTimeout(self.shard, f"{self.path}: {error}") from error
            raise UncertainOutcome(self.shard, f"the disk failed in a commit: {error}") from error

    def in_transaction(self) -> bool:
        """False also after an error that undid all of it."""
        return self._db.in_transaction

    def clean(self) -> bool:
        """No transaction."""
        return not self._given_up and not self._db.in_transaction

    def ping(self) -> bool:
        """Whether the file is still the one of this name. No other process is asked, so that it is a glance, too."""
        with suppress(OSError):
            return os.stat(self.path).st_ino == self._inode
        return False

    glance = ping

    def close(self) -> None:
        """Close it."""
        with suppress(sqlite3.Error):
            self._db.close()
        _files.closed(self._file)

    def forget(self) -> None:
        """Leave it open: even to close it would touch the parent's locks."""
        self._given_up = True
        forks.leak(self._db)
        self._db = _Inherited(self.shard)       # type: ignore[assignment]

    def _is_late(self) -> bool:
        return time.monotonic() > self._stop_s

    def _refusal(self, error: Exception) -> Exception:
        if isinstance(error, ShardUnavailable):
            return error
        code = getattr(error, "sqlite_errorcode", 0)
        primary = code & 0xff
        text = str(error)
        if code in DUPLICATES:
            return Duplicate(text)
        if primary in OUT_OF_RANGE or isinstance(error, OverflowError | UnicodeEncodeError) or "overflow" in text:
            return OutOfRange(text)
        if text.startswith("no such table"):
            return NoSuchTable(text)
        if primary in (BUSY, LOCKED):
            return Conflict(text) if self._writes else PoolTimeout(self.shard, f"{self.path}: {text}")
        if primary == sqlite3.SQLITE_FULL:
            return Full(self.shard, f"{self.path}: no room: {text}")
        if primary == INTERRUPT:
            return ShardUnavailable(self.shard, f"stopped: a statement took longer than {self._statement_s:g} s")
        if not code or primary in OURS:
            return StatementRefused(text)
        return ShardUnavailable(self.shard, f"{self.path}: {_damage(error) or text}")


class _Inherited:
    """In the place of a parent's connection."""

    in_transaction = False

    def __init__(self, shard: str) -> None:
        self._shard = shard

    def execute(self, _sql: str, _values: Values = ()) -> NoReturn:
        raise ShardUnavailable(self._shard, "the transaction is that of the process which this one was forked from")


def _damage(error: Exception) -> str | None:
    if getattr(error, "sqlite_errorcode", 0) & 0xff in DAMAGED:
        return f"damaged ({error}): restore it from a backup"
    return None


class SqliteShard:
    """The file: readers with a connection each, and one connection for all who write."""

    dialect: Dialect = "sqlite"

    def __init__(self, name: str, endpoint: Endpoint, config: PoolConfig, *, max: int | None = None,
                 on_wait: Callable[[float], None] | None = None) -> None:
        """Connects when first used."""
        self.name = name
        self.endpoint = endpoint
        self._path = os.path.abspath(endpoint.path)
        self._config = config
        self._pool = Pool(name, self._connect, config, max=max, inherit=False, on_wait=on_wait)
        self._commits = Commits(name, Pool(name, self._connect, config, max=1, inherit=False), config.wait)

    def _connect(self) -> SqliteSession:
        return SqliteSession(self.name, self._path, self._config)

    # ---- reading

    def rows(self, statement: Statement, values: Values = ()) -> list[tuple[Value, ...]]:
        """The rows of one statement that reads."""
        session = self._pool.lease()
        try:
            return session.rows(statement, values)
        finally:
            self._pool.release(session)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A connection for several statements that read."""
        session = self._pool.lease()
        try:
            yield session
        finally:
            self._pool.release(session)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """The same, all in one moment."""
        session = self._pool.lease()
        try:
            session.command("BEGIN")
            session.rows(FIRST_READ)        # whose moment it is
            yield session
        finally:
            if session.in_transaction():
                with suppress(Exception):       # then it is not clean, and closed
                    session.command("ROLLBACK")
            self._pool.release(session)

    # ---- writing

    def run(self, statement: Statement, values: Values = ()) -> int:
        """One statement that changes; it shares a commit with those of other threads."""
        return self._commits.write(lambda session: session.run(statement, values), None, alone=True)

    def write(self, work: Callable[[Session], T], *, wait_s: float | None = None) -> T:
        """`work` in one transaction, which it may share with the work of other threads; it may run in one of those."""
        return self._commits.write(work, wait_s)

    # ---- as a whole

    def stats(self) -> PoolStats:
        """Its connections now."""
        readers, writer = self._pool.stats(), self._commits.stats()
        return replace(readers, up=readers.up and writer.up, error=readers.error or writer.error)

    def close(self) -> None:
        """Close what nobody has in hand."""
        self._pool.close()
        self._commits.close()

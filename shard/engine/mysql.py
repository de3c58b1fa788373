"""A shard that is a database of MySQL or MariaDB.

Every connection reads committed rows, counts rows found (not changed), and is in autocommit: a statement by itself is
one round trip, and durable when it is answered.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from hotpath.core.errors import PoolTimeout, ShardUnavailable, UncertainOutcome
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint

from . import Dialect, PoolStats, Session, Statement, Value, Values
from .driver import ERRORS, HAVE_CEXT, Link, Rows, Watched, connect, say_which
from .errors import Conflict, Duplicate, Full, Lost, NoSuchTable, OutOfRange, StatementRefused, Unreachable
from .literals import render
from .pool import Pool

log = logging.getLogger(__name__)

T = TypeVar("T")

# By number: a SQLSTATE says too little, and the driver's classes follow it.
LOST = {1053, 1077, 1079, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2014, 2027, 2048, 2055, 4031}
CONFLICTS = {1020, 1205, 1213, 3572}
DUPLICATES = {1062, 1586}
OUT_OF_RANGE = {1048, 1118, 1153, 1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1411, 1439, 1441, 1690, 2020,
                3140, 3819, 3854, 4025}
NO_TABLE = {1051, 1146}
FULL = {1021, 1026, 1114}       # and 1030, which is any error of the storage engine
STOPPED = {1317, 1969, 3024}    # it took too long, or somebody killed it
UNABLE = {1030, 1037, 1038, 1040, 1041, 1044, 1045, 1049, 1129, 1142, 1203, 1226, 1227, 1290, 1836}

# A lock is waited for in turns of a second, so that a deadline is met; the wait as a whole is the pool's.
LOCK_TURN_S = 1
# Of a statement's deadline, what the server takes itself: the rest is for its answer to say so.
SERVER_SHARE = 0.9
MODES = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION"
# How much of a value a server sorts by; else 1024, and of rows that agree so far pages would lose some.
SORT_BYTES = 4096
# Conflicts come in swarms; who lost one lets the others pass.
BACK_OFF_S = 0.002
# A read goes on to another connection when its own was dead. Each time all idle ones are asked, so one is enough but
# when the server restarts just then.
READS = 3

BEGIN = b"START TRANSACTION"
COMMIT = b"COMMIT"
ROLLBACK = b"ROLLBACK"
REPEATABLE = b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
SNAPSHOT = b"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"


class MySqlSession:
    """A connection to the server."""

    def __init__(self, shard: str, link: Link, pool: PoolConfig) -> None:
        """Make its settings ours. Raises the driver's ERRORS."""
        self.shard = shard
        self.opened_s = self.since_s = 0.0
        self.failed: Conflict | Lost | None = None      # then nothing more goes to the server before a rollback
        self._link = link
        self._rows: Callable[[bytes], Rows] = link.rows
        self._run: Callable[[bytes], int] = link.run
        self._statement_s = pool.statement
        self._watched = Watched(link.fd)
        self._forgotten = False
        ((version, most),) = link.rows(b"SELECT VERSION(), @@max_allowed_packet")
        self._most = int(most) - 1 if isinstance(most, int) else 0
        limit_s = pool.statement * SERVER_SHARE
        # MySQL can stop only what reads.
        limit = (f"max_statement_time = {limit_s:.3f}" if "MariaDB" in str(version)
                 else f"max_execution_time = {max(1, int(limit_s * 1000))}")
        link.run(b"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        link.run(f"SET SESSION sql_mode = '{MODES}', time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_TURN_S}, "
                 f"max_sort_length = {SORT_BYTES}, {limit}, autocommit = 1".encode())

    def rows(self, statement: Statement, values: Values = ()) -> list[tuple[Value, ...]]:
        """All rows that `statement` answers."""
        if self.failed is not None:
            raise self.failed
        sql = render(statement, values)
        if len(sql) > self._most:
            raise self._too_long(sql)
        try:
            return self._rows(sql)
        except Exception as error:
            raise self._refusal(error) from error

    def run(self, statement: Statement, values: Values = ()) -> int:
        """How many rows `statement` matched."""
        if self.failed is not None:
            raise self.failed
        sql = render(statement, values)
        if len(sql) > self._most:
            raise self._too_long(sql)
        try:
            return self._run(sql)
        except Exception as error:
            raise self._refusal(error) from error

    def command(self, sql: bytes) -> None:
        """Begin, commit, roll back."""
        try:
            self._run(sql)
        except Exception as error:
            raise self._refusal(error) from error

    def rollback(self) -> None:
        """Undo the transaction. Raises Lost; undone it is anyway."""
        self.command(ROLLBACK)
        self.failed = None

    # ---- for the pool

    def clean(self) -> bool:
        """No transaction, no failure that was not cleared up."""
        return self.failed is None and not self._forgotten and self._link.clean()

    def glance(self) -> bool:
        """False if the server hung up."""
        return self._watched.silent()

    def ping(self) -> bool:
        """Whether the server answers."""
        if not self._watched.silent():
            return False
        try:
            return self._link.ping()
        except Exception:       # whatever a driver says about a dead one
            return False

    def close(self) -> None:
        """Say goodbye, unless it is dead."""
        self._link.close()

    def forget(self) -> None:
        """It is the parent's."""
        self._forgotten = True
        self._rows = self._run = self._gone
        self._link.forget()

    def _gone(self, _sql: bytes) -> NoReturn:
        raise Lost(self.shard, "the connection belongs to the process that this one was forked from")

    # ---- what went wrong

    def _too_long(self, sql: bytes) -> OutOfRange:
        return OutOfRange(f"a statement of {len(sql)} bytes; the server takes {self._most} (max_allowed_packet)")

    def _refusal(self, error: Exception) -> Exception:
        if isinstance(error, Lost):
            return error
        number = getattr(error, "errno", None) or 0
        text = getattr(error, "msg", None) or str(error)
        if number in LOST or number <= 0 or not isinstance(error, ERRORS):
            self.failed = lost = Lost(self.shard, f"connection lost: {text}")
            return lost
        if number in CONFLICTS:
            self.failed = conflict = Conflict(text)
            return conflict
        if number in DUPLICATES:
            return Duplicate(text)
        if number in OUT_OF_RANGE:
            return OutOfRange(text)
        if number in NO_TABLE:
            return NoSuchTable(text)
        if number in FULL or (number == 1030 and " 28 " in text):
            return Full(self.shard, f"no room on the disk: {text}")
        if number in STOPPED:
            return ShardUnavailable(self.shard, f"a statement was stopped; {self._statement_s:g} s are allowed: {text}")
        if number in UNABLE:
            return ShardUnavailable(self.shard, text)
        return StatementRefused(f"error {number}: {text}")


class MySqlShard:
    """The database, through a pool."""

    dialect: Dialect = "mysql"

    def __init__(self, name: str, endpoint: Endpoint, config: PoolConfig, *, max: int | None = None,
                 pure: bool = not HAVE_CEXT, on_wait: Callable[[float], None] | None = None) -> None:
        """Connects when first used. `pure`: by the driver in Python."""
        self.name = name
        self.endpoint = endpoint
        self._config = config
        self._pure = pure
        say_which()
        self._pool = Pool(name, self._connect, config, max=max, on_wait=on_wait)

    def _connect(self) -> MySqlSession:
        link = None
        try:
            link = connect(self.endpoint, self._config, pure=self._pure)
            return MySqlSession(self.name, link, self._config)
        except Exception as error:      # a driver raises anything when it is told nonsense
            if link is not None:
                link.close()
            raise Unreachable(f"{self.endpoint.address}: {getattr(error, 'msg', None) or error}") from error

    # ---- one statement

    def rows(self, statement: Statement, values: Values = ()) -> list[tuple[Value, ...]]:
        """The rows of one statement that reads."""
        session = self._pool.lease()
        try:
            rows = session.rows(statement, values)
        except BaseException as error:
            return self._again(session, error, MySqlSession.rows, statement, values)
        self._pool.release(session)
        return rows

    def run(self, statement: Statement, values: Values = ()) -> int:
        """One statement that changes."""
        session = self._pool.lease()
        try:
            n = session.run(statement, values)
        except BaseException as error:
            return self._again(session, error, MySqlSession.run, statement, values)
        self._pool.release(session)
        return n

    def _again(self, session: MySqlSession, error: BaseException, do: Callable[[MySqlSession, Statement, Values], T],
               statement: Statement, values: Values) -> T:
        """Once more what failed, for as long as that can help. Raises what it failed for at last."""
        now_s = time.monotonic
        give_up_s = session.since_s + self._config.wait
        left = READS
        while True:
            self._take_back(session, error)
            if isinstance(error, Lost):
                if do is not MySqlSession.rows:
                    raise UncertainOutcome(self.name, error.cause) from error
                left -= 1
                if not left or now_s() - session.since_s >= self._config.statement:     # no answer, not no server
                    raise error
            elif isinstance(error, Conflict):
                if now_s() > give_up_s:
                    raise PoolTimeout(self.name, f"the row was somebody else's for {self._config.wait:g} s") from error
                time.sleep(BACK_OFF_S)
            else:
                raise error
            session = self._pool.lease()
            try:
                answer = do(session, statement, values)
            except BaseException as raised:     # not an exception's last word: it is raised at the top
                error = raised
            else:
                self._pool.release(session)
                return answer

    def _take_back(self, session: MySqlSession, error: BaseException) -> None:
        """After a failure: into the pool if it can be used on, else closed."""
        if isinstance(error, Conflict):
            session.failed = None       # there was no transaction to clear up
        if isinstance(error, Lost):
            self._pool.discard(session, dead=True)
        elif isinstance(error, Exception):
            self._pool.release(session)
        else:
            self._pool.discard(session)     # Ctrl-C in the middle of an answer

    # ---- several

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A connection for several statements that read."""
        session = self._pool.lease()
        try:
            yield session
        except BaseException as error:
            self._take_back(session, session.failed or error)
            raise
        self._pool.release(session)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """The same, all in one moment."""
        session = self._begun(SNAPSHOT, None)
        try:
            yield session
        except BaseException as error:
            self._undo(session, error)
            raise
        self._undo(session, None)

    def write(self, work: Callable[[Session], T], *, wait_s: float | None = None) -> T:
        """`work` in one transaction."""
        wait_s = self._config.wait if wait_s is None else wait_s
        give_up_s = time.monotonic() + wait_s
        while True:
            session = self._begun(BEGIN, max(0.0, give_up_s - time.monotonic()))
            try:
                answer = work(session)
                if session.failed is not None:      # swallowed by `work`
                    raise session.failed
            except BaseException as error:
                conflict = session.failed if isinstance(session.failed, Conflict) else None
                self._undo(session, error)
                if conflict is None:
                    raise
            else:
                conflict = self._commit(session)
                if conflict is None:
                    return answer
            if time.monotonic() > give_up_s:
                raise PoolTimeout(self.name, f"a row was somebody else's for {wait_s:g} s") from conflict
            time.sleep(BACK_OFF_S)

    def _begun(self, begin: bytes, wait_s: float | None) -> MySqlSession:
        """A session in a transaction. One that dies here did nothing yet, so that another can take its place."""
        for left in reversed(range(READS)):
            session = self._pool.lease(wait_s)
            try:
                if begin is SNAPSHOT:
                    session.command(REPEATABLE)     # READ COMMITTED ignores what SNAPSHOT asks for
                session.command(begin)
                return session
            except BaseException as error:
                self._take_back(session, error)
                if not left or not isinstance(error, Lost):
                    raise
        raise AssertionError

    def _commit(self, session: MySqlSession) -> Conflict | None:
        """Commit; None, or why all must be done again. Raises UncertainOutcome."""
        try:
            session.command(COMMIT)
        except Conflict as conflict:
            self._pool.discard(session)
            return conflict
        except BaseException as error:
            # Whatever was answered, or not: it may be committed.
            self._pool.discard(session, dead=isinstance(error, Lost))
            if not isinstance(error, Exception):
                raise
            raise UncertainOutcome(self.name, getattr(error, "cause", str(error))) from error
        self._pool.release(session)
        return None

    def _undo(self, session: MySqlSession, error: BaseException | None) -> None:
        """Roll back, and give it back if that worked."""
        if isinstance(session.failed, Lost) or not (error is None or isinstance(error, Exception)):
            self._pool.discard(session, dead=isinstance(session.failed, Lost))
            return
        try:
            session.rollback()
        except BaseException as failure:
            self._pool.discard(session, dead=isinstance(failure, Lost))
            if not isinstance(failure, Exception):
                raise
            log.warning("shard=%s rollback failed, connection closed: %s", self.name, failure)
        else:
            self._pool.release(session)

    # ---- as a whole

    def stats(self) -> PoolStats:
        """Its connections now."""
        return self._pool.stats()

    def close(self) -> None:
        """Close what nobody has in hand."""
        self._pool.close()

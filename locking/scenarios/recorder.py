"""Tells the stage of every statement of one actor, when it begins and what came of it."""
from __future__ import annotations

import re
import sqlite3
from typing import Any

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor

from hotpath.locking.classify import classify
from hotpath.locking.engine import engine as open_engine
from hotpath.locking.errors import Conflict, Deadlock, LockTimeout

from .spelling import Values, spelled
from .stage import Player

LOCKS = re.compile(r"INSERT|UPDATE|DELETE|BEGIN IMMEDIATE|SELECT .* (?:FOR (?:UPDATE|SHARE)|LOCK IN SHARE MODE)")
# The special before the general.
OUTCOMES = ((Conflict, "conflict"), (Deadlock, "deadlock"), (LockTimeout, "timeout"))


class Recorder:
    """Of one actor; what it calls is in that actor's thread."""

    def __init__(self, player: Player, mark: str) -> None:
        """`mark` ends the keys of the play."""
        self._player = player
        self._mark = mark
        self._open: str | None = None       # the statement that is not known to have ended
        self._last = ""                     # the outcome of the last one

    def open(self, url: URL, *, lock_timeout_s: float, isolation: str | None) -> Engine:
        """An engine of one connection, whose statements are recorded; `isolation`: as `engine` takes it."""
        watched: dict[str, Any] = {}
        if url.get_backend_name() == "sqlite":
            watched["factory"] = watched_sqlite(self)
        engine = open_engine(url, pool_size=1, lock_timeout=lock_timeout_s, isolation=isolation, connect_args=watched)
        engine.connect().close()            # what a driver asks at first is not of the play
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "handle_error", self._failed)
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "commit", self._commit)
        event.listen(engine, "rollback", self._rollback)
        return engine

    # ---- what a part says

    def pause(self) -> None:
        """See Actor."""
        self.settle()
        self._player.pause()

    def note(self, sentence: str) -> None:
        """See Actor."""
        self.settle()
        self._player.ended(None, "note", note=sentence)

    def retry(self) -> None:
        """The unit of work begins anew."""
        self.settle()
        self._player.ended(None, "retry")

    def conflict(self) -> None:
        """The library found one; the statement that it was found with may have said so already."""
        self.settle()
        if self._last != "conflict":
            self._player.ended(None, "conflict")

    # ---- statements

    def begins(self, sql: str) -> None:
        """From here to `ended`, or to whatever the actor does next."""
        self.settle()
        self._open = sql
        self._player.begins(sql, locks=LOCKS.match(sql) is not None)

    def ended(self, outcome: str) -> None:
        """What came of it."""
        sql, self._open, self._last = self._open, None, outcome
        if sql is None:
            return
        holds = False if sql in ("COMMIT", "ROLLBACK") else True if LOCKS.match(sql) and outcome == "ok" else None
        self._player.ended(sql, outcome, holds=holds)

    def settle(self) -> None:
        """The actor goes on, so it went well."""
        if self._open is not None:
            self.ended("ok")

    # ---- events of SQLAlchemy

    def _before(self, _connection: Connection, _cursor: object, statement: str, values: Values, _context: object,
                _many: bool) -> None:
        self.begins(spelled(statement, values, self._mark))

    def _after(self, _connection: Connection, cursor: DBAPICursor, _statement: str, _values: object,
               context: ExecutionContext, _many: bool) -> None:
        # Of these scenarios, only an UPDATE with a version may find no row.
        self.ended("conflict" if context.isupdate and cursor.rowcount == 0 else "ok")

    def _failed(self, context: ExceptionContext) -> None:
        self.ended(outcome_of(context.original_exception))

    def _begin(self, connection: Connection) -> None:
        if connection.dialect.name != "sqlite":         # there, what is only read has no transaction
            self.begins("BEGIN")

    def _commit(self, connection: Connection) -> None:
        self._end(connection, "COMMIT")

    def _rollback(self, connection: Connection) -> None:
        self._end(connection, "ROLLBACK")

    def _end(self, connection: Connection, sql: str) -> None:
        if connection.invalidated:
            return
        driver = connection.connection.dbapi_connection
        if not isinstance(driver, sqlite3.Connection) or driver.in_transaction:
            self.begins(sql)


def outcome_of(error: BaseException) -> str:
    """In a word."""
    kind = classify(error)
    return "error" if kind is None else next((word for base, word in OUTCOMES if issubclass(kind, base)), "error")


def watched_sqlite(recorder: Recorder) -> type[sqlite3.Connection]:
    """A connection that tells of BEGIN IMMEDIATE, which `engine` sends past SQLAlchemy."""
    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            if not sql.startswith("BEGIN"):
                return super().execute(sql, *values)        # type: ignore[arg-type]
            recorder.begins(sql)
            try:
                cursor = super().execute(sql)
            except BaseException as error:
                recorder.ended(outcome_of(error))
                raise
            recorder.ended("ok")
            return cursor

    return Watched

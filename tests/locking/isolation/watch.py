"""Who waits? Each database's own answer."""
from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from threading import current_thread

from sqlalchemy import Connection, Engine, event, text

from tests.locking.isolation.stage import Actor


class PostgresWatch:
    """pg_blocking_pids; a circle of waiters is no waiting: the server is about to break it."""

    poll_s = 0.01

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def waiting(self, actors: Iterable[Actor]) -> set[Actor]:
        """See Watch."""
        rows = self._connection.execute(text(
            "SELECT pid, pg_blocking_pids(pid) FROM pg_stat_activity WHERE datname = current_database()"))
        blockers: dict[int, list[int]] = {pid: list(by) for pid, by in rows}
        return {actor for actor in actors
                if blockers.get(actor.connection_id or 0) and not _is_in_circle(actor.connection_id, blockers)}


def _is_in_circle(start: int | None, blockers: dict[int, list[int]]) -> bool:
    seen: set[int] = set()
    ahead = list(blockers.get(start or 0, []))
    while ahead:
        pid = ahead.pop()
        if pid == start:
            return True
        if pid not in seen:
            seen.add(pid)
            ahead += blockers.get(pid, [])
    return False


class MariaWatch:
    """InnoDB's monitor. It finds circles before it lets anybody wait.

    Not information_schema.innodb_trx: that is a copy, which is not renewed while it is looked at every 0.1 s.
    """

    poll_s = 0.01

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def waiting(self, actors: Iterable[Actor]) -> set[Actor]:
        """See Watch."""
        (_, _, said) = self._connection.exec_driver_sql("SHOW ENGINE INNODB STATUS").one()
        # What stands before the first is also about the latest deadlock.
        ids = {int(found[1]) for block in said.split("---TRANSACTION ")[1:]
               if "\nLOCK WAIT " in block and (found := re.search(r"thread id (\d+)", block))}
        return {actor for actor in actors if actor.connection_id in ids}


class BusyWatch:
    """SQLite says BUSY to the actor itself, which tells the stage."""

    poll_s = 0.01

    def waiting(self, actors: Iterable[Actor]) -> set[Actor]:
        """See Watch."""
        return set()


class WriterWatch:
    """SQLite with a busy_timeout: who is in BEGIN IMMEDIATE while another is in a transaction waits for it.

    Only where every transaction is begun so.
    """

    poll_s = 0.01

    def __init__(self, engine: Engine) -> None:
        self._connections: dict[str, sqlite3.Connection] = {}      # that each thread had last
        self._statements: dict[str, str] = {}                       # that each thread began last
        event.listen(engine, "checkout", self._took)

    def _took(self, connection: sqlite3.Connection, _record: object, _proxy: object) -> None:
        self._connections[current_thread().name] = connection
        connection.set_trace_callback(self._began)

    def _began(self, sql: str) -> None:
        self._statements[current_thread().name] = sql

    def waiting(self, actors: Iterable[Actor]) -> set[Actor]:
        """See Watch."""
        writers = {name for name, connection in list(self._connections.items()) if connection.in_transaction}
        return {actor for actor in actors if writers - {actor.name} and actor.name not in writers
                and self._statements.get(actor.name) == "BEGIN IMMEDIATE"}

"""The rivals: what somebody has without a cluster."""
from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine.driver import HAVE_CEXT

from .mixes import PAGE, ROWS

TABLE = "hotpath_bench_bare"
COLUMNS = "id BIGINT NOT NULL PRIMARY KEY, author VARCHAR(64) NOT NULL, title VARCHAR(200) NOT NULL, likes INT NOT NULL"
AUTHOR, TITLE = "ada", "On the analytical engine, and what it cannot do by itself"


class MysqlClient:
    """A connection to each server; a key's server is the key's remainder."""

    def __init__(self, connections: Sequence[MySQLConnectionAbstract]) -> None:
        self._cursors = [connection.cursor() for connection in connections]
        self._n = len(connections)

    def get(self, key: int) -> object:
        """By key."""
        cursor = self._cursors[key % self._n]
        cursor.execute(f"SELECT id, author, title, likes FROM {TABLE} WHERE id = %s", (key,))
        return cursor.fetchone()

    def insert(self, key: int) -> None:
        """Autocommit: one statement, one transaction."""
        self._cursors[key % self._n].execute(
            f"INSERT INTO {TABLE} (id, author, title, likes) VALUES (%s, %s, %s, %s)", (key, AUTHOR, TITLE, 0))

    def update(self, key: int, likes: int) -> None:
        """By key."""
        self._cursors[key % self._n].execute(f"UPDATE {TABLE} SET likes = %s WHERE id = %s", (likes, key))

    def delete(self, key: int) -> None:
        """By key."""
        self._cursors[key % self._n].execute(f"DELETE FROM {TABLE} WHERE id = %s", (key,))

    def page(self, after: int) -> int:
        """From each server a page, of which the first rows are the page."""
        keys: list[int] = []
        for cursor in self._cursors:
            cursor.execute(f"SELECT id, author, title, likes FROM {TABLE} WHERE id > %s ORDER BY id LIMIT {PAGE}",
                           (after,))
            keys += [int(str(row[0])) for row in cursor.fetchall() if isinstance(row, tuple)]
        return len(sorted(keys)[:PAGE])


class BareMysql:
    """mysql.connector, a connection for each thread and server, autocommit, no fence."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """The servers of the cluster."""
        self._endpoints = endpoints
        kind = "C extension" if HAVE_CEXT else "pure Python"
        self.name = f"mysql.connector {metadata.version('mysql-connector-python')} ({kind})"

    def _connect(self, endpoint: Endpoint) -> MySQLConnectionAbstract:
        where: dict[str, Any] = ({"unix_socket": endpoint.socket} if endpoint.socket
                                 else {"host": endpoint.host, "port": endpoint.port})
        connection = mysql.connector.connect(
            user=endpoint.user, password=endpoint.password, database=endpoint.database, autocommit=True,
            charset="utf8mb4", collation="utf8mb4_general_ci", **where)
        assert isinstance(connection, MySQLConnectionAbstract), "no pool was asked for"
        return connection

    @contextmanager
    def client(self) -> Iterator[MysqlClient]:
        """Connections of this thread's own."""
        with ExitStack() as stack:
            yield MysqlClient([stack.enter_context(closing(self._connect(one))) for one in self._endpoints])

    @contextmanager
    def table(self) -> Iterator[None]:
        """The table, with rows, while the block runs."""
        n = len(self._endpoints)
        try:
            for i, endpoint in enumerate(self._endpoints):
                with closing(self._connect(endpoint)) as connection, closing(connection.cursor()) as cursor:
                    cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
                    cursor.execute(f"CREATE TABLE {TABLE} ({COLUMNS}) ENGINE=InnoDB")
                    cursor.executemany(f"INSERT INTO {TABLE} (id, author, title, likes) VALUES (%s, %s, %s, %s)",
                                       [(key, AUTHOR, TITLE, 0) for key in range(i, ROWS, n)])
            yield
        finally:
            for endpoint in self._endpoints:
                with closing(self._connect(endpoint)) as connection, closing(connection.cursor()) as cursor:
                    cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")


class SqliteClient:
    """The one connection, which its users take in turns."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock) -> None:
        self._execute = connection.execute
        self._lock = lock

    def get(self, key: int) -> object:
        """By key."""
        with self._lock:
            return self._execute(f"SELECT id, author, title, likes FROM {TABLE} WHERE id = ?", (key,)).fetchone()

    def insert(self, key: int) -> None:
        """Autocommit: one statement, one transaction, one sync."""
        with self._lock:
            self._execute(f"INSERT INTO {TABLE} (id, author, title, likes) VALUES (?, ?, ?, ?)",
                          (key, AUTHOR, TITLE, 0))

    def update(self, key: int, likes: int) -> None:
        """By key."""
        with self._lock:
            self._execute(f"UPDATE {TABLE} SET likes = ? WHERE id = ?", (likes, key))

    def delete(self, key: int) -> None:
        """By key."""
        with self._lock:
            self._execute(f"DELETE FROM {TABLE} WHERE id = ?", (key,))

    def page(self, after: int) -> int:
        """One file, one query."""
        with self._lock:
            return len(self._execute(f"SELECT id, author, title, likes FROM {TABLE} WHERE id > ? ORDER BY id "
                                     f"LIMIT {PAGE}", (after,)).fetchall())


class BareSqlite:
    """sqlite3, one connection for all threads, autocommit, as durable as ours: WAL, synced at each commit."""

    def __init__(self, folder: Path) -> None:
        """Its file lies in `folder`, on the cluster's disk, while `table` runs."""
        self.name = f"sqlite3 {sqlite3.sqlite_version} (one connection)"
        self._path = folder / f"{TABLE}.sqlite"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def client(self) -> Iterator[SqliteClient]:
        """The same for everyone."""
        assert self._connection is not None, "only within table()"
        yield SqliteClient(self._connection, self._lock)

    @contextmanager
    def table(self) -> Iterator[None]:
        """The file with its table and rows, while the block runs."""
        self._remove()
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(f"CREATE TABLE {TABLE} ({COLUMNS})")
                connection.execute("BEGIN")
                connection.executemany(f"INSERT INTO {TABLE} (id, author, title, likes) VALUES (?, ?, ?, ?)",
                                       [(key, AUTHOR, TITLE, 0) for key in range(ROWS)])
                connection.execute("COMMIT")
                self._connection = connection
                yield
        finally:
            self._connection = None
            self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

"""The three databases that locking runs on: a SQLite file, a real MariaDB and a real PostgreSQL.

A test that asks for `url` or `engine` runs once on each: on an empty database of its own. The servers run for the
session; a test that kills one starts its own with `running(backend)`.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import pytest
from sqlalchemy import Engine

from hotpath import locking
from tests import mariadb as maria
from tests import postgres
from tests.mariadb import MariaDb, running_mariadb
from tests.postgres import PostgreSql, running_postgres
from tests.scratch import scratch

BACKENDS = ("sqlite", "mariadb", "postgresql")
SERVERS = ("mariadb", "postgresql")


class Server(Protocol):
    """What a test may do to MariaDB and PostgreSQL alike."""

    def new_url(self) -> str:
        """The URL of a new, empty database."""

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement in a session of its own, allowed everything; its rows."""

    def signal(self, number: int) -> None:
        """STOP makes it silent, CONT wakes it."""

    def kill(self) -> None:
        """As the power going."""

    def start(self) -> None:
        """On the same files and port. It ends with the thread that calls."""


def require(backend: str) -> None:
    """Skip the test when `backend` is not installed."""
    why = {"sqlite": lambda: None, "mariadb": maria.missing, "postgresql": postgres.missing}[backend]()
    if why:
        pytest.skip(why)


def running(backend: str) -> AbstractContextManager[MariaDb | PostgreSql]:
    """A server of SERVERS while the block runs, for a test that kills it."""
    require(backend)
    return running_mariadb() if backend == "mariadb" else running_postgres()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """One for all tests of the session."""
    with running("mariadb") as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """One for all tests of the session."""
    with running("postgresql") as server:
        yield server


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Which one the test runs on."""
    return str(request.param)


@pytest.fixture
def server(backend: str, request: pytest.FixtureRequest) -> Server | None:
    """The session's server of `backend`; SQLite has none."""
    return None if backend == "sqlite" else request.getfixturevalue(backend)


@pytest.fixture
def url(server: Server | None) -> Iterator[str]:
    """Of a new, empty database of `backend`."""
    if server is None:
        with scratch("sqlite") as folder:
            yield f"sqlite:///{folder / 'test.db'}"
        return
    url = server.new_url()
    yield url
    if isinstance(server, PostgreSql):
        server.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")      # each has 7 MB


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Of `url`; disposed behind the test."""
    opened = locking.engine(url)
    yield opened
    opened.dispose()


def waiting(server: Server, backend: str) -> int:
    """How many sessions wait for a lock right now."""
    # Not innodb_trx: who asks it again within 100 ms gets the same answer again.
    sql = {
        "mariadb": "SELECT variable_value + (SELECT count(*) FROM information_schema.processlist "
                   "WHERE state = 'User lock') FROM information_schema.global_status "
                   "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
        "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    }[backend]
    (count,), = server.execute(sql)
    return int(str(count).partition(".")[0])

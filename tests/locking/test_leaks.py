"""Whatever goes wrong, at whatever point: afterwards no connection is out of the pool, and no lock is held."""
from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import mysql.connector.errors
import psycopg.errors
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from hotpath import locking as L
from tests.locking.databases import SERVERS, Server
from tests.locking.rows import Tally, store, value_of
from tests.waiting import DEADLINE_S

DEADLOCKS = 1000
PAIRS = 4
AT_ONCE = {"base": 0.0, "cap": 0.0}


def connections(server: Server, url: str) -> int:
    """How many the server has in the database of `url`."""
    name = url.rpartition("/")[2]
    found, = server.execute(f"SELECT count(*) FROM information_schema.processlist WHERE db = '{name}'"
                            if url.startswith("mysql") else
                            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' "
                            "AND backend_type = 'client backend'")
    return int(str(found[0]))


@pytest.fixture
def paired(backend: str, url: str) -> Iterator[Engine]:
    """A connection for each of the threads; PostgreSQL looks for a deadlock at once, not after a second."""
    options = {"options": "-c deadlock_timeout=1ms"} if backend == "postgresql" else {}
    engine = L.engine(url, pool_size=2 * PAIRS, connect_args=options)
    Tally.metadata.create_all(engine)
    store(engine, *(Tally(id=n) for n in range(2 * PAIRS)))
    yield engine
    engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("backend", SERVERS)
def test_a_thousand_deadlocks_leave_no_connection_behind(server: Server, url: str, paired: Engine) -> None:
    """Two units of work lock the same two rows in opposite order: each has its first before either asks further."""
    stats = L.Stats()

    def transfer(first: int, second: int, met: threading.Barrier) -> None:
        for _ in range(DEADLOCKS // PAIRS):
            def work(tx: L.Tx) -> None:
                tx.load(Tally, first).value += 1
                if tx.attempt == 1:
                    met.wait(DEADLINE_S)
                tx.load(Tally, second).value += 1

            L.run(paired, work, L.Pessimistic(attempts=100, **AT_ONCE), stats=stats)
            met.wait(DEADLINE_S)        # the one that lost is not overtaken by the next round

    with ThreadPoolExecutor(2 * PAIRS) as threads:
        done = []
        for pair in range(PAIRS):
            rows, met = (2 * pair, 2 * pair + 1), threading.Barrier(2)
            done += [threads.submit(transfer, *rows, met), threads.submit(transfer, *reversed(rows), met)]
        for each in done:
            each.result()
    assert stats.deadlocks >= DEADLOCKS
    assert stats.commits == 2 * DEADLOCKS
    assert [value_of(paired, Tally, n) for n in range(2 * PAIRS)] == [2 * DEADLOCKS // PAIRS] * 2 * PAIRS
    assert paired.pool.checkedout() == 0
    assert connections(server, url) <= 2 * PAIRS


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_thousand_refused_locks_leave_no_connection_behind(url: str) -> None:
    """SQLite has one lock, so no deadlock: who comes second is refused."""
    engine = L.engine(url, pool_size=2, lock_timeout=0)
    Tally.metadata.create_all(engine)
    store(engine, Tally(id=1))
    stats = L.Stats()
    try:
        with Session(engine) as holder:
            L.locked(holder, Tally, [1])
            for _ in range(DEADLOCKS // 10):
                with pytest.raises(L.LockTimeout):
                    L.run(engine, lambda tx: tx.load(Tally, 1), L.Pessimistic(attempts=10, **AT_ONCE), stats=stats)
                assert engine.pool.checkedout() == 1        # the holder's
        assert stats.timeouts == DEADLOCKS
        assert engine.pool.checkedout() == 0
    finally:
        engine.dispose()


# ---- errors at every point

def of_sqlite(code: int, name: str) -> sqlite3.OperationalError:
    """As the driver makes them."""
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


def failures(backend: str) -> dict[str, BaseException]:
    """One of each kind that a driver raises, and what it never should."""
    drivers: dict[str, dict[str, BaseException]] = {
        "sqlite": {
            "retriable": of_sqlite(5, "SQLITE_BUSY"),
            "broken": of_sqlite(11, "SQLITE_CORRUPT"),
        },
        "mariadb": {
            "retriable": mysql.connector.errors.InternalError("Deadlock found", errno=1213, sqlstate="40001"),
            "lost": mysql.connector.errors.OperationalError("Lost connection", errno=2013),
            "broken": mysql.connector.errors.ProgrammingError("no such thing", errno=1146, sqlstate="42S02"),
        },
        "postgresql": {
            "retriable": psycopg.errors.DeadlockDetected("deadlock detected"),
            "lost": psycopg.errors.AdminShutdown("terminating connection"),
            "broken": psycopg.errors.UndefinedTable("no such thing"),
        },
    }
    return {**drivers[backend], "bug": RuntimeError("of the driver"), "stopped": KeyboardInterrupt()}


# Where, and how often in a row: a ROLLBACK may fail in the session and once more in the pool.
POINTS: dict[str, tuple[str, str, int]] = {
    "read": ("do_execute", "SELECT", 1),
    "write": ("do_execute", "UPDATE", 1),
    "commit": ("do_commit", "", 1),
    "rollback": ("do_rollback", "", 1),
    "both-rollbacks": ("do_rollback", "", 2),
}


@pytest.mark.parametrize("kind", ["retriable", "lost", "broken", "bug", "stopped"])
@pytest.mark.parametrize("point", POINTS)
def test_an_error_at_any_point_leaves_no_connection_behind(
        backend: str, engine: Engine, paired: Engine, monkeypatch: pytest.MonkeyPatch, kind: str, point: str) -> None:
    stranger = engine       # on the same database, with a pool of its own
    error = failures(backend).get(kind)
    if error is None:
        return          # SQLite's connections are not lost
    name, statement, times = POINTS[point]
    real = getattr(paired.dialect, name)
    raised = []

    def fail(*given: Any) -> Any:
        if len(raised) < times and (not statement or given[1].startswith(statement)):
            raised.append(point)
            raise error
        return real(*given)

    def work(tx: L.Tx) -> None:
        tx.load(Tally, 1).value += 1
        tx.session.flush()
        if name == "do_rollback" and tx.attempt == 1:
            raise Wrong         # so that there is something to roll back

    monkeypatch.setattr(paired.dialect, name, fail)
    with suppress(Exception, KeyboardInterrupt):
        L.run(paired, work, L.Pessimistic(attempts=5, **AT_ONCE))
    monkeypatch.undo()
    assert raised
    assert paired.pool.checkedout() == 0
    # Nor is a transaction left behind, open in the pool, that holds the row.
    with Session(stranger) as session:
        L.locked(session, Tally, [1], timeout=DEADLINE_S)
        before = session.get_one(Tally, 1).value
    for _ in range(2 * PAIRS):      # whichever connection the pool gives
        L.run(paired, add_one, L.Pessimistic(attempts=1))
    assert value_of(paired, Tally, 1) == before + 2 * PAIRS


class Wrong(Exception):
    """The work's own."""


def add_one(tx: L.Tx) -> None:
    """To row 1."""
    tx.load(Tally, 1).value += 1


@pytest.mark.parametrize("kind", ["retriable", "lost", "broken", "bug"])
def test_a_rollback_that_fails_does_not_hide_why_there_is_one(
        backend: str, paired: Engine, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def fail(_connection: object) -> None:
        raise failures(backend).get(kind) or Wrong

    def work(tx: L.Tx) -> None:
        tx.load(Tally, 1)
        raise Wrong

    monkeypatch.setattr(paired.dialect, "do_rollback", fail)
    with pytest.raises(Wrong):
        L.run(paired, work, L.Pessimistic())
    monkeypatch.undo()
    assert paired.pool.checkedout() == 0

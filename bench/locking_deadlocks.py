"""After a thousand deadlocks: is a connection still out of the pool, or one more at the server?"""
from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine, insert, make_url, text
from sqlalchemy.orm import Session

from hotpath import locking

from .locking_units import Base, Tally
from .paired import at_most
from .rivals import WrongAnswer

COLUMNS = ("database", "deadlocks", "units", "deadlocks/s", "out of the pool", "at the server before", "after", "goal")
BACKENDS = ("mariadb", "postgresql")        # SQLite has one lock, so no deadlock
PAIRS = 4
PATIENCE_S = 60
COUNT = {
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE db = :name",
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = :name",
}
# PostgreSQL looks for a deadlock when one has waited for a second.
OPTIONS = {"mariadb": {}, "postgresql": {"options": "-c deadlock_timeout=1ms"}}


def run(backend: str, url: str, *, deadlocks: int) -> list[tuple[str, ...]]:
    """The table's row of one database: pairs of threads lock two rows in opposite order. Raises WrongAnswer."""
    engine = locking.engine(url, pool_size=2 * PAIRS, connect_args=OPTIONS[backend])
    rounds = -(-deadlocks // PAIRS)
    stats = locking.Stats()
    try:
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(Tally), [{"id": key, "n": 0, "version": 1} for key in range(2 * PAIRS)])
        everybody(engine, 1, locking.Stats())       # so that all connections are there
        before, began_s = at_server(backend, engine), time.monotonic()
        everybody(engine, rounds, stats)
        took_s = time.monotonic() - began_s
        out, after = engine.pool.checkedout(), at_server(backend, engine)
        with Session(engine) as session:
            wrong = [row.n for row in session.query(Tally) if row.n != 2 * (rounds + 1)]
        if wrong:
            raise WrongAnswer(f"{backend}: a row was raised {wrong[0]} times, not {2 * (rounds + 1)}")
    finally:
        engine.dispose()
    return [row(backend, stats, took_s, out, before, after)]


def everybody(engine: Engine, rounds: int, stats: locking.Stats) -> None:
    """All pairs, each with two rows of its own."""
    with ThreadPoolExecutor(2 * PAIRS) as threads:
        done = []
        for first in range(0, 2 * PAIRS, 2):
            met = threading.Barrier(2)
            done += [threads.submit(cross, engine, first + side, first + 1 - side, met, rounds, stats)
                     for side in (0, 1)]
        for each in done:
            each.result()


def cross(engine: Engine, first: int, second: int, met: threading.Barrier, rounds: int, stats: locking.Stats) -> None:
    """One of two: each has its first row before either asks for the other's."""
    for _ in range(rounds):
        def work(tx: locking.Tx) -> None:
            tx.load(Tally, first).n += 1
            if tx.attempt == 1:
                met.wait(PATIENCE_S)
            tx.load(Tally, second).n += 1

        locking.run(engine, work, locking.Pessimistic(attempts=100, base=0, cap=0), stats=stats)
        met.wait(PATIENCE_S)


def at_server(backend: str, engine: Engine) -> int:
    """How many connections it has in our database, by its own account."""
    with engine.connect() as connection:
        name = make_url(str(engine.url)).database
        return int(connection.execute(text(COUNT[backend]), {"name": name}).scalar_one())


def row(backend: str, stats: locking.Stats, took_s: float, out: int, before: int, after: int) -> tuple[str, ...]:
    """The line."""
    return (backend, f"{stats.deadlocks:,}", f"{stats.commits:,}", f"{stats.deadlocks / took_s:,.0f}", str(out),
            str(before), str(after), f"out {at_most(out, 0)}; more {at_most(after - before, 0)}")

"""Which anomaly is possible at which level of a backend? Played, and judged by the rows."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, NullPool, event, text

from hotpath import locking
from tests.locking.isolation.anomalies import ANOMALIES, AT_FIRST, Anomaly, Body, Outcome
from tests.locking.isolation.levels import Base, Ending, by_library, natively
from tests.locking.isolation.stage import Actor, Stage, Watch
from tests.locking.isolation.watch import BusyWatch, MariaWatch, PostgresWatch, WriterWatch

Start = Callable[[Engine, Body], tuple[Ending, Callable[[Actor], None]]]
Table = dict[str, dict[str, str]]       # cells by level, then by anomaly
POSSIBLE = "**possible**"


@dataclass(frozen=True)
class Level:
    """A column of the table."""

    name: str
    start: Start
    open: Callable[[str], Engine]


def native(name: str, level: str, connect_args: dict[str, str], *, snapshots: str = "OFF") -> Level:
    """An isolation level that a server offers."""
    def opened(url: str) -> Engine:
        return with_snapshots(snapshots, sqlalchemy.create_engine(
            url, poolclass=NullPool, isolation_level=level, connect_args=connect_args))
    return Level(name, lambda engine, body: natively(engine, "", body), opened)


def library(name: str, policy: Any, *, guard: bool = False, isolation: str | None = None) -> Level:
    """A policy of the library; `isolation` None: on the server's default level."""
    def opened(url: str) -> Engine:
        soon = SOON if url.startswith("postgresql") else {}
        return with_snapshots("OFF", locking.engine(url, isolation=isolation, connect_args=soon))
    return Level(name, lambda engine, body: by_library(engine, policy, guard, body), opened)


def with_snapshots(on: str, engine: Engine) -> Engine:
    """MariaDB's innodb_snapshot_isolation as asked: 11.6.2 changed its default from OFF to ON."""
    if engine.dialect.name == "mysql":
        event.listen(engine, "connect", lambda connection, _record: connection.cmd_query(
            f"SET SESSION innodb_snapshot_isolation = {on}"))
    return engine


def in_file(name: str, begin: str, *, shared: bool = False) -> Level:
    """SQLite without the library: it says BUSY at once, and nothing but `begin` begins a transaction."""
    def opened(url: str) -> Engine:
        if shared:
            url = url.replace("sqlite:///", "sqlite:///file:") + "?cache=shared&uri=true"
        engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args={
            "isolation_level": None, "timeout": 0, "check_same_thread": False})
        if shared:
            event.listen(engine, "connect", lambda driver, _record: driver.execute("PRAGMA read_uncommitted = 1"))
        return engine
    return Level(name, lambda engine, body: natively(engine, begin, body), opened)


LIBRARY = (
    library("Optimistic", locking.Optimistic()),
    library("Optimistic, ensure_unchanged", locking.Optimistic(), guard=True),
    library("Pessimistic", locking.Pessimistic()),
    library("Optimistic, SERIALIZABLE", locking.Optimistic(), isolation="SERIALIZABLE"),
)
# A deadlock is looked for a second after the wait began, if not told otherwise.
SOON = {"options": "-c deadlock_timeout=20ms"}
UTF8 = {"charset": "utf8mb4", "collation": "utf8mb4_general_ci"}
LEVELS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
COLUMNS: dict[str, tuple[Level, ...]] = {
    "sqlite": (
        in_file("READ UNCOMMITTED, shared cache", "BEGIN", shared=True), in_file("BEGIN", "BEGIN"),
        in_file("BEGIN IMMEDIATE", "BEGIN IMMEDIATE"), *LIBRARY),
    "mariadb": (
        *(native(level, level, UTF8) for level in LEVELS[:3]),
        native("REPEATABLE READ, innodb_snapshot_isolation", "REPEATABLE READ", UTF8, snapshots="ON"),
        native("SERIALIZABLE", "SERIALIZABLE", UTF8), *LIBRARY),
    "postgresql": (*(native(level, level, SOON) for level in LEVELS), *LIBRARY),
}


# No transactions at all.
NAIVE = {
    "sqlite": in_file("none", ""),
    "mariadb": native("none", "AUTOCOMMIT", UTF8),
    "postgresql": native("none", "AUTOCOMMIT", SOON),
}


@contextmanager
def observed(backend: str, url: str, engine: Engine) -> Iterator[Watch]:
    """Who waits on `engine`, asked on a connection of its own."""
    if backend == "sqlite":
        # The library has a busy_timeout, our own engine has none.
        yield BusyWatch() if isinstance(engine.pool, NullPool) else WriterWatch(engine)
        return
    asking = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool,
                                      connect_args=UTF8 if backend == "mariadb" else {})
    with asking.connect() as connection:
        yield (MariaWatch if backend == "mariadb" else PostgresWatch)(connection)


def rows_of(engine: Engine) -> dict[int, int]:
    """What is committed."""
    with engine.connect() as connection:
        return {row.id: row.value for row in connection.execute(text("SELECT id, value FROM item ORDER BY id"))}


def refill(engine: Engine) -> None:
    """The two rows that are there at first."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM item"))
        connection.execute(text("INSERT INTO item (id, value, version) VALUES (:id, :value, 1)"),
                           [{"id": key, "value": value} for key, value in AT_FIRST.items()])


@dataclass(frozen=True)
class Played:
    """How a play went."""

    outcome: Outcome
    waited: bool
    errors: frozenset[str]


def play(bodies: Sequence[Body], order: str, level: Level, engine: Engine, watch: Watch, admin: Engine) -> Played:
    """The transactions, in this order, on the two rows that are there at first."""
    refill(admin)
    stage = Stage(watch)
    endings: dict[str, Ending] = {}
    actors: list[Actor] = []
    for n, body in enumerate(bodies, 1):
        endings[f"T{n}"], perform = level.start(engine, body)
        actors.append(stage.enter(f"T{n}", perform))
    stage.play(order)
    outcome = Outcome(frozenset(name for name, ending in endings.items() if ending.committed),
                      {name: ending.notes for name, ending in endings.items()}, rows_of(admin))
    return Played(outcome, any(actor.waited for actor in actors),
                  frozenset(error for ending in endings.values() for error in ending.errors))


def cell(anomaly: Anomaly, played: Played) -> str:
    """POSSIBLE, or how it was prevented."""
    if anomaly.happened(played.outcome):
        return POSSIBLE
    return ", ".join([*["waits"] * played.waited, *sorted(played.errors)]) or "prevented"


@contextmanager
def opened(backend: str, url: str, level: Level) -> Iterator[Callable[[Sequence[Body], str], Played]]:
    """A function that plays at this level."""
    admin, engine = locking.engine(url), level.open(url)
    Base.metadata.create_all(admin)
    try:
        with observed(backend, url, engine) as watch:
            yield lambda bodies, order: play(bodies, order, level, engine, watch, admin)
    finally:
        engine.dispose()
        admin.dispose()


def measured(backend: str, url: str, levels: Iterable[Level]) -> Table:
    """All cells of these levels."""
    table: Table = {}
    for level in levels:
        with opened(backend, url, level) as played:
            table[level.name] = {
                anomaly.name: cell(anomaly, played(anomaly.bodies, anomaly.order)) for anomaly in ANOMALIES}
    return table

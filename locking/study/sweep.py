"""The measurements one after the other, on a table of our own that is gone afterwards."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from hotpath.locking.classify import first_line, translating
from hotpath.locking.engine import engine
from hotpath.locking.errors import LockingError

from .grid import Cell, Grid
from .lines import Line, line_of
from .units import TABLE, Base
from .workers import Crew, Silent, StudyFailed

# Before anything counts, so that no measurement pays for what Python and the server do once.
WARM_S = 0.2
ROWS_AT_ONCE = 1000
NAMES = {"sqlite": "SQLite", "mariadb": "MariaDB", "mysql": "MySQL", "postgresql": "PostgreSQL"}


class Counters:
    """The rows that are raised; a context manager. Raises StudyFailed when the database cannot be used."""

    def __init__(self, url: str, rows: int) -> None:
        """`rows`: the largest number of them in the grid; a cell takes the first so many."""
        self._rows = rows
        self._engine: Engine = engine(url, pool_size=1)

    def __enter__(self) -> Self:
        with saying_why():
            # Of a study that was killed.
            Base.metadata.drop_all(self._engine)
            Base.metadata.create_all(self._engine)
        try:
            with saying_why(), self._engine.begin() as connection:
                for first in range(1, self._rows + 1, ROWS_AT_ONCE):
                    beyond = min(first + ROWS_AT_ONCE, self._rows + 1)
                    connection.execute(insert(TABLE), [{"id": id, "n": 0, "version": 1} for id in range(first, beyond)])
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 where: TracebackType | None) -> None:
        # Who does not answer would not answer now either, and nobody would hear why we end.
        if not isinstance(error, Silent):
            self._drop()

    def _drop(self) -> None:
        try:
            Base.metadata.drop_all(self._engine)
        except SQLAlchemyError:
            pass        # a server that is gone: why we end was said already, and the next study drops them first
        finally:
            self._engine.dispose()

    def sum(self) -> int:
        """Of all counters."""
        with saying_why(), self._engine.connect() as connection:
            return int(connection.execute(select(func.sum(TABLE.c.n))).scalar_one())

    def backend(self) -> str:
        """sqlite, mariadb, mysql or postgresql."""
        return "mariadb" if getattr(self._engine.dialect, "is_mariadb", False) else self._engine.dialect.name

    def server(self) -> str:
        """Its name and version."""
        ask = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}
        with saying_why(), self._engine.connect() as connection:
            version = str(connection.execute(text(ask.get(self.backend(), "SELECT version()"))).scalar_one())
        return f"{NAMES[self.backend()]} {version.partition('-')[0].partition(' ')[0]}"


@contextmanager
def saying_why() -> Iterator[None]:
    """A block in which the database's errors become StudyFailed with one line."""
    try:
        with translating():
            yield
    except (SQLAlchemyError, LockingError) as error:
        raise StudyFailed(f"the database: {first_line(error)}") from error


def sweep(grid: Grid, crew: Crew, counters: Counters) -> Iterator[Line]:
    """The grid's plan, line by line. Raises StudyFailed."""
    backend = counters.backend()
    most = Cell(max(grid.rows), max(grid.workers), 0)
    for policy in grid.policies:
        crew.measure(policy, most, min(WARM_S, grid.seconds))
    total = counters.sum()
    probabilities: dict[tuple[int, Cell], float | None] = {}
    for repeat, cell, policy in grid.plan():
        seconds, tooks = crew.measure(policy, cell, grid.seconds)
        before, total = total, counters.sum()
        line = line_of(tooks, backend=backend, policy=policy, cell=cell, repeat=repeat, seconds=seconds,
                       raised=total - before, conflict_prob=probabilities.get((repeat, cell)))
        probabilities[repeat, cell] = line.conflict_prob
        yield line

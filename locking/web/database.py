"""A worker's database: units of work in threads, and whether it answers at all."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from logging import getLogger
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from hotpath.core.tasks import offload
from hotpath.locking.classify import first_line, translating
from hotpath.locking.config import LockingConfig
from hotpath.locking.engine import engine
from hotpath.locking.errors import Retriable
from hotpath.locking.lease import metadata as leases
from hotpath.locking.policies import Optimistic, Pessimistic, Policy
from hotpath.locking.stats import Stats
from hotpath.locking.tables import ensure_tables
from hotpath.locking.work import Tx, run

from .counts import Counts
from .tables import Base

log = getLogger(__name__)

T = TypeVar("T")

# Five waits for a lock: a client rather comes back.
LOCK_TIMEOUT_S = 2.0
READING = Optimistic(attempts=5)
WRITING = Pessimistic(attempts=5)

# How often the database is asked whether it is there, and for how long it may be silent.
PROBE_S = 1.0
SILENT_S = 5.0


class Database:
    """Planned before the fork, opened in a worker."""

    def __init__(self, config: LockingConfig, counts: Counts) -> None:
        """`counts`: what units of work came to, of all workers."""
        self._config = config
        self._counts = counts
        self._closing = threading.Event()
        self._prober = threading.Thread(target=self._probe, name="probe", daemon=True)
        self._answered_s = 0.0
        self._trouble: str | None = None

    @property
    def threads(self) -> int:
        """How many there should be: a scenario that is played takes one."""
        return self._config.pool + 1

    def open(self) -> None:
        """In a worker; it connects when it is first needed."""
        # One for each thread, and one for the probe: nobody waits for a connection.
        self._engine = engine(self._config.database, pool_size=self.threads + 1, lock_timeout=LOCK_TIMEOUT_S)
        self._answered_s = time.monotonic()
        self._prober.start()

    def close(self) -> None:
        """Behind the last unit of work."""
        self._closing.set()
        self._prober.join(PROBE_S)          # a database that is silent keeps nobody from ending
        self._engine.dispose()

    def read(self, fn: Callable[[Tx], T]) -> T:
        """A unit of work on items that changes none. Raises as `run` does."""
        return self.work(fn, READING, name=("items", "optimistic"))

    def write(self, fn: Callable[[Tx], T]) -> T:
        """A unit of work on items that locks what it loads. Raises as `run` does."""
        return self.work(fn, WRITING, name=("items", "pessimistic"))

    def work(self, fn: Callable[[Tx], T], policy: Policy, *, name: tuple[str, str]) -> T:
        """`fn` in a transaction of a thread, while this task waits; counted as `name`. Raises as `run` does."""
        return offload(self._work, fn, policy, name)

    def _work(self, fn: Callable[[Tx], T], policy: Policy, name: tuple[str, str]) -> T:
        stats = Stats()
        gave_up = False
        try:
            return run(self._engine, fn, policy, stats=stats)
        except Retriable:
            gave_up = True
            raise
        finally:
            self._counts.add(*name, stats, gave_up=gave_up)

    def trouble(self) -> str | None:
        """Why nothing can be asked of it; None: it answers."""
        if self._trouble is not None:
            return self._trouble
        silent_s = time.monotonic() - self._answered_s
        return f"the database has not answered for {silent_s:.0f} s" if silent_s > SILENT_S else None

    def _probe(self) -> None:
        """In a thread of its own: nobody who asks how we are waits for a database that is silent."""
        while True:
            try:
                with self._engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
            except SQLAlchemyError as error:
                if self._trouble is None:
                    log.warning("the database cannot be reached cause=%s", first_line(error))
                self._trouble = "the database cannot be reached"
            else:
                if self._trouble is not None:
                    log.info("the database answers again")
                self._trouble, self._answered_s = None, time.monotonic()
            if self._closing.wait(PROBE_S):
                return


def prepare(config: LockingConfig) -> None:
    """Make the data directory and the tables that are missing, and leave no connection behind.

    Raises OSError: of the directory; Unusable, Retriable, SQLAlchemyError.
    """
    if not config.url:
        os.makedirs(config.data, exist_ok=True)
    opened = engine(config.database, pool_size=1)
    try:
        with translating():
            for tables in (Base.metadata, leases):
                ensure_tables(opened, tables)
    finally:
        opened.dispose()

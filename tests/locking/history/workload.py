"""Units of the library that append to lists and read them, and the history of what they saw."""
from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

from sqlalchemy import Engine, Text, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking
from tests.locking.history.checker import Append, Read, Txn
from tests.waiting import DEADLINE_S

KEYS = (1, 2, 3)
Plan = Sequence[tuple[str, int]]        # ("read" or "append", key)


class Base(DeclarativeBase):
    """The tables of these tests."""


class Log(locking.Versioned, Base):
    """A list, as text."""

    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    items: Mapped[str] = mapped_column(Text, default="")


def values_of(row: Log) -> tuple[int, ...]:
    """The list."""
    return tuple(map(int, row.items.split()))


class Recorder:
    """Runs units and writes down each attempt of each as a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.history: list[Txn] = []
        self.stats = locking.Stats()
        self._values = count(1)
        self._names = count(1)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all(Log(id=key) for key in KEYS)
            session.commit()

    def unit(self, plan: Plan, policy: Any, *, guard: bool, met: Callable[[int], None] = lambda attempt: None) -> None:
        """Follow `plan` until it is committed or given up; `met(attempt)` is called before it writes."""
        attempts: list[list[Append | Read]] = []

        def fn(tx: locking.Tx) -> None:
            attempts.append([])
            only_read = self._follow(plan, lambda key: tx.load(Log, key), attempts[-1])
            met(tx.attempt)
            if guard:
                locking.ensure_unchanged(tx.session, *only_read)

        outcome = "failed"
        try:
            locking.run(self.engine, fn, policy, stats=self.stats)
            outcome = "ok"
        except locking.Disconnected as error:
            outcome = "unknown" if error.unknown else "failed"
        except locking.Retriable:
            pass
        self._record(attempts, outcome)

    def naive_unit(self, plan: Plan, met: Callable[[], None]) -> None:
        """What is written without a library: read, compute, write."""
        ops: list[Append | Read] = []
        with Session(self.engine) as session:
            rows = {key: session.execute(select(Log.items).where(Log.id == key)).scalar_one() for _, key in plan}
            met()
            for kind, key in plan:
                ops.append(Read(key, tuple(map(int, rows[key].split()))))
                if kind == "append":
                    ops.append(Append(key, next(self._values)))
                    rows[key] += f" {ops[-1].value}"    # type: ignore[union-attr]
                    # By its table: no version is looked at.
                    session.execute(Log.__table__.update().where(Log.id == key).values(items=rows[key]))
            session.commit()
        self._record([ops], "ok")

    def _follow(self, plan: Plan, load: Callable[[int], Log], ops: list[Append | Read]) -> Iterable[Log]:
        """Put in `ops` what was done; the rows that were only read."""
        appended = {key for kind, key in plan if kind == "append"}
        only_read = {}
        for kind, key in plan:
            row = load(key)
            ops.append(Read(key, values_of(row)))
            if kind == "append":
                ops.append(Append(key, next(self._values)))
                row.items += f" {ops[-1].value}"
            elif key not in appended:
                only_read[key] = row
        return only_read.values()

    def _record(self, attempts: Sequence[Sequence[Append | Read]], last: Any) -> None:
        name = f"T{next(self._names)}"
        for n, ops in enumerate(attempts, 1):
            self.history.append(Txn(f"{name}.{n}", tuple(ops), last if n == len(attempts) else "failed"))

    def final(self) -> dict[int, tuple[int, ...]]:
        """The lists now."""
        with Session(self.engine) as session:
            return {row.id: values_of(row) for row in session.scalars(select(Log))}

    @property
    def committed(self) -> int:
        """How many transactions."""
        return sum(txn.outcome == "ok" for txn in self.history)


def plans(seed: int, n: int) -> list[Plan]:
    """Of mixed units."""
    dice = random.Random(seed)
    return [[(dice.choice(("read", "append")), dice.choice(KEYS)) for _ in range(dice.randint(1, 4))] for _ in range(n)]


def together(works: Iterable[Callable[[], None]]) -> None:
    """Run each in a thread of its own; raise what any raised."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def meeting(n: int) -> Callable[..., None]:
    """`n` threads wait here for each other, in their first attempt."""
    barrier = threading.Barrier(n)

    def met(attempt: int = 1) -> None:
        if attempt == 1:
            barrier.wait(DEADLINE_S)
    return met

"""One unit of work under each policy: choose a counter, read it, work, raise it by 1."""
from __future__ import annotations

import time
from typing import Protocol

from sqlalchemy import Table, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hotpath.locking.adaptive import Adaptive
from hotpath.locking.models import Versioned
from hotpath.locking.policies import Escalating, Optimistic, Pessimistic, Policy
from hotpath.locking.work import Tx


class Base(DeclarativeBase):
    """The study's tables; each name begins with hotpath_study_."""


class Counter(Versioned, Base):
    """What the workers raise."""

    __tablename__ = "hotpath_study_counters"
    __table_args__ = {"mysql_engine": "InnoDB"}      # noqa: RUF012 - SQLAlchemy's way to say it

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(default=0)


assert isinstance(Counter.__table__, Table)
TABLE = Counter.__table__


class Unit(Protocol):
    """On the row with this key, with so many seconds of work."""

    def __call__(self, tx: Tx, key: int, work_s: float) -> None:
        """Once; `run` commits, or calls it again."""



def load_and_raise(tx: Tx, key: int, work_s: float) -> None:
    """The library's way: the policy says whether loading locks, and the version is checked at the flush."""
    row = tx.load(Counter, key)
    work(work_s)
    row.n += 1


def overwrite(tx: Tx, key: int, work_s: float) -> None:
    """The naive way: what was written between our read and our write is lost."""
    n = tx.session.execute(select(TABLE.c.n).where(TABLE.c.id == key)).scalar_one()
    work(work_s)
    tx.session.execute(update(TABLE).where(TABLE.c.id == key).values(n=n + 1))


def raise_in_place(tx: Tx, key: int, work_s: float) -> None:
    """One statement reads and writes, so that there is nothing to lock in between: the work is done before it."""
    work(work_s)
    tx.session.execute(update(TABLE).where(TABLE.c.id == key).values(n=TABLE.c.n + 1))


def work(work_s: float) -> None:
    """A user who thinks, or a call elsewhere: it takes time and no processor."""
    if work_s > 0:
        time.sleep(work_s)


# Without a version to check and a lock to take, Optimistic only counts and tries again.
WAYS: dict[str, tuple[Unit, type[Policy]]] = {
    "naive": (overwrite, Optimistic),
    "optimistic": (load_and_raise, Optimistic),
    "pessimistic": (load_and_raise, Pessimistic),
    "escalating": (load_and_raise, Escalating),
    "adaptive": (load_and_raise, Adaptive),
    "atomic": (raise_in_place, Optimistic),
}

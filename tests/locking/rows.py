"""The tables that the tests of locking write to: `stored` has them, `new_session()` is on it."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, ForeignKey, String, exc, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking as L
from tests.waiting import DEADLINE_S


class Base(DeclarativeBase):
    """All of them."""


class Tally(L.Versioned, Base):
    """A number under a version."""

    __tablename__ = "tallies"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(default=0)


class Plain(Base):
    """A number without."""

    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(default=0)


class Seat(L.Versioned, Base):
    """Its key has two columns, in another order than they are declared."""

    __tablename__ = "seats"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    row: Mapped[str] = mapped_column(String(10), primary_key=True)
    taker: Mapped[str | None] = mapped_column(String(20))


class Order(L.Versioned, Base):
    """One that has parts."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    note: Mapped[str] = mapped_column(String(20), default="")


class Part(Base):
    """Of an order."""

    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))


class Paper(L.Versioned, Base):
    """It has the version of those that inherit from it."""

    __tablename__ = "papers"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(20), default="")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "paper"}     # noqa: RUF012


class Letter(Paper):
    """In a table of its own, joined."""

    __tablename__ = "letters"
    id: Mapped[int] = mapped_column(ForeignKey("papers.id"), primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(String(20))
    __mapper_args__ = {"polymorphic_identity": "letter"}     # noqa: RUF012


@pytest.fixture
def stored(engine: Engine) -> Engine:
    """`engine`, with the tables, empty."""
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def new_session(stored: Engine) -> Iterator[Callable[[], Session]]:
    """Opens sessions on `stored`, which are closed behind the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Session(stored, expire_on_commit=False))


def store(engine: Engine, *rows: Base) -> None:
    """Committed."""
    with Session(engine) as session:
        session.add_all(rows)
        session.commit()


def value_of(engine: Engine, model: type[Tally] | type[Plain], key: int) -> int:
    """As committed."""
    with Session(engine) as session:
        return session.get_one(model, key).value


def set_value(engine: Engine, model: type[Tally] | type[Plain], key: int, value: int) -> None:
    """Somebody else's change, committed."""
    with Session(engine) as session:
        session.get_one(model, key).value = value
        session.commit()


def version_of(engine: Engine, key: object = 1, model: type[L.Versioned] = Tally) -> int:
    """As committed."""
    with Session(engine) as session:
        return session.get_one(model, key).version


def bump(engine: Engine, key: int = 1) -> None:
    """Somebody else's change; the version rises."""
    set_value(engine, Tally, key, 100 + version_of(engine, key))


def lock_row(session: Session, key: int, **options: bool) -> Plain:
    """As people write it, without our help: one row, in the order that comes."""
    statement = select(Plain).where(Plain.id == key).with_for_update(**options)
    return session.scalars(statement.execution_options(populate_existing=True)).one()


def deadlock(engine: Engine) -> exc.DBAPIError:
    """What two get who lock two rows crosswise: the victim's error, raw; the other one ends well."""
    both_have_one = threading.Barrier(2)

    def unit(first: int, second: int) -> exc.DBAPIError | None:
        with Session(engine) as session:
            try:
                lock_row(session, first)
                both_have_one.wait(DEADLINE_S)
                lock_row(session, second)
                session.commit()
            except exc.DBAPIError as error:
                return error
        return None

    with ThreadPoolExecutor(2) as pool:
        units = [pool.submit(unit, 1, 2), pool.submit(unit, 2, 1)]
        errors = [unit.result(DEADLINE_S) for unit in units]
    assert errors.count(None) == 1
    return next(error for error in errors if error is not None)

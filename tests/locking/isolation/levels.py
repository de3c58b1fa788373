"""How a transaction is run: at an isolation level of the database's own, or as a unit of work of the library."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hotpath import locking
from tests.locking.isolation.anomalies import Body, Undo
from tests.locking.isolation.stage import Actor

WHO = {"mysql": "SELECT connection_id()", "postgresql": "SELECT pg_backend_pid()"}
BUSY, LOCKED, BUSY_SNAPSHOT = 5, 6, 517


class Base(DeclarativeBase):
    """The tables of these tests."""


class Item(locking.Versioned, Base):
    """A row that transactions meet on; levels of the database's own leave its version alone."""

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]


@dataclass
class Ending:
    """How an actor's transaction ended."""

    committed: bool = False
    notes: tuple[object, ...] = ()
    errors: tuple[str, ...] = ()        # that were met, in the database's words or the library's


def identify(actor: Actor, connection: Connection) -> None:
    """Learn what the database calls the connection."""
    if who := WHO.get(connection.dialect.name):
        actor.connection_id = connection.exec_driver_sql(who).scalar_one()


class Statements:
    """Work as plain statements on a connection."""

    def __init__(self, actor: Actor, connection: Connection) -> None:
        self.noted: list[object] = []
        self._actor = actor
        self._connection = connection

    def execute(self, sql: str, **values: int) -> Any:
        """One statement; SQLite's BUSY is waited out as a busy_timeout would, but without a clock."""
        while True:
            seen = self._actor.progress
            try:
                return self._connection.execute(text(sql), values)
            except DBAPIError as error:
                code = getattr(error.orig, "sqlite_errorcode", 0)
                if code == BUSY_SNAPSHOT or code & 0xFF not in (BUSY, LOCKED):
                    raise
                if not self._actor.wait_after_refusal(seen):
                    raise

    def read(self, key: int) -> int:
        return int(self.execute("SELECT value FROM item WHERE id = :key", key=key).scalar_one())

    def find(self, *, value: int) -> list[int]:
        return list(self.execute("SELECT id FROM item WHERE value = :value ORDER BY id", value=value).scalars())

    def write(self, key: int, value: int) -> None:
        self.execute("UPDATE item SET value = :value WHERE id = :key", key=key, value=value)

    def add(self, key: int, n: int) -> None:
        self.execute("UPDATE item SET value = value + :n WHERE id = :key", key=key, n=n)

    def insert(self, key: int, value: int) -> None:
        self.execute("INSERT INTO item (id, value, version) VALUES (:key, :value, 1)", key=key, value=value)

    def remove(self, keys: list[int], *, value: int) -> None:
        self.execute("DELETE FROM item WHERE value = :value", value=value)

    def note(self, fact: object) -> None:
        self.noted.append(fact)


def code_of(error: BaseException) -> str:
    """The database's own name of an error: SQLSTATE, number, or SQLite's."""
    driver: Any = getattr(error, "orig", error)
    return str(getattr(driver, "sqlite_errorname", None) or (
        driver.errno if hasattr(driver, "errno") else getattr(driver, "sqlstate", None) or repr(error)))


def natively(engine: Engine, begin: str, body: Body) -> tuple[Ending, Callable[[Actor], None]]:
    """A transaction in statements; `begin` opens it where the driver does not."""
    ending = Ending()

    def perform(actor: Actor) -> None:
        with engine.connect() as connection:
            identify(actor, connection)
            if engine.dialect.name != "sqlite":
                connection.rollback()       # what was asked so far is no part of the transaction
            work = Statements(actor, connection)
            actor.pause()
            try:
                if begin:
                    work.execute(begin)
                for _ in body(work):
                    actor.pause()
                if begin:
                    work.execute("COMMIT")
                connection.commit()
            except (DBAPIError, Undo) as error:
                connection.rollback()
                if isinstance(error, DBAPIError):
                    ending.errors = (code_of(error),)
            else:
                ending.committed = True
                ending.notes = tuple(work.noted)
    return ending, perform


class Unit:
    """Work as a unit of the library."""

    def __init__(self, tx: locking.Tx) -> None:
        self.noted: list[object] = []
        self.tx = tx
        self.only_read: dict[int, Item] = {}

    def _load(self, key: int) -> Item:
        row = self.tx.load(Item, key)
        self.only_read.setdefault(key, row)
        return row

    def read(self, key: int) -> int:
        return self._load(key).value

    def find(self, *, value: int) -> list[int]:
        rows = self.tx.session.scalars(select(Item).where(Item.value == value).order_by(Item.id)).all()
        return [row.id for row in rows if self._load(row.id).value == value]

    def write(self, key: int, value: int) -> None:
        self._load(key).value = value
        self._changed(key)

    def add(self, key: int, n: int) -> None:
        with suppress(locking.Missing):     # nothing to raise, as for an UPDATE
            self._load(key).value += n
            self._changed(key)

    def _changed(self, key: int) -> None:
        del self.only_read[key]
        self.tx.session.flush()

    def insert(self, key: int, value: int) -> None:
        self.tx.session.add(Item(id=key, value=value))
        self.tx.session.flush()

    def remove(self, keys: list[int], *, value: int) -> None:
        for key in keys:
            self.tx.session.delete(self._load(key))
            self._changed(key)

    def note(self, fact: object) -> None:
        self.noted.append(fact)


def by_library(engine: Engine, policy: Any, guard: bool, body: Body) -> tuple[Ending, Callable[[Actor], None]]:
    """A unit of work. Its first attempt goes step by step; a later one follows nobody's order, so its errors may differ
    from one time to the next and are not told.
    """
    ending = Ending()
    stats = locking.Stats()

    def perform(actor: Actor) -> None:
        def fn(tx: locking.Tx) -> Unit:
            if tx.attempt == 2:
                ending.errors = tuple(name for name, field in COUNTED.items() if getattr(stats, field))
            identify(actor, tx.session.connection())
            unit = Unit(tx)
            for _ in body(unit):
                if tx.attempt == 1:
                    actor.pause()
            if guard:
                locking.ensure_unchanged(tx.session, *unit.only_read.values())
            return unit

        actor.pause()
        with suppress(Undo):
            unit = locking.run(engine, fn, policy, stats=stats)
            ending.committed = True
            ending.notes = tuple(unit.noted)
    return ending, perform


# What an attempt may have failed with, and where it is counted.
COUNTED = {"Conflict": "conflicts", "Serialization": "serialization", "Deadlock": "deadlocks",
           "LockTimeout": "timeouts", "Disconnected": "disconnects"}

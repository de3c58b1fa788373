"""Locks rows until the transaction ends, in one order for all, and shows them as they are committed now."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Select, event, select, text
from sqlalchemy.engine import Result
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, lazyload
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from .classify import translating
from .engine import MYSQL, begin_write, driver_of, milliseconds, whole_seconds
from .errors import LockTimeout, Missing
from .models import as_tuple, in_keys, key_columns, key_of

Row = TypeVar("Row")

# In the pool's notes on a connection: the statement that puts its waits back.
LIMITED = "hotpath_limited"


def locked(session: Session, model: type[Row], keys: Iterable[Any], *, nowait: bool = False, skip: bool = False,
           timeout: float | None = None) -> list[Row]:
    """The rows with these keys, locked and as they are committed now, in the order asked; a tuple where a key has
    several columns.

    They are locked by ascending key, whatever the order asked, so two units of work that lock rows of one model with
    one call cannot deadlock. `nowait`: LockTimeout at once if one is taken; `skip`: leave those out; `timeout`: seconds
    to wait, None: the engine's; MySQL and MariaDB know whole ones. On SQLite there is one lock, the database's.
    Changes of these rows that were not flushed are flushed first. Raises Missing, and what `translating` does.
    """
    asked = [as_tuple(key) for key in keys]
    if nowait and skip:
        raise ValueError("nowait and skip: one of them")
    if not asked:
        return []
    columns = key_columns(model)
    wanted = list(dict.fromkeys(asked))
    # What is joined, to be loaded along, would be locked too, where the database allows that at all.
    statement = select(model).where(in_keys(model, wanted)).order_by(*columns).options(lazyload("*"))
    # The optimizer reads a small table from end to end, and would lock all that it reads.
    for dialect in MYSQL:
        statement = statement.with_hint(model, "FORCE INDEX (PRIMARY)", dialect)
    rows = locking_rows(session, statement, nowait=nowait, skip=skip, timeout=timeout)
    if rows is None:
        return []
    found = {as_tuple(key_of(row)): row for row in rows.scalars()}
    if len(wanted) == len(found) == 1:
        # A collation may hold for equal what Python does not: 'ANN' finds 'ann'.
        found = dict(zip(wanted, found.values(), strict=True))
    if not skip:
        for key in wanted:
            if key not in found:
                raise Missing(model, key[0] if len(key) == 1 else key)
    return [found[key] for key in asked if key in found]


def locking_rows(session: Session, statement: Select[Any], *, share: bool = False, nowait: bool = False,
                 skip: bool = False, timeout: float | None = None) -> Result[Any] | None:
    """What the select finds, locked to the end of the transaction; None: `skip`, and SQLite's one lock is taken.

    `share`: others may read under a lock of this kind too, but nobody may write.
    """
    # Without it, a row that the session knows already would be locked and shown as it was; and one with a version
    # that has changed would raise StaleDataError.
    options = {"populate_existing": True}
    with translating():
        session.flush()
        if session.get_bind().dialect.name == "sqlite":
            try:
                begin_write(session, 0.0 if nowait or skip else timeout)
            except LockTimeout:
                if skip:
                    return None
                raise
            return session.execute(statement, execution_options=options)
        statement = statement.with_for_update(read=share, nowait=nowait, skip_locked=skip)
        with lock_timeout(session, None if nowait or skip else timeout):
            return session.execute(statement, execution_options=options)


@contextmanager
def lock_timeout(session: Session, timeout: float | None) -> Iterator[None]:
    """Locks are waited for so many seconds in the block; None: as long as the engine says. Not for SQLite."""
    if timeout is None:
        yield
        return
    if session.get_bind().dialect.name in MYSQL:
        name, value = "innodb_lock_wait_timeout", str(whole_seconds(timeout))
        read, write = f"SELECT @@SESSION.{name}", f"SET SESSION {name} = "
    else:
        name, value = "lock_timeout", f"'{milliseconds(timeout)}ms'"
        read, write = f"SHOW {name}", f"SET LOCAL {name} = "
    before = session.execute(text(read)).scalar_one()
    session.execute(text(write + value))
    try:
        yield
    except BaseException:
        # PostgreSQL takes nothing more before the ROLLBACK, which puts it back there by itself. If the connection is
        # lost, there is nothing to put back.
        if name != "lock_timeout":
            with suppress(Exception):
                _restore(session, write, before)
        raise
    else:
        _restore(session, write, before)


def limit_waits(session: Session, timeout: float) -> None:
    """No lock of this transaction is waited for longer than `timeout` seconds.

    The pool puts it back: a connection that the caller holds on to waits no longer until it gives that back.
    """
    connection = session.connection()
    kind = connection.dialect.name
    if kind == "postgresql":
        session.execute(text(f"SET LOCAL lock_timeout = '{milliseconds(timeout)}ms'"))
        return
    # It belongs to the connection, so it is put back where the pool takes that back, however the transaction ends.
    # The first note counts: on a caller's own connection the pool has not put it back when the next one comes.
    if kind == "sqlite":
        # Past SQLAlchemy: SERIALIZABLE begins before any statement, and would wait before the wait is limited.
        driver = driver_of(connection)
        (before,) = driver.execute("PRAGMA busy_timeout").fetchone()
        connection.info.setdefault(LIMITED, f"PRAGMA busy_timeout = {before}")
        driver.execute(f"PRAGMA busy_timeout = {milliseconds(timeout)}")
        return
    read, value = "SELECT @@SESSION.innodb_lock_wait_timeout", whole_seconds(timeout)
    write = "SET SESSION innodb_lock_wait_timeout = "
    before = session.execute(text(read)).scalar_one()
    connection.info.setdefault(LIMITED, f"{write}{before}")
    session.execute(text(f"{write}{value}"))


# Of every pool there is: see `advisory`.
@event.listens_for(Pool, "reset")
def _unlimit(connection: DBAPIConnection | None, record: ConnectionPoolEntry | None, _state: object) -> None:
    if record is not None and connection is not None and (statement := record.info.pop(LIMITED, None)):
        cursor = connection.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()


def _restore(session: Session, write: str, before: object) -> None:
    session.execute(text(f"{write}{before}" if isinstance(before, int) else f"{write}'{before}'"))

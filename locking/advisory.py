"""A lock on a name instead of a row, which ends with the transaction."""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from .classify import translating
from .engine import MYSQL, begin_write
from .errors import LockTimeout
from .pessimistic import lock_timeout

# In the pool's notes on a connection: it holds named locks.
HELD = "hotpath_advisory"
PREFIX = "hotpath:"


@contextmanager
def advisory(session: Session, name: str, timeout: float | None = None) -> Iterator[None]:
    """Hold the lock called `name` from here to the end of the transaction, also past the end of the block.

    `timeout`: seconds to wait, 0: not at all, None: the engine's. One name may be locked again by who holds it. On
    SQLite it is the database's one lock, whatever the name; on MySQL and MariaDB, in a transaction of a connection
    that the caller holds on to, it is held until that goes back to the pool. Raises LockTimeout, and what `translating`
    does.
    """
    with translating():
        kind = session.get_bind().dialect.name
        if kind == "sqlite":
            begin_write(session, timeout)
        elif kind in MYSQL:
            _of_mysql(session, name, timeout)
        elif timeout == 0:
            if not session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": number_of(name)}):
                raise LockTimeout(f"the lock {name!r} is taken")
        else:
            with lock_timeout(session, timeout):
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": number_of(name)})
    yield


def _of_mysql(session: Session, name: str, timeout: float | None) -> None:
    # GET_LOCK belongs to the connection and outlasts COMMIT, so it is given back where the pool takes the connection
    # back: behind the COMMIT or ROLLBACK, however that came about.
    connection = session.connection()
    connection.info[HELD] = True
    if isinstance(session.get_bind(), Connection) and HELD not in session.info:
        # The caller's own connection: the pool does not see it when the session's transaction ends.
        session.info[HELD] = True
        event.listen(session, "after_transaction_end", _release_of_caller)
    seconds = session.scalar(text("SELECT @@SESSION.innodb_lock_wait_timeout")) if timeout is None else timeout
    got = session.scalar(text("SELECT GET_LOCK(:name, :seconds)"), {"name": short(name), "seconds": seconds})
    if got != 1:
        raise LockTimeout(f"the lock {name!r} is taken")


def _release_of_caller(session: Session, transaction: SessionTransaction) -> None:
    connection = session.get_bind()
    assert isinstance(connection, Connection)
    # While the caller's own transaction goes on, others do not see yet what was written: then the pool releases it.
    if transaction.parent is None and not connection.in_transaction() and connection.info.pop(HELD, False):
        _release_all(connection.connection)


# Of every pool there is. Whether one has a listener cannot be asked: event.contains knows a pool by its id, which
# outlives a pool that was disposed, and the next one may stand in that place.
@event.listens_for(Pool, "reset")
def _release(connection: DBAPIConnection | None, record: ConnectionPoolEntry | None, _state: object) -> None:
    if record is not None and record.info.pop(HELD, False) and connection is not None:
        _release_all(connection)


def _release_all(connection: DBAPIConnection) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("DO RELEASE_ALL_LOCKS()")
    finally:
        cursor.close()


def short(name: str) -> str:
    """As MySQL takes it: at most 64 characters, whose case does not count there; the same for the same name only."""
    return PREFIX + hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def number_of(name: str) -> int:
    """As PostgreSQL takes it: signed, of 64 bits."""
    digest = hashlib.blake2b((PREFIX + name).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)

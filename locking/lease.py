"""A lease is a named lock that time takes back; its token, which only rises, shuts out a holder that came late.

The functions of this file work inside the caller's transaction, for those that check a lease and write in one; `lease`
and the methods of a Lease have transactions of their own.
"""
from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import BigInteger, Column, Engine, Insert, MetaData, Row, String, Table, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from .classify import translating
from .clock import now_us
from .engine import MYSQL
from .errors import LockingError, LockTimeout, LostLease, Unusable
from .pessimistic import locking_rows
from .tables import ensure_tables
from .work import Tx, run

T = TypeVar("T")

LENGTH = 255            # of a name and of an owner
# Of one that waits; half more or less, so that those that wait do not ask in step.
POLL_S = 0.05


def _word() -> TypeEngine[str]:
    # MySQL's own collation folds case and accents: `job-a` and `Job-A` would be one lease.
    return String(LENGTH).with_variant(mysql.VARCHAR(LENGTH, collation="utf8mb4_bin"), *MYSQL)


metadata = MetaData()

# A row is never deleted: the next holder's token is its token and one more.
leases = Table(
    "hotpath_leases", metadata,
    Column("name", _word(), primary_key=True),
    Column("owner", _word(), nullable=True),
    Column("token", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),      # microseconds since 1970 by the database's clock; 0: free
    Column("ttl", BigInteger, nullable=False),          # microseconds: what a renewal adds unless it is told otherwise
    mysql_engine="InnoDB", mysql_charset="utf8mb4")


class Held(LockTimeout):
    """Another has the lease: `owner`, until `expires` (seconds since 1970) unless it is renewed."""

    def __init__(self, name: str, owner: str | None, expires: float) -> None:
        """Keep all three, and say who it is."""
        super().__init__(f"{name}: held by {owner}")
        self.name = name
        self.owner = owner
        self.expires = expires

    def __reduce__(self) -> tuple[type[Held], tuple[str, str | None, float]]:
        """Pickle by the fields."""
        return type(self), (self.name, self.owner, self.expires)


class Lease:
    """What a holder has. As a context manager it is released at the end of the block."""

    __slots__ = ("_engine", "_released", "expires", "name", "owner", "token", "ttl")

    def __init__(self, engine: Engine, name: str, owner: str, token: int, *, expires: float, ttl: float) -> None:
        """`expires`: seconds since 1970 by the database's clock; `ttl`: seconds."""
        self._engine = engine
        self._released = False
        self.name = name
        self.owner = owner
        self.token = token
        self.expires = expires
        self.ttl = ttl

    def renew(self, ttl: float | None = None) -> None:
        """Hold it for `ttl` seconds from now, None: as long as at first. Raises LostLease.

        It waits for guarded units of work that run, as an acquirer does: those should be shorter than the lease.
        """
        renewed = _alone(self._engine, lambda session: renew(session, self.name, self.token, ttl=ttl))
        self.expires, self.ttl = renewed.expires, renewed.ttl

    def release(self) -> None:
        """Give it back before its time. Raises LostLease when it was not held any more."""
        self._released = True
        _alone(self._engine, lambda session: release(session, self.name, self.token))

    def fence(self, session: Session) -> None:
        """See the function of this name."""
        fence(session, self.name, self.token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._released:
            return
        try:
            self.release()
        except LockingError:
            # What went wrong in the block says more; and a lease that is not given back ends by itself.
            if error is None:
                raise

    def __repr__(self) -> str:
        return f"Lease({self.name!r}, {self.owner!r}, token={self.token}, expires={self.expires})"


def lease(engine: Engine, name: str, *, owner: str, ttl: float, wait: float = 0) -> Lease:
    """Hold `name` for `ttl` seconds, in all processes that share the database. Its table is made at the first use.

    While another holds it, or the same owner does, it is asked for again and again for `wait` seconds; then LockTimeout
    names the owner. A guarded unit of work that outlives its lease is waited for as the engine waits for locks. Raises
    ValueError for a name or an owner that is empty or longer than 255, Unusable, and what `run` does.
    """
    until_s = time.monotonic() + wait

    def take(session: Session) -> Lease:
        # First without a lock: who only asks shall not stand in the way of the holder.
        row = session.execute(select(leases, now_us(session).label("now")).filter_by(name=name)).one_or_none()
        held = Held(name, row.owner, row.expires / 1e6) if row is not None and row.expires else None
        if row is not None and held is not None and row.expires > row.now:
            raise held
        try:
            return acquire(session, name, owner=owner, ttl=ttl)
        except LockTimeout as error:
            if held is None or isinstance(error, Held):
                raise
            raise held from error

    made = False
    while True:
        try:
            return _alone(engine, take)
        except LockTimeout:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise
        except (DBAPIError, Unusable):
            # Once: whether it was the table that was missing cannot be asked afterwards, others are making it too.
            if made:
                raise
            ensure_tables(engine, metadata)
            made = True
            continue
        time.sleep(min(left_s, POLL_S * random.uniform(0.5, 1.5)))


def _alone(engine: Engine, work: Callable[[Session], T]) -> T:
    """In a transaction of its own, tried again by `run`; but not when a lock was waited for in vain."""
    def once(tx: Tx) -> T | LockTimeout:
        try:
            return work(tx.session)
        except LockTimeout as error:
            return error

    found = run(engine, once)
    if isinstance(found, LockTimeout):
        raise found
    return found


# ---- inside the caller's transaction; the table must be there: ensure_tables(engine, lease.metadata)

def acquire(session: Session, name: str, *, owner: str, ttl: float) -> Lease:
    """Hold `name` for `ttl` seconds once the transaction commits. Raises Held, ValueError, and what `translating` does.

    The row of the lease stays locked until then.
    """
    check_words(name=name, owner=owner)
    ttl_us = microseconds(ttl)
    _make_row(session, name)
    row, now = _locked(session, name)
    assert row is not None
    if row.expires > now:
        raise Held(name, row.owner, row.expires / 1e6)
    _set(session, name, owner=owner, token=row.token + 1, expires=now + ttl_us, ttl=ttl_us)
    return _lease(session, name, owner, row.token + 1, now + ttl_us, ttl_us)


def holder(session: Session, name: str) -> Lease | None:
    """Who holds it; that stays so, but for time, until the transaction ends: its row, made if need be, is locked."""
    check_words(name=name)
    _make_row(session, name)
    row, now = _locked(session, name)
    return None if row is None or row.expires <= now else _as_lease(session, row)


def holders(session: Session, names: Iterable[str]) -> dict[str, Lease]:
    """Those of `names` that are held, as one SELECT sees them; nothing is locked."""
    statement = select(leases).where(leases.c.name.in_(list(names)), leases.c.expires > now_us(session))
    with translating():
        return {row.name: _as_lease(session, row) for row in session.execute(statement)}


def fence(session: Session, name: str, token: int) -> None:
    """Let the transaction pass only if `token` is the newest and its time is not over. Raises LostLease.

    Call it first in each transaction that the lease guards: what is read behind it cannot be of a later holder, and
    nobody acquires the lease before this transaction ends, however long it takes.
    """
    row, now = _locked(session, name, share=True)
    _check_token(row, now, name, token)


def renew(session: Session, name: str, token: int, *, ttl: float | None = None) -> Lease:
    """Hold it for `ttl` seconds from now, None: as before. Raises LostLease, ValueError."""
    row, now = _locked(session, name)
    row = _check_token(row, now, name, token)
    ttl_us = row.ttl if ttl is None else microseconds(ttl)
    _set(session, name, expires=now + ttl_us, ttl=ttl_us)
    return _lease(session, name, row.owner, token, now + ttl_us, ttl_us)


def release(session: Session, name: str, token: int) -> None:
    """Free it for the next. Raises LostLease."""
    row, now = _locked(session, name)
    _check_token(row, now, name, token)
    _set(session, name, owner=None, expires=0)


def revoke(session: Session, name: str) -> None:
    """Free it, whoever holds it: what it guards is gone. The next token rises all the same."""
    _set(session, name, owner=None, expires=0)


def _make_row(session: Session, name: str) -> None:
    """Behind it there is a row, so there is something to lock; a FOR UPDATE that finds none locks a gap in InnoDB, and
    two that hold the gap cannot both insert."""
    kind = session.get_bind().dialect.name
    values = {"name": name, "owner": None, "token": 0, "expires": 0, "ttl": 0}
    statement: Insert
    if kind in MYSQL:
        # Not INSERT IGNORE: of a row that is there it takes a shared lock, and two that have one cannot both write.
        statement = mysql.insert(leases).values(values).on_duplicate_key_update(name=name)
    elif kind == "sqlite":
        statement = sqlite.insert(leases).values(values).on_conflict_do_nothing()
    else:
        statement = postgresql.insert(leases).values(values).on_conflict_do_nothing()
    with translating():
        session.execute(statement)


def _locked(session: Session, name: str, *, share: bool = False) -> tuple[Row[Any] | None, int]:
    """The row, locked, and the time behind the wait for the lock."""
    found = locking_rows(session, select(leases).where(leases.c.name == name), share=share)
    assert found is not None
    row = found.one_or_none()
    with translating():
        return row, session.execute(select(now_us(session))).scalar_one()


def _set(session: Session, name: str, **values: str | int | None) -> None:
    with translating():
        session.execute(update(leases).where(leases.c.name == name).values(values))


def _check_token(row: Row[Any] | None, now: int, name: str, token: int) -> Row[Any]:
    if row is None or row.token != token or row.expires <= now:
        raise LostLease(name, token)
    return row


def _as_lease(session: Session, row: Row[Any]) -> Lease:
    return _lease(session, row.name, row.owner, row.token, row.expires, row.ttl)


def _lease(session: Session, name: str, owner: str, token: int, expires: int, ttl: int) -> Lease:
    return Lease(session.get_bind().engine, name, owner, token, expires=expires / 1e6, ttl=ttl / 1e6)


def microseconds(ttl: float) -> int:
    """Of a ttl in seconds. Raises ValueError."""
    # A century keeps the sum within a BIGINT.
    if not 0 < ttl <= 100 * 366 * 86400:
        raise ValueError(f"ttl {ttl}: allowed above 0, in seconds, to a century")
    return max(1, round(ttl * 1e6))


def check_words(**words: str) -> None:
    """Names and owners. Raises ValueError."""
    for what, word in words.items():
        if not 0 < len(word) <= LENGTH:
            raise ValueError(f"{what} of {len(word)} characters: allowed 1 to {LENGTH}")
        # MySQL and MariaDB compare without them, and would take two names for one.
        if what == "name" and word.endswith(" "):
            raise ValueError(f"{what} {word!r}: allowed without blanks at its end")

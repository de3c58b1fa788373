"""Runs a unit of work in a transaction, and again in a new one when another was faster."""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from .classify import STALE, classify, translated
from .errors import Conflict, Disconnected, Missing, Retriable
from .models import Versioned, mapper_of
from .pessimistic import limit_waits, locked
from .policies import Optimistic, Policy
from .stats import Stats

T = TypeVar("T")
Row = TypeVar("Row")

OPTIMISTIC = Optimistic()
# What calling an async function or a generator gives.
NOT_BEGUN = (CoroutineType, GeneratorType, AsyncGeneratorType)


class Tx:
    """One attempt, as the work sees it."""

    __slots__ = ("_free", "_locked", "_locks_all", "_policy", "_unguarded", "_until_s", "attempt", "session")

    def __init__(self, session: Session, attempt: int, policy: Policy, until_s: float | None) -> None:
        """`until_s`: no lock is waited for beyond this moment of time.monotonic()."""
        self.session = session
        self.attempt = attempt              # from 1
        self._policy = policy
        self._until_s = until_s
        self._locks_all = self._locked = policy.locks(attempt)
        # Rows that were loaded without a lock. We hold them: the session forgets what nobody holds, and would read
        # it anew, in another version than the one that was looked at.
        self._free: dict[tuple[type, Hashable], object] = {}
        self._unguarded: list[object] = []  # of these, the ones without a version

    @property
    def locking(self) -> bool:
        """Whether this attempt locks: all that it loads, or, under Adaptive, something that it has loaded."""
        return self._locked

    def load(self, model: type[Row], key: Hashable) -> Row:
        """The row with this key: locked and as it is committed now if this attempt locks, else as read. Missing."""
        name = (model, key)
        # What was read without a lock stays so: a lock would show it as it is now, and what was made of it would pass.
        if name not in self._free and (self._locks_all or self._policy.locks_row(name)):
            self._locked = True
            return locked(self.session, model, [key], timeout=self._left_s())[0]
        row = self.session.get(model, key)
        if row is None:
            raise Missing(model, key)
        self._free[name] = row
        if not isinstance(row, Versioned) and mapper_of(model).version_id_col is None:
            if not self._unguarded:
                event.listen(self.session, "before_flush", self._check)
            self._unguarded.append(row)
        return row

    def _left_s(self) -> float | None:
        """Seconds to the deadline; None: there is none."""
        return None if self._until_s is None else max(0.0, self._until_s - time.monotonic())

    def _check(self, _session: Session, _context: object, _rows: object) -> None:
        """Raises TypeError: what is about to be written would overwrite others' changes unseen."""
        for row in self._unguarded:
            if row in self.session.deleted or self.session.is_modified(row):
                raise TypeError(f"{type(row).__name__} was loaded without a lock and has no version, so a change of it "
                                "may undo another's: inherit Versioned, or use Pessimistic")


def run(where: Engine | sessionmaker[Session], fn: Callable[[Tx], T], policy: Policy = OPTIMISTIC, *,
        stats: Stats | None = None, deadline: float | None = None) -> T:
    """Call `fn(tx)`, commit, and return what it returned; again, in a new transaction, after a Retriable error.

    `deadline`: seconds, after which no further attempt begins; no lock is waited for longer than was left of them when
    the attempt began. When attempts or time are up the last error is raised, with `.attempts`. An error of `fn` itself
    rolls back and is raised at once. A connection lost at COMMIT is Disconnected with `.unknown`, and not tried again:
    the work may stand. Rows of an Engine's session stay readable afterwards. `fn` may be called several times: what it
    does beside the session, it does so often.
    """
    if isinstance(policy, type | str):
        raise TypeError(f"policy {policy!r}: an object is needed, as Optimistic()")
    if deadline is not None and not 0 <= deadline < math.inf:       # nan is not, either
        raise ValueError(f"deadline {deadline}: allowed from 0, in seconds, or None")
    if on_sqlite(where):
        policy = policy.on_one_lock()
    until_s = None if deadline is None else time.monotonic() + deadline
    attempt = 1
    while True:
        try:
            return _attempt(where, fn, policy, stats, attempt, until_s)
        except Retriable as error:
            # Whoever will lock now need not wait before it: the lock puts them in a line.
            will_lock = policy.locks(attempt + 1) and not policy.locks(attempt)
            wait_s = 0.0 if will_lock else policy.wait_s(attempt)
            is_last = attempt >= policy.attempts or (isinstance(error, Disconnected) and error.unknown)
            if is_last or (until_s is not None and time.monotonic() + wait_s >= until_s):
                error.attempts = attempt
                raise
        # Behind the close: nobody waits for what we hold while we wait.
        if wait_s:
            time.sleep(wait_s)
            if stats is not None:
                stats.waited(wait_s)
        attempt += 1


def on_sqlite(where: Engine | sessionmaker[Session]) -> bool:
    """Whether the sessions go there, as far as can be told without opening one."""
    bind = where if isinstance(where, Engine) else where.kw.get("bind")
    return bind is not None and bind.dialect.name == "sqlite"


def _attempt(where: Engine | sessionmaker[Session], fn: Callable[[Tx], T], policy: Policy, stats: Stats | None,
             attempt: int, until_s: float | None) -> T:
    """One. Raises Retriable for what another may mend."""
    session = Session(where, expire_on_commit=False) if isinstance(where, Engine) else where()
    tx = Tx(session, attempt, policy, until_s)
    began_s = time.perf_counter()
    committing = False
    try:
        ours_only = session.begin()
        if until_s is not None:
            limit_waits(session, tx._left_s() or 0.0)
        value = fn(tx)
        if type(value) in NOT_BEGUN:
            if isinstance(value, CoroutineType):
                value.close()       # else Python warns that nobody awaited it
            raise TypeError(f"the work returned a {type(value).__name__}: nothing of it was done")
        if session.get_transaction() is not ours_only:
            raise TypeError("the work ended its transaction by itself: to commit is run's, to give up is to raise")
        # By itself: what fails here was surely not committed.
        session.flush()
        committing = True
        session.commit()
    except BaseException as error:
        kind = classify(error)
        if kind is not None and issubclass(kind, Disconnected):
            # SQLAlchemy does not know all the ways in which a connection ends.
            session.invalidate()
        else:
            # Not left to close(): if its ROLLBACK failed it would not give the connection back, and behind a COMMIT
            # that failed it sends none.
            with suppress(Exception):
                session.rollback()
        if stats is not None:
            stats.failed(kind, time.perf_counter() - began_s, locked=tx._locked)
        if kind is None:
            if (ours := translated(error)) is error:
                raise
            raise ours from error
        if issubclass(kind, Conflict):
            for row in tx._free:
                policy.conflicted(row)
        ours = translated(error)
        if isinstance(ours, Conflict) and ours.key is None and len(tx._free) == 1:
            ((model, key),) = tx._free          # SQLAlchemy says of which table, but not which row it was
            table = STALE.search(f"{error} {error.__cause__}")
            if table and table[1] in {getattr(one, "name", None) for one in mapper_of(model).tables}:
                ours.key = key
        if isinstance(ours, Disconnected):
            ours.unknown = committing
        if ours is error:
            raise
        raise ours from error
    finally:
        session.close()
    for row in tx._free:
        policy.passed(row)
    if stats is not None:
        stats.committed(locked=tx._locked)
    return value

"""Counters over HTTP: the same increment under every policy."""
from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from sqlalchemy import CursorResult, insert, select, update
from sqlalchemy.exc import IntegrityError

from hotpath.core.serve import Request, RequestError, Response, Router
from hotpath.locking.adaptive import Adaptive
from hotpath.locking.errors import Missing
from hotpath.locking.policies import Escalating, Optimistic, Pessimistic, Policy
from hotpath.locking.work import Tx

from .counts import POLICIES
from .database import READING, Database
from .problems import answered
from .tables import COUNTERS, MAX_COUNTER, Counter

NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_COUNTER}}}")

Increment = Callable[[Tx, str], int]


class Counters:
    """The handlers of `/counters`; made in each worker, which learns by itself what conflicts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ways: dict[str, tuple[Increment, Policy]] = {
            "naive": (unguarded, Optimistic()),
            "optimistic": (versioned, Optimistic()),
            "pessimistic": (versioned, Pessimistic()),
            "escalating": (versioned, Escalating()),
            "adaptive": (versioned, Adaptive()),
            "atomic": (in_one_statement, Optimistic()),
        }

    def routes(self, app: Router) -> None:
        """Add them."""
        app.add("GET", "/counters/{id}", answered(self.get))
        app.add("POST", "/counters/{id}/increment", answered(self.increment))

    def get(self, request: Request, id: str) -> Response:
        """200: one that nobody incremented is 0."""
        value, attempts = self._database.work(partial(read, id=checked(id)), READING, name=("counters", "optimistic"))
        return told(value, attempts)

    def increment(self, request: Request, id: str) -> Response:
        """200; 422: no such policy."""
        checked(id)
        policy = request.query.get("policy")
        if policy not in self._ways:
            said = "no policy is given" if policy is None else f"policy {policy!r} is not allowed"
            raise RequestError(f"{said}; allowed: ?policy= and one of {', '.join(POLICIES)}", 422)
        try:
            return self._increment(id, policy)
        except Missing:
            # In a transaction of its own: what a policy reads is there before it begins.
            with suppress(IntegrityError):      # somebody else was faster, and it is there
                self._database.work(partial(bear, id=id), Optimistic(), name=("counters", policy))
            return self._increment(id, policy)

    def _increment(self, id: str, policy: str) -> Response:
        way, how = self._ways[policy]
        value, attempts = self._database.work(lambda tx: (way(tx, id), tx.attempt), how, name=("counters", policy))
        return told(value, attempts)


def read(tx: Tx, *, id: str) -> tuple[int, int]:
    """The counter's value, and in which attempt."""
    return tx.session.scalar(select(COUNTERS.c.value).where(COUNTERS.c.id == id)) or 0, tx.attempt


def bear(tx: Tx, *, id: str) -> None:
    """Make its row. IntegrityError: it has one."""
    tx.session.execute(insert(Counter).values(id=id, value=0, version=1))


def versioned(tx: Tx, id: str) -> int:
    """Read, add, write; what was read must still be so."""
    row = tx.load(Counter, id)
    row.value += 1
    return row.value


def unguarded(tx: Tx, id: str) -> int:
    """Read, add, write; whoever wrote in between is undone."""
    value = tx.session.scalar(select(COUNTERS.c.value).where(COUNTERS.c.id == id))
    if value is None:
        raise Missing(Counter, id)
    tx.session.execute(update(COUNTERS).where(COUNTERS.c.id == id).values(value=value + 1))
    return int(value) + 1


def in_one_statement(tx: Tx, id: str) -> int:
    """The database adds."""
    done = tx.session.execute(update(COUNTERS).where(COUNTERS.c.id == id).values(
        value=COUNTERS.c.value + 1, version=COUNTERS.c.version + 1))
    if not cast("CursorResult[Any]", done).rowcount:
        raise Missing(Counter, id)
    return int(tx.session.scalars(select(COUNTERS.c.value).where(COUNTERS.c.id == id)).one())


def checked(id: str) -> str:
    """The name itself. RequestError 422."""
    if NAME.fullmatch(id) is None:
        raise RequestError(f"counter {id[:80]!r} is not allowed; allowed: 1 to {MAX_COUNTER} of A-Z a-z 0-9 . _ -", 422)
    return id


def told(value: int, attempts: int) -> Response:
    """200."""
    return Response.json({"value": value, "attempts": attempts})

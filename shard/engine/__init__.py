"""Talking to one shard: statements, sessions, and what stands behind them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol, TypeVar

from hotpath.shard.endpoint import Endpoint

from .statement import Statement

__all__ = ["Dialect", "PoolStats", "Session", "Shard", "Statement", "Value", "Values"]

T = TypeVar("T")

Dialect = Literal["mysql", "sqlite"]

# What statements take and give. A datetime is naive, and UTC.
Value = int | float | str | bytes | Decimal | datetime | None
Values = Sequence[Value]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The connections of one shard, in this process."""

    size: int           # open, in use or not
    in_use: int
    waiting: int        # threads that wait for one
    max: int
    up: bool            # False: it could not be reached when it was last tried
    error: str | None = None


class Session(Protocol):
    """A connection in hand: of one thread, until whoever lent it takes it back."""

    def rows(self, statement: Statement, values: Values = ()) -> list[tuple[Value, ...]]:
        """All rows that `statement` answers."""
        ...

    def run(self, statement: Statement, values: Values = ()) -> int:
        """How many rows `statement` matched: found, whether or not they changed."""
        ...


class Shard(Protocol):
    """One database as the store sees it. Any thread may use it; a forked child makes connections of its own.

    Every method raises ShardUnavailable; nothing was applied unless it is an UncertainOutcome. What a statement is
    refused for is in `engine.errors`.
    """

    @property
    def name(self) -> str:
        """Of the shard."""
        ...

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""
        ...

    def rows(self, statement: Statement, values: Values = ()) -> list[tuple[Value, ...]]:
        """The rows of one statement that reads."""
        ...

    def run(self, statement: Statement, values: Values = ()) -> int:
        """One statement that changes, durable when this returns; how many rows it matched."""
        ...

    def reading(self) -> AbstractContextManager[Session]:
        """A connection for several statements that read, each of which sees its own moment."""
        ...

    def snapshot(self) -> AbstractContextManager[Session]:
        """A connection on which all statements that read see the same moment."""
        ...

    def write(self, work: Callable[[Session], T], *, wait_s: float | None = None) -> T:
        """`work` in one transaction, durable when this returns; what `work` raises undoes it.

        A deadlock, or a lock that is not had in time, undoes it too, and `work` runs again until `wait_s` (default:
        as long as a connection is waited for) is over: PoolTimeout.
        """
        ...

    def stats(self) -> PoolStats:
        """Its connections now."""
        ...

    def close(self) -> None:
        """Close the connections that nobody has in hand, and each of the others when it comes back."""
        ...

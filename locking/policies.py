"""When does a unit of work lock what it reads, how often is it tried, and how long does it wait in between?"""
from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol


class Policy(Protocol):
    """What `run` asks."""

    @property
    def attempts(self) -> int:
        """At most so many."""
        ...

    def locks(self, attempt: int) -> bool:
        """Whether attempt `attempt`, from 1, locks whatever it loads."""
        ...

    def locks_row(self, row: tuple[type, Hashable]) -> bool:
        """Whether this row, a model and a key, is locked although the attempt does not lock all."""
        ...

    def conflicted(self, row: tuple[type, Hashable]) -> None:
        """An attempt that loaded the row without a lock met a Conflict."""
        ...

    def passed(self, row: tuple[type, Hashable]) -> None:
        """An attempt that loaded the row without a lock was committed."""
        ...

    def on_one_lock(self) -> Policy:
        """The policy to go by where there is one lock for all rows, as in SQLite."""
        ...

    def wait_s(self, attempt: int) -> float:
        """Seconds from the failure of attempt `attempt` to the next."""
        ...


@dataclass(frozen=True, slots=True)
class _Steady:
    """Back-off, and no memory."""

    attempts: int = 10
    base: float = 0.005
    cap: float = 0.5

    def __post_init__(self) -> None:
        check(self.attempts, self.base, self.cap)

    def locks(self, attempt: int) -> bool:
        """See Policy."""
        return False

    def locks_row(self, row: tuple[type, Hashable]) -> bool:
        """See Policy."""
        return False

    def conflicted(self, row: tuple[type, Hashable]) -> None:
        """See Policy."""

    def passed(self, row: tuple[type, Hashable]) -> None:
        """See Policy."""

    def on_one_lock(self) -> Policy:
        """The same."""
        return self

    def wait_s(self, attempt: int) -> float:
        """See Policy."""
        return backoff_s(attempt, base_s=self.base, cap_s=self.cap)


class Optimistic(_Steady):
    """Read without locks; if somebody was faster, begin anew. Good where conflicts are few, or users think."""

    __slots__ = ()


class Pessimistic(_Steady):
    """Lock what is read. Good where conflicts are many and the work is short."""

    __slots__ = ()

    def locks(self, attempt: int) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class Escalating(_Steady):
    """Optimistic for the first `after` attempts, then locked: who was overtaken so often gets its turn."""

    after: int = 2

    def __init__(self, after: int = 2, attempts: int = 10, base: float = 0.005, cap: float = 0.5) -> None:
        check(attempts, base, cap)
        if after < 0:
            raise ValueError(f"after {after}: allowed from 0")
        for name, value in (("after", after), ("attempts", attempts), ("base", base), ("cap", cap)):
            object.__setattr__(self, name, value)

    def locks(self, attempt: int) -> bool:
        """From attempt `after` + 1."""
        return attempt > self.after


def backoff_s(attempt: int, *, base_s: float, cap_s: float) -> float:
    """Seconds to wait behind the failure of `attempt` (from 1): uniform in [0, min(cap_s, base_s * 2**attempt)].

    Full jitter: Brooker, "Exponential Backoff And Jitter", AWS 2015. Without it, those that met meet again.
    """
    return random.uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, 64)))


def check(attempts: int, base: float, cap: float) -> None:
    """Raises ValueError."""
    if attempts < 1:
        raise ValueError(f"attempts {attempts}: allowed from 1")
    if not 0 <= base <= cap:
        raise ValueError(f"base {base} and cap {cap}: allowed 0 <= base <= cap, in seconds")

"""Which rows are contended just now? Learnt from conflicts and forgotten again, in bounded memory."""
from __future__ import annotations

from collections.abc import Hashable

from .policies import Escalating, Policy, backoff_s, check


class Adaptive:
    """Locks only what lately conflicted; one object is shared by all that work on one database and learn together.

    A conflict on a row locks it for the next FIRST loads; then it is read without. If it soon conflicts again, it is
    locked for twice as many, up to MOST; FORGET successes without a lock, and it is as before. Conflicts of rows that
    had none lately count for their table too, and when a second row had one, all of it is locked for as long: where
    many rows are contended a little, none of them is seen often enough. An attempt behind a conflict locks all.

    On SQLite a lock stops everybody, whatever the row, and there was no measurement in which it paid: there only the
    last attempt is locked.

    Rows and tables share `slots` places by their hash, so the memory is bounded.
    """

    FORGET = 4
    HIT = FORGET + 1        # a conflict adds it to a score, and a row is locked at it; a success takes 1 away
    TABLE = 2 * HIT - 1     # two, with a success between them at most; so a hot row alone does not lock the others
    FIRST = 16
    MOST = 1024

    def __init__(self, attempts: int = 10, base: float = 0.005, cap: float = 0.5, *, slots: int = 4096) -> None:
        check(attempts, base, cap)
        if slots < 1:
            raise ValueError(f"slots {slots}: allowed from 1")
        self.attempts = attempts
        self.base = base
        self.cap = cap
        # Threads may lose each other's steps here; all of it is a hint, and nothing depends on its exact value.
        self._scores = [0] * slots
        self._grants = [0] * slots
        self._left = [0] * slots

    def locks(self, attempt: int) -> bool:
        """See Policy."""
        return attempt > 1

    def locks_row(self, row: tuple[type, Hashable]) -> bool:
        """See Policy."""
        return self._spend(hash(row)) or self._spend(hash(row[0]))

    def conflicted(self, row: tuple[type, Hashable]) -> None:
        """See Policy."""
        if self._charge(hash(row), self.HIT) == self.HIT:
            self._charge(hash(row[0]), self.TABLE)

    def passed(self, row: tuple[type, Hashable]) -> None:
        """See Policy."""
        for number in (hash(row), hash(row[0])):
            slot = number % len(self._scores)
            if self._scores[slot] > 1:
                self._scores[slot] -= 1
            else:
                self._scores[slot] = self._grants[slot] = 0

    def on_one_lock(self) -> Policy:
        """See Policy."""
        return Escalating(self.attempts - 1, self.attempts, self.base, self.cap)

    def wait_s(self, attempt: int) -> float:
        """See Policy."""
        return backoff_s(attempt, base_s=self.base, cap_s=self.cap)

    def _spend(self, number: int) -> bool:
        """One load of its grant, if there is one."""
        slot = number % len(self._left)
        left = self._left[slot]
        if left > 0:
            self._left[slot] = left - 1
        return left > 0

    def _charge(self, number: int, limit: int) -> int:
        """Its score with one conflict more; at `limit` there is a grant, and one conflict soon behind it is enough."""
        slot = number % len(self._scores)
        self._scores[slot] = score = self._scores[slot] + self.HIT
        if score >= limit:
            self._scores[slot] = limit - 1
            self._grants[slot] = self._left[slot] = min(max(2 * self._grants[slot], self.FIRST), self.MOST)
        return score

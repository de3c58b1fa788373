"""How often may one user do that? A rate, and twice as many at once."""
from __future__ import annotations

import math

from hotpath.core.config import Rate
from hotpath.core.data.shared import RateLimiter
from hotpath.core.errors import HotpathError

# Keys remembered at a time, 16 bytes each: beyond it the ones closest to forgotten go first.
SLOTS = 65536
BURST = 2


class TooOften(HotpathError):
    """The client: wait `retry_after_s`, then try again."""

    def __init__(self, what: str, retry_after_s: float) -> None:
        """`what` it did too often."""
        super().__init__(f"too many {what}; wait {max(1, math.ceil(retry_after_s))} s")
        self.retry_after_s = retry_after_s


class Limit:
    """One rate, kept for each key by itself (GCRA: a token bucket without a timer). Of this process alone."""

    def __init__(self, what: str, rate: Rate, *, slots: int = SLOTS) -> None:
        """`what` is done, for the error: "messages"."""
        self._what = what
        self._per_second = rate.count / rate.per_s
        self._more_than_one = BURST * rate.count - 1
        self._cells = RateLimiter(slots)

    def take(self, key: str, *, now_us: int | None = None) -> None:
        """Count one. Raises TooOften, and then nothing was counted."""
        allowed, _, retry_after_s, _ = self._cells.take(key, self._per_second, self._more_than_one, now_us=now_us)
        if not allowed:
            raise TooOften(self._what, retry_after_s)

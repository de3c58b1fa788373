"""How fast rows may be moved: a bucket of tokens, chunks of a steady length, and half the rate while others suffer."""
from __future__ import annotations

import time
from collections.abc import Callable

# A chunk holds its locks for about this long: short enough that a writer who meets it is not missed by anybody.
CHUNK_S = 0.05
FIRST_CHUNK = 100
# What may be taken at once after a rest, in seconds of the rate: a late timer must not cost rows.
BURST_S = 0.25
# The foreground is looked at so often, and the rate is never pressed below this part of what is allowed.
LOOK_S = 1.0
LEAST = 1 / 64
# Where nothing is allowed in numbers, what is pressed is the fastest second so far, and no less than so many rows.
SLOWEST = 1000.0
# Back up more slowly than down: a rate that swings makes everybody's p99 swing with it.
RECOVERY = 1.25
# Below this a p99 is noise, whatever it was before.
QUIET_S = 0.005

Clock = Callable[[], float]


class Throttle:
    """One mover's: `pause_s` before a chunk, `moved` after it, `size` for the next one."""

    def __init__(self, rate: float, chunk: int, *, latency: float = 1.5, before_s: float | None = None,
                 p99: Callable[[], float | None] | None = None, clock: Clock = time.monotonic) -> None:
        """`rate`: rows per second, 0: no cap. `before_s`: the foreground's p99 before the move; `p99`: it now."""
        self.rate = rate
        self._chunk = chunk
        self._latency = latency
        self._before_s = before_s
        self._p99 = p99
        self._clock = clock
        self._share = 1.0                   # of what is allowed: less while the foreground suffers
        self._size = float(min(FIRST_CHUNK, chunk))
        self._tokens = 0.0
        self._filled_s = self._looked_s = self._seen_s = clock()
        self._recent = 0                    # rows since `_seen_s`
        self._now = self._fastest = 0.0

    @property
    def size(self) -> int:
        """Rows that the next chunk may have."""
        return max(1, int(self._size))

    @property
    def now(self) -> float:
        """Rows per second lately."""
        self._measure()
        return self._now

    @property
    def cap(self) -> float:
        """Rows per second that are allowed now; 0: no cap."""
        if self._share == 1.0:
            return self.rate
        return (self.rate or max(self._fastest, SLOWEST)) * self._share

    def pause_s(self) -> float:
        """Seconds to wait before the next chunk."""
        self._look()
        cap = self.cap
        now = self._clock()
        if not cap:
            self._filled_s = now
            self._tokens = 0.0
            return 0.0
        self._tokens = min(self._tokens + (now - self._filled_s) * cap, cap * BURST_S)
        self._filled_s = now
        return max(0.0, -self._tokens / cap)

    def ease_s(self, took_s: float) -> float:
        """Seconds to rest after a look at the shards that took `took_s`: none, unless the foreground suffers."""
        self._look()
        return took_s * (1 / self._share - 1)

    def moved(self, rows: int, took_s: float) -> None:
        """A chunk of `rows` was moved in `took_s`."""
        self._tokens -= rows
        self._recent += rows
        if rows:
            aim = rows * CHUNK_S / max(took_s, 1e-4)
            # Halfway to it: one slow commit says little.
            self._size = min(float(self._chunk), max(1.0, (self._size + aim) / 2))
        self._measure()

    def _measure(self) -> None:
        now = self._clock()
        if now - self._seen_s >= LOOK_S:
            self._now = self._recent / (now - self._seen_s)
            self._fastest = max(self._fastest, self._now)
            self._recent, self._seen_s = 0, now

    def _look(self) -> None:
        now = self._clock()
        if self._p99 is None or not self._before_s or now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        self._measure()
        p99_s = self._p99()
        if p99_s is not None and p99_s > max(self._latency * self._before_s, QUIET_S):
            self._share = max(LEAST, self._share / 2)
        else:
            self._share = min(1.0, self._share * RECOVERY)

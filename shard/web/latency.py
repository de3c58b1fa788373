"""How long requests take lately: what tells a mover that it is in their way."""
from __future__ import annotations

from collections import deque
from time import monotonic

# Of the newest operations, so many, if they are not older than this.
SAMPLES = 4096
LATELY_S = 3.0
# Fewer say nothing about one in a hundred.
ENOUGH = 100


class Latency:
    """Of one process; any thread may use it."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)   # (when, how long), in seconds

    def took(self, seconds: float) -> None:
        """One operation."""
        self._samples.append((monotonic(), seconds))

    def p99(self) -> float | None:
        """Seconds in which 99 of 100 were done; None: too few to tell."""
        since_s = monotonic() - LATELY_S
        # `list` is one step of the interpreter: other threads add samples meanwhile.
        lately = sorted(seconds for when_s, seconds in list(self._samples) if when_s >= since_s)
        return lately[len(lately) * 99 // 100] if len(lately) >= ENOUGH else None

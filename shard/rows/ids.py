"""Ids that rise with time and need nobody's leave: 41 bits of milliseconds, 10 of a node, 12 of a counter."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

NODES: Final = 1024
PER_MS: Final = 4096

# 2020-01-01: 41 bits last until 2089.
EPOCH_MS: Final = 1_577_836_800_000


def clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Ids:
    """The ids of one node: each larger than those before it, also when the clock jumps back or more are wanted than
    a millisecond has: then they run ahead of it.

    Any thread may ask. A forked child must not go on with its parent's: it would give the same ids.
    """

    def __init__(self, node: int, *, behind: Ids | None = None, clock_ms: Callable[[], int] = clock_ms) -> None:
        """`node`: what no other process that makes ids has; its last 10 bits are taken. They rise behind `behind`'s."""
        self._node = (node % NODES) * PER_MS
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        # Milliseconds, and the counter in the last 12 bits. Another node's number may be smaller, so that only in the
        # next millisecond every id is larger.
        self._last: int = 0 if behind is None else behind._last | (PER_MS - 1)

    def next(self) -> int:
        """The next one."""
        with self._lock:
            self._last = place = max(self._last + 1, (self._clock_ms() - EPOCH_MS) * PER_MS)
        return (place // PER_MS) * NODES * PER_MS + self._node + place % PER_MS

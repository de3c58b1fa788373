"""What changed since a cursor? The last committed cells in order, for whoever watches.

A cursor is `RUN-COUNT`: which run of this process, and how many cells it had published. Another run's cursor says
nothing here, for what is replayed at a start is not published again.
"""
from __future__ import annotations

import re
import secrets
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event

_CURSOR = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")

# Cells are kept whole, so `keep` alone would be no bound: on average a change may be this large.
MEAN_BYTES = 1024


class Gone(Exception):
    """A cursor that is too old, or not of this run."""


class Changes:
    """A bounded tail of the committed cells, encoded. Published from any thread, awaited by tasks of one loop."""

    def __init__(self, keep: int, *, run: str | None = None) -> None:
        """Keep `keep` cells, and as many KiB. `open` must follow."""
        self.run = run or secrets.token_hex(4)
        self.closed = False                     # a drain began: nobody waits any more
        self._keep = keep
        self._max_bytes = keep * MEAN_BYTES
        self._lock = threading.Lock()
        self._cells: deque[bytes] = deque()
        self._bytes = 0
        self._count = 0                         # published so far
        self._news = Event()
        self._awaited = False                   # somebody waits, or is about to

    def open(self, loop: Loop) -> None:
        """Those who wait are tasks of `loop`."""
        self._loop = loop

    @property
    def now(self) -> str:
        """The cursor of whoever has seen all."""
        return f"{self.run}-{self._count}"

    def publish(self, cells: Sequence[bytes]) -> None:
        """Committed cells, in order."""
        with self._lock:
            self._cells.extend(cells)
            self._count += len(cells)
            self._bytes += sum(map(len, cells))
            # The newest stays, however large: whoever waits for it would else be told that it is gone.
            while len(self._cells) > self._keep or (self._bytes > self._max_bytes and len(self._cells) > 1):
                self._bytes -= len(self._cells.popleft())
        if self._awaited and not self._loop.closed:
            self._loop.call_soon_threadsafe(self._wake)

    def since(self, cursor: str, limit: int, max_bytes: int) -> tuple[list[bytes], str]:
        """At most `limit` cells behind `cursor`, up to the one that reaches `max_bytes`, and where they end. Gone."""
        match = _CURSOR.fullmatch(cursor)
        if match is None or match[1] != self.run:
            raise Gone
        seen = int(match[2])
        with self._lock:
            start = seen - (self._count - len(self._cells))
            if start < 0 or seen > self._count:
                raise Gone
            cells = []
            for cell in self._from(start, limit):
                cells.append(cell)
                max_bytes -= len(cell)
                if max_bytes <= 0:
                    break
        return cells, f"{self.run}-{seen + len(cells)}"

    def _from(self, start: int, limit: int) -> Iterable[bytes]:
        # A deque is walked from an end; watchers are near the newest one.
        n = len(self._cells)
        if start < n // 2:
            return islice(self._cells, start, start + limit)
        return reversed(list(islice(reversed(self._cells), max(0, n - start - limit), n - start)))

    def await_news(self, cursor: str) -> None:
        """In a task: return once something was published behind `cursor`, or a drain began. Bound it by a timeout."""
        # The mark is set before we look: whoever publishes behind our look sees it.
        self._awaited = True
        if cursor == self.now and not self.closed:
            self._news.wait()

    def close(self) -> None:
        """In the loop: let everybody go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._awaited = False
        news, self._news = self._news, Event()
        news.set()

"""Nothing older than the promise will ever enter here: how can a replica know, with clients' merges under way?

A client's merge is judged by the promise that holds when it begins. Raising the promise takes four steps: the clock is
raised, so that every later stamp of ours is above it; later merges are judged by the new one; those that were judged
by the old one are waited for; and the table's grace period, so are writes whose stamp was taken before. Then it may be
said.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Table(Protocol):
    """What it asks of the table."""

    def observe(self, hlc: int) -> None:
        """Every later stamp is above `hlc`."""
        ...

    def synchronize(self) -> None:
        """Wait until each operation that is under way has ended."""
        ...


class Promise:
    """The bar for what clients merge, and its raising."""

    def __init__(self, table: Table, bar: int = 0) -> None:
        """`bar`: what was promised before, perhaps by an earlier start whose clock was ahead of ours."""
        table.observe(bar)
        self._table = table
        self._bar = bar
        self._era = 0
        self._inside = {0: 0}       # merges under way, by the era they were judged in
        self._changed = threading.Condition()
        self._raising = threading.Lock()
        self._closed = False

    @contextmanager
    def entering(self) -> Iterator[int]:
        """Around a client's merge: at and below this hlc nothing may enter."""
        with self._changed:
            era, bar = self._era, self._bar
            self._inside[era] += 1
        try:
            yield bar
        finally:
            with self._changed:
                self._inside[era] -= 1
                self._changed.notify_all()

    def raise_to(self, hlc: int, say: Callable[[int], None]) -> None:
        """Raise it and then `say(hlc)`. In a plain thread: it waits for merges."""
        with self._raising:
            if hlc <= self._bar:
                return
            self._table.observe(hlc)
            with self._changed:
                self._bar = hlc
                before = self._era
                self._era += 1
                self._inside[self._era] = 0
                while self._inside[before]:
                    if self._closed:
                        return
                    self._changed.wait()
                del self._inside[before]
            self._table.synchronize()
            say(hlc)

    def close(self) -> None:
        """Whoever waits in `raise_to` gives up, and says nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

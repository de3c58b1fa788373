"""How far was each channel published? What the publisher reports waits here for a transaction to ride in."""
from __future__ import annotations

import threading
from collections.abc import Callable

from .transaction import Transaction

# Ranges kept for one channel while those before them, of another process, are not stored yet; the relay mends the rest.
MAX_RANGES = 64


class Marks:
    """Ranges of seqs that were handed to Redis. Reported in the publisher's thread, stored in the writer's."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._ranges: dict[int, list[tuple[int, int]]] = {}     # channel -> [(first, last)]
        self._moved: dict[int, int] = {}        # channel -> published_seq in the open transaction

    def published(self, done: list[tuple[int, int]]) -> None:
        """These (channel, seq) were handed to Redis, ascending within a channel."""
        with self._lock:
            for channel, seq in done:
                ranges = self._ranges.setdefault(channel, [])
                if ranges and ranges[-1][1] == seq - 1:
                    ranges[-1] = (ranges[-1][0], seq)
                else:
                    ranges.append((seq, seq))
                    del ranges[:-MAX_RANGES]
        self._wake()

    def are_due(self) -> bool:
        """Whether any wait."""
        return bool(self._ranges)

    def waiting(self) -> dict[int, list[tuple[int, int]]]:
        """The ranges of each channel, as they are now: what the next transaction holds and stores."""
        with self._lock:
            return {channel: list(ranges) for channel, ranges in self._ranges.items()}

    def apply(self, tx: Transaction, waiting: dict[int, list[tuple[int, int]]]) -> None:
        """Move published_seq of the channels that `tx` holds; never over a hole, which may be unpublished for ever."""
        self._moved = {}
        for channel, ranges in waiting.items():
            row = tx.held(channel)
            # No row: the channel is not in this database, nor ever will be.
            published = row.published_seq if row else ranges[-1][1]
            for first, last in ranges:
                if first <= published + 1 <= last:
                    published = last
            if row and published != row.published_seq:
                row.published_seq = published
                row.is_changed = True
            self._moved[channel] = published

    def committed(self) -> None:
        """What `apply` moved is stored: forget the ranges that it covers."""
        with self._lock:
            for channel, published in self._moved.items():
                rest = [(first, last) for first, last in self._ranges.get(channel, ()) if last > published]
                if rest:
                    self._ranges[channel] = rest
                else:
                    self._ranges.pop(channel, None)
        self._moved = {}

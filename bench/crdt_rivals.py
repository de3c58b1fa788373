"""The last-write-wins dictionary in Python, as one writes it without us: a dict of tuples, an RLock, a hybrid clock."""
from __future__ import annotations

import struct
import threading
import time

# hlc, live, replica, value. With the bias `add` the greater tuple is the winner: True is above False.
Cell = tuple[int, bool, str, bytes | str | None]

HEAD = struct.Struct(">Q8sBHI")
DELTA_HEAD_BYTES = 16
DELTA_TAIL_BYTES = 4


class PlainDict:
    """Local writes, and merges of another's cells."""

    __slots__ = ("_clock", "_lock", "cells", "replica")

    def __init__(self, replica: str) -> None:
        """`replica`: the name in the stamps of local writes."""
        self.replica = replica
        self.cells: dict[str, Cell] = {}
        self._lock = threading.RLock()
        self._clock = 0

    def _tick(self) -> int:
        now = time.time_ns() // 1_000_000 << 16
        self._clock = now if now > self._clock else self._clock + 1
        return self._clock

    def put(self, key: str, value: bytes | str) -> tuple[int, str]:
        """Write; its stamp."""
        with self._lock:
            hlc = self._tick()
            self.cells[key] = (hlc, True, self.replica, value)
        return hlc, self.replica

    def lookup(self, key: str, default: object = None) -> object:
        """The value, or the default."""
        with self._lock:
            cell = self.cells.get(key)
        return cell[3] if cell is not None and cell[1] else default

    def lookup_unlocked(self, key: str, default: object = None) -> object:
        """The same, trusting that one look into a dict is atomic under the GIL."""
        cell = self.cells.get(key)
        return cell[3] if cell is not None and cell[1] else default

    def merge(self, others: dict[str, Cell]) -> int:
        """Take what is greater; how many cells were."""
        won, greatest = 0, 0
        with self._lock:
            cells = self.cells
            get = cells.get
            for key, cell in others.items():
                if cell[0] > greatest:
                    greatest = cell[0]
                mine = get(key)
                if mine is None or cell > mine:
                    cells[key] = cell
                    won += 1
            self._clock = max(self._clock, greatest)
        return won

    def merge_bytes(self, delta: bytes) -> int:
        """The same from the bytes that replicas exchange, raw values only; the checksum is not looked at."""
        return self.merge(decoded(delta))


def decoded(delta: bytes) -> dict[str, Cell]:
    """The cells of a delta."""
    found: dict[str, Cell] = {}
    at, end = DELTA_HEAD_BYTES, len(delta) - DELTA_TAIL_BYTES
    unpack, head = HEAD.unpack_from, HEAD.size
    names: dict[bytes, str] = {}
    while at < end:
        hlc, replica, live, key_size, payload_size = unpack(delta, at)
        name = names.get(replica)
        if name is None:
            name = names[replica] = replica.rstrip(b"\0").decode()
        key_at = at + head
        payload_at = key_at + key_size
        at = payload_at + payload_size
        value = delta[payload_at + 1:at] if live else None      # behind its tag
        found[delta[key_at:payload_at].decode()] = (hlc, live == 1, name, value)
    return found

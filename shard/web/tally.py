"""Numbers with labels that all workers share, exact to the last request: rows of memory, and one list of names."""
from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger

from hotpath.core.data.shared import Block, Counters, Gauges

log = getLogger(__name__)

# Numbers, each with its own labels; a histogram takes a run of them.
PLACES = 8192
NAME_BYTES = 128                # "op_seconds\tSHARD\tOP", and how many places it has
HEAD_BYTES = 8                  # how many places are taken, then how many names there are

_TWO = struct.Struct("=II")
_PLACE_NAMES = tuple(map(str, range(PLACES)))


class Tally:
    """Made before the fork; each process claims a row of it when it first counts.

    A row whose process has ended goes to the next one, with what was counted: totals never fall. What one process
    names, all know: the list of names is shared, and changed under the lock of a file, which a killed process lets go.
    """

    def __init__(self, rows: int) -> None:
        """For up to `rows` processes at a time."""
        self._rows = rows
        self._counters = Counters(_PLACE_NAMES, rows)
        self._gauges = Gauges(_PLACE_NAMES, rows)
        self._names = Block(HEAD_BYTES + PLACES * NAME_BYTES)
        self._pids = Block(4 * rows)
        self._file = tempfile.TemporaryFile()           # noqa: SIM115 - lives as long as we do
        self._lock = threading.RLock()
        self._known: dict[str, int] = {}
        self._pid = 0                                   # whose row is claimed
        self._set: dict[int, int] = {}                  # what this process's gauges stand at
        self._is_full = False

    def add(self, name: str, n: int = 1) -> None:
        """Count `n` more of `name`, whose labels stand behind tabs."""
        place = self.place(name)
        if place >= 0:
            self._counters.add(place, n)

    def add_at(self, place: int, n: int) -> None:
        """The same, by a place that `place` gave."""
        self._counters.add(place, n)

    def set(self, name: str, value: int) -> None:
        """What this process has now of a thing that goes up and down."""
        place = self.place(name)
        if place >= 0:
            with self._lock:
                self._gauges.add(place, value - self._set.get(place, 0))
                self._set[place] = value

    def place(self, name: str, width: int = 1) -> int:
        """Where `name` is counted: the first of `width` places; -1: there is no more room."""
        if self._pid != os.getpid():
            self._claim()
        place = self._known.get(name)
        return place if place is not None else self._learn(name, width)

    def totals(self) -> dict[str, list[int]]:
        """The sum over all processes that there were, by name."""
        return {name: [self._counters.total(place + i) for i in range(width)]
                for name, place, width in self._entries()}

    def standing(self) -> dict[str, int]:
        """The sum of what was `set` over the processes that live, by name."""
        with self._alone():
            for row, pid in enumerate(self._owners()):
                if pid and not _lives(pid):
                    self._gauges.clear(row)
        return {name: self._gauges.total(place) for name, place, _ in self._entries()}

    def _claim(self) -> None:
        with self._alone():
            if self._pid == os.getpid():
                return
            owners = self._owners()
            row = next((row for row, pid in enumerate(owners) if pid == 0 or not _lives(pid)), None)
            if row is None:
                # More processes than planned for: a reload on top of a reload. What they count at the same instant
                # may be counted once.
                log.warning("no row of shared memory is free: processes=%d", self._rows)
                row = self._rows - 1
            else:
                self._gauges.clear(row)
            owners[row] = os.getpid()
            self._counters.worker = self._gauges.worker = row
            self._set = {}
            self._pid = os.getpid()

    def _learn(self, name: str, width: int) -> int:
        with self._alone():
            for known, place, _ in self._entries():
                self._known[known] = place
            if name in self._known:
                return self._known[name]
            memory = self._names.memory
            n_places: int
            n_places, n_names = _TWO.unpack(memory[:HEAD_BYTES])
            encoded = name.encode()
            if n_places + width > PLACES or len(encoded) > NAME_BYTES - 8:
                if not self._is_full:
                    self._is_full = True
                    log.warning("no room for more metrics: name=%s", name)
                return -1
            at = HEAD_BYTES + n_names * NAME_BYTES
            memory[at:at + 8 + len(encoded)] = _TWO.pack(n_places, width) + encoded
            # Last: whoever reads without the lock sees whole names.
            memory[:HEAD_BYTES] = _TWO.pack(n_places + width, n_names + 1)
            self._known[name] = n_places
            return n_places

    def _entries(self) -> Iterator[tuple[str, int, int]]:
        memory = self._names.memory
        for i in range(_TWO.unpack(memory[:HEAD_BYTES])[1]):
            record = memory[HEAD_BYTES + i * NAME_BYTES:HEAD_BYTES + (i + 1) * NAME_BYTES]
            place, width = _TWO.unpack(record[:8])
            yield bytes(record[8:]).rstrip(b"\0").decode(), place, width

    def _owners(self) -> memoryview:
        return self._pids.memory.cast("i")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread, no other process."""
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

"""How units of work ended, counted by all workers in shared memory, in Prometheus' words."""
from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from itertools import count

from hotpath.core.data.shared import Counters
from hotpath.core.telemetry import Exposition
from hotpath.locking.stats import Stats

PREFIX = "hotpath_locking_"
# Workers at a time: reloads begin new ones while others drain.
ROWS = 1024

POLICIES = ("naive", "optimistic", "pessimistic", "escalating", "adaptive", "atomic")
# (what was worked on, under which policy)
WORKS = (("items", "optimistic"), ("items", "pessimistic"), *(("counters", policy) for policy in POLICIES))
FAMILIES = {
    "attempts": "Transactions begun.",
    "commits": "Transactions that were committed.",
    "conflicts": "Attempts that met a changed version.",
    "serialization": "Attempts in which the database found a conflict.",
    "deadlocks": "Attempts that gave way in a deadlock.",
    "timeouts": "Attempts that waited too long for a lock.",
    "disconnects": "Attempts whose connection was lost.",
    "locked_attempts": "Attempts that locked before they read.",
    "gave_up": "Units of work that ran out of tries.",
    "wasted_seconds": "Time in attempts that failed.",
    "wait_seconds": "Time between attempts.",
}
# Times are counted in whole microseconds.
TIMES = {"wasted_seconds": "wasted_s", "wait_seconds": "wait_s"}


class Counts:
    """Made before the workers; each claims a row when it first counts."""

    def __init__(self) -> None:
        self._counters = Counters(tuple(f"{family} {work} {policy}" for family in FAMILIES for work, policy in WORKS),
                                  ROWS)
        self._places = {name: i for i, name in enumerate(self._counters.names)}
        self._file = tempfile.TemporaryFile()           # noqa: SIM115 - lives as long as we do
        self._pid = 0

    def add(self, work: str, policy: str, stats: Stats, *, gave_up: bool) -> None:
        """What one unit of work came to."""
        if self._pid != os.getpid():
            self._claim()
        counted = {**stats.as_dict(), "gave_up": int(gave_up)}
        for family in FAMILIES:
            name = TIMES.get(family)
            n = int(counted[family]) if name is None else round(counted[name] * 1e6)
            if n:
                self._counters.add(self._places[f"{family} {work} {policy}"], n)

    def text(self) -> str:
        """All families."""
        page = Exposition()
        for family, about in FAMILIES.items():
            totals = [(work, policy, self._counters.total(self._places[f"{family} {work} {policy}"]))
                      for work, policy in WORKS]
            page.counter(f"{PREFIX}{family}_total", about, [
                ({"work": work, "policy": policy}, n / 1e6 if family in TIMES else n) for work, policy, n in totals])
        return page.text()

    def _claim(self) -> None:
        """Take a row that no living process has: the kernel takes the lock of its byte back when its owner ends."""
        for row in count():
            if row == ROWS - 1:
                break                   # shared by whoever is too many: what two count at one instant may be lost
            with suppress(BlockingIOError):
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, row)
                break
        self._counters.worker = row
        self._pid = os.getpid()

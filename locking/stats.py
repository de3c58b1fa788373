"""How did the tries end, and what did those that failed cost?"""
from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields

from .errors import Conflict, Deadlock, Disconnected, LockTimeout, Retriable, Serialization


@dataclass(slots=True)
class Stats:
    """Counts of `run`; any thread may add. When all units of work ended well,

    attempts == commits + conflicts + serialization + deadlocks + timeouts + disconnects.
    """

    attempts: int = 0
    commits: int = 0
    conflicts: int = 0
    serialization: int = 0
    deadlocks: int = 0
    timeouts: int = 0
    disconnects: int = 0
    locked_attempts: int = 0        # in which something was locked before it was read
    wasted_s: float = 0.0           # in attempts that failed
    wait_s: float = 0.0             # between attempts
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def committed(self, *, locked: bool) -> None:
        """An attempt ended well."""
        with self._lock:
            self.attempts += 1
            self.commits += 1
            self.locked_attempts += locked

    def failed(self, kind: type[Retriable] | None, took_s: float, *, locked: bool) -> None:
        """An attempt did not; None: by an error of the work itself."""
        with self._lock:
            self.attempts += 1
            self.locked_attempts += locked
            self.wasted_s += took_s
            if kind is not None:
                name = next(name for base, name in COUNTED if issubclass(kind, base))
                setattr(self, name, getattr(self, name) + 1)

    def waited(self, wait_s: float) -> None:
        """Before another attempt."""
        with self._lock:
            self.wait_s += wait_s

    def add(self, other: Stats) -> None:
        """Count what `other` counted too."""
        with self._lock:
            for name in NAMES:
                setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, int | float]:
        """The counts by name, of one moment."""
        with self._lock:
            return {name: getattr(self, name) for name in NAMES}

    def __reduce__(self) -> tuple[type[Stats], tuple[int | float, ...]]:
        """Pickle the counts; the lock stays."""
        return type(self), tuple(self.as_dict().values())


NAMES = tuple(one.name for one in fields(Stats) if not one.name.startswith("_"))
# The special before the general.
COUNTED: tuple[tuple[type[Retriable], str], ...] = (
    (Serialization, "serialization"), (Conflict, "conflicts"), (Deadlock, "deadlocks"), (LockTimeout, "timeouts"),
    (Disconnected, "disconnects"), (Retriable, "conflicts"),
)

"""How much room a project has left: what its folder holds, counted now and then, and what we wrote since."""
from __future__ import annotations

import threading
from collections.abc import Callable

from hotpath.ide.errors import NoRoom
from hotpath.ide.usage import Usage

FULL = 1.10             # of the budget: programs that fill it are stopped there
MIB = 1024**2


class Budget:
    """Of one project; any thread."""

    def __init__(self, disk: int, files: int) -> None:
        """`disk` bytes and `files` files at most."""
        self._disk = disk
        self._files = files
        self._lock = threading.Lock()
        self._bytes = self._n_files = 0
        self._written_bytes = self._written_files = 0     # by us, since the last count began
        self.dirty = True                                 # something changed since

    @property
    def bytes(self) -> int:
        """What it holds, as far as known."""
        return max(0, self._bytes + self._written_bytes)

    @property
    def files(self) -> int:
        """How many."""
        return max(0, self._n_files + self._written_files)

    def room(self, n_bytes: int, n_files: int) -> None:
        """Make sure that so much more may be written. Raises NoRoom."""
        with self._lock:
            self.dirty = True
            why = None
            if n_bytes > 0 and self.bytes + n_bytes > self._disk:
                why = (f"the project may hold {self._disk / MIB:.0f} MiB, and holds {self.bytes / MIB:.1f}; "
                       "delete what is not needed (sandbox.disk)")
            elif n_files > 0 and self.files + n_files > self._files:
                why = (f"the project may hold {self._files} files, and holds {self.files}; delete what is not needed "
                       "(sandbox.files)")
            if why is None:
                self._written_bytes += n_bytes
                self._written_files += n_files
        if why is not None:
            raise NoRoom(why)

    def count(self, measure: Callable[[], Usage]) -> None:
        """Count anew; blocks. What is written meanwhile counts twice until the next time: too much is safe."""
        with self._lock:
            self.dirty = False
            self._written_bytes = max(0, self._written_bytes)
            before = self._written_bytes, self._written_files
        usage = measure()
        with self._lock:
            self._bytes, self._n_files = usage.bytes, usage.files
            self._written_bytes -= before[0]
            self._written_files -= before[1]

    @property
    def overflows(self) -> str | None:
        """A sentence, once programs have filled it beyond all measure."""
        if self._bytes > FULL * self._disk:
            return (f"stopped: the project holds {self._bytes / MIB:.0f} MiB of {self._disk / MIB:.0f}; delete files, "
                    "then start it")
        if self._n_files > FULL * self._files:
            return f"stopped: the project holds {self._n_files} of {self._files} files; delete some, then start it"
        return None

"""One process at a time has a data directory: who?"""
from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from .errors import InUse

# How often a taken lock is tried again: an old process that drains is gone within a few of these.
RETRY_S = 0.05


class FolderLock:
    """An flock on a file that says our pid. The kernel gives it back when we die, however we die."""

    def __init__(self, path: Path, *, patience_s: float | None) -> None:
        """Take it. InUse if another has it for `patience_s` longer; None: wait for ever."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(path, patience_s)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self, path: Path, patience_s: float | None) -> None:
        if patience_s is None:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            return
        deadline_s = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    raise InUse(path.parent, self._pid()) from None
            time.sleep(RETRY_S)

    def _pid(self) -> int | None:
        text = os.pread(self._fd, 32, 0).strip()
        return int(text) if text.isdigit() else None

    def release(self) -> None:
        """Let the next one have it. The file stays: to remove it would give two processes a lock each."""
        os.close(self._fd)

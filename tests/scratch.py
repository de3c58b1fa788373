"""Where the files of a test's server lie: in memory if there is room, where a sync costs nothing.

What a killed process has written stays there as it does on a disk; only a machine that goes down would tell the two
apart, and no test does that to one.
"""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMORY = "/dev/shm"
ENOUGH_BYTES = 4 << 30      # all servers of a few sessions at once; a container often has 64 MB


def place() -> str:
    """Of memory, or of the disk; short, since the path of a unix socket below it has at most 107 bytes."""
    with suppress(OSError):
        found = os.statvfs(MEMORY)
        if found.f_bavail * found.f_frsize >= ENOUGH_BYTES and os.access(MEMORY, os.W_OK | os.X_OK):
            return MEMORY
    return "/tmp"


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

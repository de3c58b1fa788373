"""The disk that durable writes go to: a folder on it, what file system that is, and how often it alone can sync."""
from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .processes import StartError


def file_system(folder: Path) -> str:
    """The type of what is mounted where `folder` lies."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    where = max((at for at, _kind in mounts if folder.resolve().is_relative_to(at)), key=len)
    return next(kind for at, kind in reversed(mounts) if at == where)


@contextmanager
def disk_folder(within: str | None) -> Iterator[Path]:
    """A temporary folder on a disk. Raises StartError where syncing would be free."""
    with tempfile.TemporaryDirectory(prefix="hotpath-bench-", dir=within) as name:
        folder = Path(name)
        if file_system(folder) in ("tmpfs", "ramfs"):
            raise StartError(f"{folder} is memory: name a folder on a disk, --folder")
        yield folder


def syncs_per_s(folder: Path, seconds: float = 0.5) -> float:
    """How often the disk alone takes 4 KiB more and says that they are there."""
    n, block = 0, bytes(4096)
    path = folder / "syncs"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < seconds:
            os.write(fd, block)
            os.fdatasync(fd)
            n += 1
        return n / (time.perf_counter() - began_s)
    finally:
        os.close(fd)
        path.unlink()

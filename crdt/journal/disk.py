"""Everything the journal asks of the kernel, one call each; a test hands in a disk that fails, fills up or dies."""
from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

# No room, whoever said so: the device, the quota, or the limit on a file's size. It may come back.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Disk:
    """The real one. Each method is one system call that changes something, or makes a change last."""

    def create(self, path: Path) -> int:
        """A new file to append to; what had the name is emptied."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def append_to(self, path: Path) -> int:
        """A file that exists, to append to."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, fd: int, data: memoryview) -> int:
        """Append some of `data`; how much is answered."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size`."""
        os.ftruncate(fd, size)

    def sync_data(self, fd: int) -> None:
        """Make its bytes and its size last."""
        os.fdatasync(fd)

    def sync(self, fd: int) -> None:
        """Make all of the file last."""
        os.fsync(fd)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in `folder` last."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def make_folder(self, folder: Path) -> None:
        """Make it, unless it is there."""
        with suppress(FileExistsError):
            os.mkdir(folder)

    def rename(self, old: Path, new: Path) -> None:
        """Give the file `old` the name `new`, in place of what had it."""
        os.rename(old, new)

    def link(self, old: Path, new: Path) -> None:
        """Give the file a second name."""
        os.link(old, new)

    def unlink(self, path: Path) -> None:
        """Take the name away."""
        os.unlink(path)

    def close(self, fd: int) -> None:
        """Give the descriptor back."""
        os.close(fd)


def write_all(disk: Disk, fd: int, data: bytes) -> None:
    """Append all of `data`, however little the kernel takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[disk.write(fd, rest):]


def beside(path: Path) -> Path:
    """Where `path` is written before it gets its name."""
    return path.with_name(path.name + ".new")


def write_beside(disk: Disk, path: Path, data: bytes) -> int:
    """Write and sync what `publish` will call `path`; its descriptor. OSError: nothing is left of it."""
    new = beside(path)
    fd = disk.create(new)
    try:
        write_all(disk, fd, data)
        disk.sync(fd)
    except OSError:
        disk.close(fd)
        # The first error says what is wrong; what is left behind is no part of the data.
        with suppress(OSError):
            disk.unlink(new)
        raise
    return fd


def publish(disk: Disk, path: Path) -> None:
    """Give what `write_beside` wrote its name, for good: wholly there or not at all, whenever we die."""
    disk.rename(beside(path), path)
    disk.sync_folder(path.parent)

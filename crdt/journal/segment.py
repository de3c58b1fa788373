"""The segment that is being written: groups go to its end, whole or not at all."""
from __future__ import annotations

from pathlib import Path

from .disk import Disk, publish, write_all, write_beside
from .layout import Layout, Owner


class SyncFailed(Exception):
    """What the kernel has of our bytes is unknown from now on, and asking again would lie: `cause` is the OSError."""

    def __init__(self, cause: OSError) -> None:
        """Keep it."""
        super().__init__(str(cause))
        self.cause = cause


class Segment:
    """One file, at whose end we write."""

    def __init__(self, disk: Disk, path: Path, number: int, fd: int, size: int) -> None:
        self._disk = disk
        self._fd = fd
        self.path = path
        self.number = number
        self.size = size            # of the whole groups in it

    @classmethod
    def new(cls, disk: Disk, layout: Layout, owner: Owner, number: int, *, clock: int, floor: int) -> Segment:
        """An empty one that knows the marks. OSError: there is none, and all is as before. SyncFailed."""
        path = layout.segment(number)
        start = owner.first_group(clock, floor)
        fd = write_beside(disk, path, start)
        try:
            publish(disk, path)
        except OSError as error:
            # It may have its name or not, so the one before may be the last or not.
            raise SyncFailed(error) from error
        return cls(disk, path, number, fd, len(start))

    @classmethod
    def again(cls, disk: Disk, layout: Layout, number: int, size: int) -> Segment:
        """One that exists, cut to its `size` good bytes. They are durable then, though others wrote them."""
        path = layout.segment(number)
        fd = disk.append_to(path)
        try:
            if path.stat().st_size != size:
                disk.truncate(fd, size)
            disk.sync(fd)
            disk.sync_folder(path.parent)
        except BaseException:
            disk.close(fd)
            raise
        return cls(disk, path, number, fd, size)

    def write(self, owner: Owner, group: bytes) -> None:
        """Append a group and its commit. OSError: nothing of it is in the file. SyncFailed: who knows."""
        data = group + owner.commit(self.size + len(group))
        try:
            write_all(self._disk, self._fd, data)
        except OSError as error:
            try:
                self._disk.truncate(self._fd, self.size)
            except OSError as second:
                raise SyncFailed(second) from error
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Make what was written last. SyncFailed."""
        try:
            self._disk.sync_data(self._fd)
        except OSError as error:
            raise SyncFailed(error) from error

    def close(self) -> None:
        """Give the file back."""
        self._disk.close(self._fd)



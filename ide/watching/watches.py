"""Which watch of the kernel's belongs to which folder, and how many there may be?"""
from __future__ import annotations

import errno
import os
from collections.abc import Callable

from . import inotify


class Folder:
    """A folder of a project, as it was last seen."""

    __slots__ = ("children", "names", "note", "path", "wd")

    def __init__(self, path: bytes, note: Note) -> None:
        """Not looked into yet. `note` hears, in the loop's thread, of names that something happened to."""
        self.path = path
        self.note = note
        self.wd: int | None = None                  # None: not watched
        self.names: dict[bytes, str] = {}           # name -> kind
        self.children: dict[bytes, Folder] = {}     # those of them that are watched


Note = Callable[[Folder, bytes], None]


class Watches:
    """All of one server, on its one inotify instance.

    The loop reads the events, threads add and take back: each touches the table in one step, which Python makes whole.
    """

    def __init__(self, limit: int) -> None:
        """At most `limit`. OSError when the kernel has no instance left."""
        self.limit = limit
        self.fd = inotify.open_instance()
        self.folders: dict[int, Folder] = {}
        self.closed = False

    def add(self, folder_fd: int, folder: Folder) -> bool:
        """Watch it; False when there are no watches left, ours or the kernel's.

        The table knows the folder before anybody reads it: an event that comes earlier is of what the reading will see.
        """
        if len(self.folders) >= self.limit or self.closed:
            return False
        try:
            wd = inotify.add(self.fd, folder_fd)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                return False
            raise
        folder.wd = wd
        self.folders[wd] = folder
        return True

    def holds(self, folder_fd: int, folder: Folder) -> bool:
        """Whether its watch is on this very folder, and not on one that stood there before.

        Only the kernel knows: an inode's number is soon used again.
        """
        if folder.wd is None or self.closed:
            return False
        try:
            wd = inotify.add(self.fd, folder_fd)
        except OSError:
            return False
        if wd not in self.folders:
            inotify.remove(self.fd, wd)
        return wd == folder.wd and self.folders.get(wd) is folder

    def remove(self, folder: Folder) -> None:
        """Take its watch back, unless it is another's by now: a folder keeps its watch when it is renamed."""
        wd, folder.wd = folder.wd, None
        if wd is not None and self.folders.get(wd) is folder:
            del self.folders[wd]
            if not self.closed:
                inotify.remove(self.fd, wd)

    def forget(self, wd: int) -> None:
        """The kernel took it back."""
        folder = self.folders.pop(wd, None)
        if folder is not None:
            folder.wd = None

    def close(self) -> None:
        """Of all folders."""
        if not self.closed:
            self.closed = True
            self.folders.clear()
            os.close(self.fd)

"""All that lies below a folder, folder by folder; no link is entered."""
from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .confine import opened
from .paths import MAX_PATH_BYTES, joined


@dataclass(frozen=True, slots=True)
class Found:
    """One thing below the folder."""

    path: bytes             # from the folder
    status: os.stat_result  # of the thing itself, if it is a link too

    @property
    def is_folder(self) -> bool:
        """Whether other things can be in it."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it has contents."""
        return stat.S_ISREG(self.status.st_mode)


def nothing_skipped(name: bytes) -> bool:
    """Every folder is entered."""
    return False


def walk(folder: int, skip: Callable[[bytes], bool] = nothing_skipped) -> Iterator[Found]:
    """What is below, each folder before what is in it; `skip(name)` tells which folders are left out.

    What goes away meanwhile, may not be read, or lies deeper than a path can name, is left out.
    """
    waiting = deque([b""])
    while waiting:
        above = waiting.popleft()
        try:
            fd = opened(folder, above, os.O_RDONLY | os.O_DIRECTORY, links=False)
        except OSError:
            continue
        try:
            for name in sorted(map(os.fsencode, os.listdir(fd))):
                path = joined(above, name)
                try:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except OSError:
                    continue
                one = Found(path, status)
                if len(path) > MAX_PATH_BYTES or (one.is_folder and skip(name)):
                    continue
                yield one
                if one.is_folder:
                    waiting.append(path)
        finally:
            os.close(fd)


def open_file(folder: int, path: bytes) -> int | None:
    """A descriptor of the file below the folder; None: it is none any more, or may not be read."""
    try:
        fd = opened(folder, path, links=False)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    return fd

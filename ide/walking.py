"""Walk a project by descriptors: no link is followed, nothing outside is reached, whatever moves meanwhile."""
from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

from hotpath.ide.files.confine import opened
from hotpath.ide.files.paths import joined

FOLDER = os.O_RDONLY | os.O_DIRECTORY


class Visit(NamedTuple):
    """A folder on the way; `fd` is open until the next one is asked for."""

    path: bytes                             # from the root, which is b""
    fd: int
    entries: list[os.DirEntry[str]]         # by name


def open_beneath(root_fd: int, path: bytes, flags: int) -> int:
    """A descriptor of what `path` names within the root, no link anywhere on the way followed.

    OSError: ELOOP for a link, EXDEV for another file system, and what open(2) says. It never waits.
    """
    return opened(root_fd, path, flags, links=False)


def walk(root_fd: int, ignore: Collection[str] = (), *, deep_first: bool = True) -> Iterator[Visit]:
    """Each folder that can be read, the root first; those named in `ignore` are listed, not entered.

    What vanishes or becomes a link meanwhile is passed by, as is what is nested deeper than a path can say.
    """
    waiting = deque([b""])
    while waiting:
        path = waiting.pop() if deep_first else waiting.popleft()
        with suppress(OSError):
            fd = open_beneath(root_fd, path, FOLDER)
            try:
                with os.scandir(fd) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
                yield Visit(path, fd, entries)
                below = [joined(path, os.fsencode(entry.name)) for entry in entries
                         if entry.is_dir(follow_symlinks=False) and entry.name not in ignore]
            finally:
                os.close(fd)
            waiting.extend(reversed(below) if deep_first else below)


def kind_of(mode: int) -> str:
    """`file`, `dir`, `link` or `other`."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    return "link" if stat.S_ISLNK(mode) else "other"


def kind_of_entry(entry: os.DirEntry[str]) -> str:
    """The same of a folder's entry, mostly without asking the kernel again."""
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "dir"
    return "file" if entry.is_file(follow_symlinks=False) else "other"

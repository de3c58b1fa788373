"""Folders that somebody looks at and no watch is on: what is different since last time?"""
from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from hotpath.ide.files.paths import joined
from hotpath.ide.walking import FOLDER, kind_of, open_beneath

from .tree import Change

# What one project's pages show at a time; those asked for longest ago are dropped.
MAX_SHOWN = 64
# Names of one folder that are compared, as many as a listing of it has.
MAX_NAMES = 5000

Seen = dict[bytes, tuple[str, int, int, int]]       # name -> kind, inode, size, mtime


class Shown:
    """Of one project. `add` in the loop, `compare` in a thread: each touches the table in single steps."""

    def __init__(self) -> None:
        """None yet."""
        self._folders: OrderedDict[bytes, Seen | None] = OrderedDict()

    def add(self, path: bytes) -> None:
        """Somebody looks at it now."""
        self._folders.setdefault(path, None)
        self._folders.move_to_end(path)
        if len(self._folders) > MAX_SHOWN:
            self._folders.popitem(last=False)

    def compare(self, root_fd: int, is_watched: Callable[[bytes], bool]) -> list[Change]:
        """What is different in those that are not watched; the first time, nothing."""
        changes: list[Change] = []
        for path, before in list(self._folders.items()):
            if is_watched(path):
                continue
            now = look(root_fd, path)
            if now is None:
                self._folders.pop(path, None)
            elif path in self._folders:
                self._folders[path] = now
                if before is not None:
                    changes += differences(path, before, now)
        return changes


def look(root_fd: int, path: bytes) -> Seen | None:
    """What is in the folder; None: it is none any more."""
    seen: Seen = {}
    try:
        fd = open_beneath(root_fd, path, FOLDER)
    except OSError:
        return None
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                with suppress(OSError):         # gone again
                    status = entry.stat(follow_symlinks=False)
                    seen[os.fsencode(entry.name)] = (kind_of(status.st_mode), status.st_ino, status.st_size,
                                                     status.st_mtime_ns)
                if len(seen) == MAX_NAMES:
                    break
    finally:
        os.close(fd)
    return seen


def differences(path: bytes, before: Seen, now: Seen) -> list[Change]:
    """From one look to the next. That a folder was written to says nothing: what is in it is told where it is shown."""
    changes = [Change("remove", joined(path, name), was[0]) for name, was in before.items() if name not in now]
    for name, is_ in now.items():
        was = before.get(name)
        if was is None:
            changes.append(Change("add", joined(path, name), is_[0]))
        elif "dir" in (was[0], is_[0]):
            if was[:2] != is_[:2]:
                changes += (Change("remove", joined(path, name), was[0]), Change("add", joined(path, name), is_[0]))
        elif was != is_:
            changes.append(Change("change", joined(path, name), is_[0]))
    return changes

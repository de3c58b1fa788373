"""The watched folders of one project: what is different from when they were last looked at?

Runs in threads, one at a time. An event only says where to look; what is there decides: saving by exchange, for
one, is reported as if the file had come and then gone.
"""
from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from hotpath.ide.files.paths import joined
from hotpath.ide.walking import FOLDER, kind_of, kind_of_entry, open_beneath

from .watches import Folder, Note, Watches

PATH_ONLY = os.O_PATH | os.O_DIRECTORY


class Change(NamedTuple):
    """`op`: add, change or remove; `kind`: file, dir, link or other."""

    op: str
    path: bytes
    kind: str


class Tree:
    """From a project's root down; folders named in `ignore` are seen, but not looked into."""

    def __init__(self, root: Path, ignore: Iterable[str], watches: Watches | None, note: Note) -> None:
        """Nothing is read before `rescan`. `watches` None: nothing can be watched. OSError when there is no folder."""
        self.root_fd = os.open(root, PATH_ONLY)
        self.short = watches is None                # some folder is not watched, as there were no watches left
        self._ignore = frozenset(map(os.fsencode, ignore))
        self._watches = watches
        self._note = note
        self._root = Folder(b"", note)
        self._lock = threading.Lock()
        self._closed = False

    def is_watched(self, path: bytes) -> bool:
        """Whether changes in this folder are noticed by themselves."""
        folder: Folder | None = self._root
        for name in path.split(b"/") if path else ():
            folder = folder.children.get(name) if folder is not None else None
        return folder is not None and folder.wd is not None

    def rescan(self) -> None:
        """Look at everything anew: watch what is not, forget what is gone."""
        with self._alone() as open_:
            if open_ and self._watches is not None:
                self.short = False
                self._enter(self._root, None)

    def look(self, noted: Mapping[Folder, Iterable[bytes]]) -> list[Change]:
        """What is different about these names."""
        changes: list[Change] = []
        with self._alone() as open_:
            for folder, names in noted.items() if open_ else ():
                # A folder that is gone, or was moved, is told by the one it was in.
                with suppress(OSError):
                    fd = open_beneath(self.root_fd, folder.path, PATH_ONLY)
                    try:
                        if folder.wd is not None:
                            for name in names:
                                self._look_at(folder, fd, name, changes)
                    finally:
                        os.close(fd)
        return changes

    def close(self) -> None:
        """Take all watches back."""
        with self._alone() as open_:
            if open_:
                self._closed = True
                self._drop(self._root)
                os.close(self.root_fd)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        with self._lock:
            yield not self._closed

    def _look_at(self, folder: Folder, fd: int, name: bytes, changes: list[Change]) -> None:
        path = joined(folder.path, name)
        before = folder.names.get(name)
        child = folder.children.get(name)
        try:
            kind = kind_of(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
        except OSError:
            kind = None
        if kind == "dir" == before and (name in self._ignore or (child is not None and self._is_same(child))):
            return
        if child is not None:
            self._drop(child)
            del folder.children[name]
        if kind is None:
            if before is not None:
                del folder.names[name]
                changes.append(Change("remove", path, before))
            return
        folder.names[name] = kind
        if before is not None and "dir" in (before, kind):
            changes.append(Change("remove", path, before))
            before = None
        changes.append(Change("change" if before else "add", path, kind))
        if kind == "dir" and name not in self._ignore:
            folder.children[name] = child = Folder(path, self._note)
            self._enter(child, changes)

    def _is_same(self, folder: Folder) -> bool:
        with suppress(OSError):
            fd = open_beneath(self.root_fd, folder.path, FOLDER)
            try:
                return self._watches is not None and self._watches.holds(fd, folder)
            finally:
                os.close(fd)
        return False

    def _enter(self, top: Folder, changes: list[Change] | None) -> None:
        """Watch a folder and all below, the upper ones first; what is found is new, if that is of interest.

        A folder is watched before it is read: what happens between is then seen at least once.
        """
        waiting = deque([top])
        while waiting:
            folder = waiting.popleft()
            with suppress(OSError):
                fd = open_beneath(self.root_fd, folder.path, FOLDER)
                try:
                    if self._watch(folder, fd):
                        waiting.extend(self._read(folder, fd, changes))
                        continue
                finally:
                    os.close(fd)
            self._drop(folder)

    def _watch(self, folder: Folder, fd: int) -> bool:
        assert self._watches is not None
        if self._watches.holds(fd, folder):
            return True
        self._drop(folder)
        if not self._watches.add(fd, folder):
            self.short = True
            return False
        return True

    def _read(self, folder: Folder, fd: int, changes: list[Change] | None) -> list[Folder]:
        """Take in its names; the folders among them that are to be entered."""
        with os.scandir(fd) as entries:
            folder.names = {os.fsencode(entry.name): kind_of_entry(entry) for entry in entries}
        below: dict[bytes, Folder] = {}
        for name, kind in folder.names.items():
            if changes is not None:
                changes.append(Change("add", joined(folder.path, name), kind))
            if kind == "dir" and name not in self._ignore:
                child = folder.children.pop(name, None)
                below[name] = child if child is not None else Folder(joined(folder.path, name), self._note)
        for gone in folder.children.values():
            self._drop(gone)
        folder.children = below
        return list(below.values())

    def _drop(self, top: Folder) -> None:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            waiting.extend(folder.children.values())
            folder.children = {}
            folder.names = {}
            if self._watches is not None:
                self._watches.remove(folder)

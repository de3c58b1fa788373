"""Unpacks an archive into a folder: all of it, or nothing.

All is unpacked into tmp/ first. Then it is renamed into place, whole folders at once where nothing of that name stands;
what a file replaces is exchanged with it. If one step fails, those before it are taken back.
"""
from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO

from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import NotAFile, NotAFolder

from .archive import Archive
from .confine import opened, refused, resolve
from .kernel import exchange, rename_new, sync_file_system
from .paths import joined, shown, split
from .reading import write_all
from .sweeping import new_name, remove_tree
from .volume import FILE_MODE, Volume

log = logging.getLogger(__name__)

Step = Callable[[], None]


class Unzipper:
    """Any thread."""

    def __init__(self, volume: Volume, config: IdeConfig,
                 keep_all: Callable[[bytes, bytes], tuple[int, int]]) -> None:
        """`keep_all(name, path)` puts what lies in tmp/ into the history of what is below `path`."""
        self._volume = volume
        self._limits = config.limits
        self._keep_all = keep_all

    def unzip(self, path: bytes, file: BinaryIO) -> dict[str, int]:
        """Unpack below the folder `path`; {"files", "bytes"}. A file that stands there is replaced. Refusals."""
        volume = self._volume
        to = resolve(volume.root, path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            archive = Archive(file, path, max_bytes=self._limits.unzip, max_files=self._limits.unzip_files)
            volume.room(archive.n_bytes, archive.n_things)
            draft = new_name()
            with volume.giving_back(archive.n_bytes, archive.n_things), refused(path):
                try:
                    self._unpack(archive, draft)
                    volume.arm(draft, path)
                    self._merge(draft, to, path)
                    sync_file_system(volume.tmp)
                    replaced, n = self._keep_all(draft, path)       # nothing else is still there
                    volume.room(-replaced, -n)
                finally:
                    remove_tree(volume.tmp, draft)
                    volume.drop(draft)
            return {"files": archive.n_files, "bytes": archive.n_bytes}
        finally:
            os.close(to)

    # ---- into tmp/

    def _unpack(self, archive: Archive, draft: bytes) -> None:
        volume = self._volume
        top = volume.new_folder(volume.tmp, draft)
        try:
            made = {b""}
            for one in archive.entries:
                self._make_folders(top, one.path if one.is_folder else one.path.rpartition(b"/")[0], made)
                if one.is_folder:
                    continue
                above, _, name = one.path.rpartition(b"/")
                folder = opened(top, above, os.O_RDONLY | os.O_DIRECTORY, links=False)
                try:
                    fd = volume.new_file(folder, name)
                finally:
                    os.close(folder)
                try:
                    for piece in archive.contents(one):
                        write_all(fd, piece)
                    volume.give(fd, one.mode | stat.S_IRUSR | stat.S_IWUSR if one.mode else FILE_MODE)
                finally:
                    os.close(fd)
        finally:
            os.close(top)

    def _make_folders(self, top: int, path: bytes, made: set[bytes]) -> None:
        missing = []
        while path not in made:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for one in reversed(missing):
            above, _, name = one.rpartition(b"/")
            folder = opened(top, above, os.O_RDONLY | os.O_DIRECTORY, links=False)
            try:
                os.close(self._volume.new_folder(folder, name))
            finally:
                os.close(folder)
            made.add(one)

    # ---- into place

    def _merge(self, draft: bytes, to: int, path: bytes) -> None:
        """Raises NotAFile, NotAFolder, OSError; then all is as it was."""
        top = opened(self._volume.tmp, draft, os.O_RDONLY | os.O_DIRECTORY)
        undo: list[Step] = []
        try:
            waiting = [b""]
            while waiting:
                waiting += merge_folder(top, to, waiting.pop(), path, undo)
        except BaseException:
            for step in reversed(undo):
                try:
                    step()
                except OSError as error:
                    log.error("an archive was not taken back completely path=%s: %s", shown(path), error)
                    self._keep_all(draft, path)
            raise
        finally:
            os.close(top)


def merge_folder(top: int, to: int, inner: bytes, path: bytes, undo: list[Step]) -> list[bytes]:
    """Put what is in the folder `inner` of `top` into that of `to`; which folders stand there too, and so are next."""
    both = []
    with ExitStack() as held:
        new = opened(top, inner, os.O_RDONLY | os.O_DIRECTORY, links=False)
        held.callback(os.close, new)
        old = opened(to, inner, os.O_RDONLY | os.O_DIRECTORY, links=False)
        held.callback(os.close, old)
        for name in map(os.fsencode, os.listdir(new)):
            one = joined(inner, name)
            try:
                rename_new(new, name, old, name)
                undo.append(partial(between, to, top, one, rename_new))
                continue
            except FileExistsError:
                pass
            there = os.stat(name, dir_fd=old, follow_symlinks=False).st_mode
            if stat.S_ISDIR(os.stat(name, dir_fd=new).st_mode):
                if not stat.S_ISDIR(there):
                    raise NotAFolder(f"{shown(joined(path, one))} is no folder, but one in the archive; "
                                     "nothing was written")
                both.append(one)
                continue
            if stat.S_ISREG(there):
                exchange(new, name, old, name)
                undo.append(partial(between, to, top, one, exchange))
                there = os.stat(name, dir_fd=new, follow_symlinks=False).st_mode
            if not stat.S_ISREG(there):
                raise NotAFile(f"{shown(joined(path, one))} is no file, but one in the archive; nothing was written")
    return both


def between(one_top: int, other_top: int, path: bytes, act: Callable[[int, bytes, int, bytes], None]) -> None:
    """Act on the name that `path` is below each of the two. OSError."""
    above, name = split(path)
    with ExitStack() as held:
        folders = []
        for top in (one_top, other_top):
            folders.append(opened(top, above, os.O_RDONLY | os.O_DIRECTORY, links=False))
            held.callback(os.close, folders[-1])
        act(folders[0], name, folders[1], name)

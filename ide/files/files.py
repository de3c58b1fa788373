"""The files of one project: all that can be done to them, from any thread."""
from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import NotAFile, NotAFolder, NotFound

from .history import History
from .kernel import exchange
from .listing import listing
from .moving import Mover
from .paths import checked
from .reading import Etags, OpenFile, read
from .removing import Remover
from .saving import Saver
from .sweeping import new_name, remove_tree
from .unzipping import Unzipper
from .volume import Volume
from .walking import nothing_skipped
from .zipping import zipped

log = logging.getLogger(__name__)


class Files:
    """Paths are bytes below the project's files/, percent-decoded; b"" is that folder.

    All methods block and raise the refusals of `ide.errors`; an OSError is none of the client's. What they change is on
    the disk when they return.
    """

    def __init__(self, folder: Path, config: IdeConfig, ignore: Sequence[str], owner: tuple[int, int] | None,
                 room: Callable[[int, int], None]) -> None:
        """`folder` holds files/, tmp/ and history/. `ignore`: names of folders that are neither zipped nor kept.

        `owner`: uid and gid of what is made, where they are not ours. `room(bytes, things)` raises NoRoom when so much
        more must not be written, and counts it otherwise; it is told what goes away too. Raises OSError, TooOld.
        """
        self._volume = Volume(folder, owner, room)
        self._limits = config.limits
        self._ignore = frozenset(map(os.fsencode, ignore))
        self._etags = Etags()
        self._history = History(self._volume, config)
        self._saver = Saver(self._volume, self._history, config)
        self._remover = Remover(self._volume, self._history, self._ignored)
        self._mover = Mover(self._volume, self._history)
        self._unzipper = Unzipper(self._volume, config, self._remover.keep_all)

    @property
    def root_fd(self) -> int:
        """The project's folder; everything is opened from here."""
        return self._volume.root

    def close(self) -> None:
        """Let go of the folders, once what goes on in them has ended; whatever is called afterwards raises NotFound."""
        self._volume.close()

    def recover(self) -> None:
        """At the start: what an end in the middle of a change left in tmp/ goes to the history, or away. OSError."""
        volume = self._volume
        self._probe()
        for name, path in [*volume.armed(), *self._history.armed()]:
            with suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(name, dir_fd=volume.tmp, follow_symlinks=False).st_mode):
                    self._remover.keep_all(name, path)
                    remove_tree(volume.tmp, name)
                else:
                    self._history.take(path, name)
                log.info("recovered what a change of %r displaced", path)
            volume.drop(name)
        for name in map(os.fsencode, os.listdir(volume.tmp)):
            remove_tree(volume.tmp, name)

    def _probe(self) -> None:
        """Say at the start, not with the first save, that a file system cannot do what saves need. OSError."""
        tmp = self._volume.tmp
        if os.fstat(tmp).st_dev != os.fstat(self.root_fd).st_dev:
            log.error("files cannot be saved: files/ and tmp/ of a project lie on different file systems")
        names = new_name(), new_name()
        try:
            for name in names:
                os.close(self._volume.new_file(tmp, name))
            exchange(tmp, names[0], tmp, names[1])
        except OSError as error:
            log.error("files cannot be saved: the file system of `data` cannot exchange two files in one step "
                      "(RENAME_EXCHANGE); ext4, xfs, btrfs and tmpfs can: %s", error)
        finally:
            for name in names:
                self._volume.drop(name)

    def _ignored(self, name: bytes) -> bool:
        return name in self._ignore

    # ---- reading

    def listing(self, path: bytes, depth: int = 1) -> dict[str, object]:
        """{"path", "entries", "truncated"}: see `ide.files.listing`."""
        with self._volume.used():
            return listing(self.root_fd, checked(path), depth, self._limits.tree)

    def open(self, path: bytes) -> OpenFile:
        """The file, to send it. Raises NotFound, NotAFile, OutsideProject, NotAllowed."""
        with self._volume.used():
            return self._etags.open(self.root_fd, checked(path))

    def zip(self, path: bytes, *, all: bool = False) -> Iterator[bytes]:
        """The folder as an archive, piece by piece, without links; `all`: with the ignored folders."""
        with self._volume.used():
            return zipped(self.root_fd, checked(path), nothing_skipped if all else self._ignored)

    def history(self, path: bytes) -> list[dict[str, object]]:
        """{"etag", "size", "time"} of each earlier content of the file, newest first; also of a file that is gone."""
        with self._volume.used():
            path, current = self._named(checked(path))
            return self._history.versions(path, current)

    def history_open(self, path: bytes, etag: str) -> OpenFile:
        """One of those contents, to send it. Raises NotFound."""
        with self._volume.used():
            path, _ = self._named(checked(path))
            return self._history.open(path, etag)

    def _named(self, path: bytes) -> tuple[bytes, str | None]:
        """The path as the history knows it, without links, and the ETag of what is there now."""
        try:
            with self._volume.target(path) as spot:
                path = spot.path
                try:
                    fd = spot.open()
                except OSError:
                    return path, None
                try:
                    if not stat.S_ISREG(os.fstat(fd).st_mode):
                        return path, None
                    return path, read(fd, 0).etag
                finally:
                    os.close(fd)
        except (NotFound, NotAFile, NotAFolder):        # it is gone, or something else stands there now
            return path, None

    # ---- changing

    def put(self, path: bytes, body: bytes, *, match: str | None, create: bool,
            parents: bool = False) -> tuple[bool, str]:
        """Make `body` the file's content; (whether the file is new, its ETag).

        `match`: the ETag of what it replaces, "*" for anything; `create`: nothing may be there. Raises
        ConditionRequired, Stale, NotFound, NotAFile, NotAFolder, OutsideProject, NotAllowed, TooLarge, NoRoom, BadPath.
        """
        with self._volume.used():
            return self._saver.put(checked(path), body, match=match, create=create, parents=parents)

    def delete(self, path: bytes, *, recursive: bool = False, match: str | None = None) -> None:
        """Remove a file, a link itself, or a folder; `recursive`: with all in it. Raises NotFound, NotEmpty, Stale."""
        with self._volume.used():
            self._remover.delete(checked(path), recursive=recursive, match=match)

    def make_dir(self, path: bytes) -> None:
        """Make a folder; the one above must exist. Raises Exists, NotFound, NotAFolder, NoRoom."""
        with self._volume.used():
            self._volume.make_folder(checked(path))

    def move(self, source: bytes, target: bytes, *, overwrite: bool = False) -> None:
        """Give it another path. Raises NotFound, Exists, IntoItself, BadPath."""
        with self._volume.used():
            self._mover.move(checked(source), checked(target), overwrite=overwrite)

    def copy(self, source: bytes, target: bytes, *, overwrite: bool = False) -> None:
        """Make a second one of it. Raises NotFound, Exists, IntoItself, BadPath, NoRoom."""
        with self._volume.used():
            self._mover.copy(checked(source), checked(target), overwrite=overwrite)

    def unzip(self, path: bytes, archive: BinaryIO) -> dict[str, int]:
        """Unpack into the folder, all or nothing; {"files", "bytes"}. Raises BadArchive, NotAFile, NotAFolder, NoRoom.

        `archive` can seek.
        """
        with self._volume.used():
            return self._unzipper.unzip(checked(path), archive)

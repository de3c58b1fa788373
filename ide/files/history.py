"""Which contents had a file before? The last ones of each path, also of files that are gone.

history/KEY/TIME.ETAG holds one, KEY being the BLAKE2b-128 of the path; the link history/KEY/path says which that is.
Every content that we acknowledge is copied here as it is saved, so a program that then writes over the file cannot
lose it. These copies are not synced one by one: they survive `kill -9`; after a power cut one may be short, which its
ETag shows.
"""
from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import NotFound

from .confine import NO_ROOM, refused
from .paths import shown
from .reading import OpenFile, read, snapshot, write_all
from .sweeping import new_name, remove_tree
from .times import moment
from .volume import Volume, identity

log = logging.getLogger(__name__)

# TIME is this many digits, so that names order by time; nothing else in the folder is as long as TIME.ETAG.
TIME_DIGITS = 20
NAME_LENGTH = TIME_DIGITS + 1 + 32
PATH = b"path"
KEY_END = b"-"

# All of a project's history together: this part of what its files may be, and as many entries as it may have files.
# The oldest go first, and some more, so that it is not counted again for each save.
SHARE = 0.5
LEAVE = 0.9
BLOCK_BYTES = 4096              # what an entry takes on the disk at least


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One content of one path."""

    name: bytes                 # begins with its time, so this orders them
    key: bytes
    size: int

    @property
    def etag(self) -> str:
        """Which content it is."""
        return self.name.rpartition(b".")[2].decode()


class History:
    """The contents of one project's files. Any thread."""

    def __init__(self, volume: Volume, config: IdeConfig) -> None:
        """Kept as `config.history` says."""
        self._volume = volume
        self._keep = config.history.keep
        self.max_file_bytes = config.history.file if self._keep else -1
        self._max_bytes = int(config.sandbox.disk * SHARE)
        self._max_entries = config.sandbox.files
        self._lock = threading.Lock()
        self._last_ns = 0
        self._used: tuple[int, int] | None = None       # bytes and entries; None: not counted yet

    # ---- putting in

    def add(self, path: bytes, content: bytes, etag: str) -> bool:
        """Keep a content of `path`, which becomes the newest one; whether it was not there before. OSError."""
        if len(content) > self.max_file_bytes:
            return False
        with self._lock:
            folder = self._folder(path)
            try:
                is_new = not self._renewed(folder, etag)
                if is_new:
                    self._write(folder, content, etag)
            finally:
                os.close(folder)
        return is_new

    def forget(self, path: bytes, etag: str) -> None:
        """What was added never became the file's content. OSError."""
        with self._lock:
            folder = self._find(path)
            if folder is None:
                return
            try:
                for name in entries_in(folder):
                    if name.endswith(etag.encode()):
                        size = os.stat(name, dir_fd=folder).st_size
                        os.unlink(name, dir_fd=folder)
                        self._count(-size, -1)
            finally:
                os.close(folder)

    def take(self, path: bytes, name: bytes, *, or_drop: bool = False) -> None:
        """Keep what is called `name` in tmp/, if it is a file that is kept; else it is gone. OSError.

        On a full disk it waits in tmp/ for the next start, or goes too if `or_drop`.

        It is moved, not copied: that needs no room, and after a power cut it is whole.
        """
        volume = self._volume
        try:
            status = os.stat(name, dir_fd=volume.tmp, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_size <= self.max_file_bytes:
                self._take(path, volume.tmp, name)
        except FileNotFoundError:
            pass                        # it went back to where it was
        except PermissionError as error:
            log.warning("a content is not kept: its owner made it unreadable path=%s: %s", shown(path), error)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            log.warning("the disk is full, a content is not in the history path=%s dropped=%s", shown(path), or_drop)
            if not or_drop:
                return
        volume.drop(name)

    def take_from(self, path: bytes, folder: int, name: bytes) -> None:
        """As `take`, of a file in a folder of tmp/; it may still be there afterwards."""
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and status.st_size <= self.max_file_bytes:
            with suppress(PermissionError):
                self._take(path, folder, name)

    def _take(self, path: bytes, folder: int, name: bytes) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            content = read(fd, self.max_file_bytes)
            status = os.fstat(fd)
        finally:
            os.close(fd)
        if content.data is None or not stat.S_ISREG(status.st_mode):
            return
        if status.st_nlink > 1:         # another name of it stays with the project's programs, who may write to it
            self.add(path, content.data, content.etag)
            return
        with self._lock:
            kept = self._folder(path)
            try:
                if not self._renewed(kept, content.etag):
                    entry = self._name(content.etag)
                    os.rename(name, entry, src_dir_fd=folder, dst_dir_fd=kept)
                    now = os.stat(entry, dir_fd=kept, follow_symlinks=False)
                    if identity(now) != identity(status):
                        # A program whose working folder was deleted put a pipe, a link, a folder there just then.
                        out = new_name()
                        os.rename(entry, out, src_dir_fd=kept, dst_dir_fd=self._volume.tmp)
                        remove_tree(self._volume.tmp, out)
                        return
                    self._grown(content.size, kept)
            finally:
                os.close(kept)

    def _folder(self, path: bytes) -> int:
        key = key_of(path)
        while True:
            try:
                return os.open(key, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._volume.kept)
            except FileNotFoundError:
                self._make_folder(key, path)

    def _make_folder(self, key: bytes, path: bytes) -> None:
        # In one step: a folder that does not say its path would be of no use to the next start.
        volume = self._volume
        draft = new_name()
        os.mkdir(draft, 0o700, dir_fd=volume.tmp)
        try:
            volume.note_path(volume.tmp, draft + b"/" + PATH, path)
            os.rename(draft, key, src_dir_fd=volume.tmp, dst_dir_fd=volume.kept)
        except BaseException:
            remove_tree(volume.tmp, draft)
            raise

    def _renewed(self, folder: int, etag: str) -> bool:
        """Whether the content is there; then it is one of the two newest: what a save replaces, and what it writes."""
        entries = entries_in(folder)
        for name in entries:
            if name.endswith(etag.encode()):
                if name not in entries[-2:]:
                    os.rename(name, self._name(etag), src_dir_fd=folder, dst_dir_fd=folder)
                return True
        return False

    def _name(self, etag: str) -> bytes:
        # A clock that was set back must not make a new content older than those before it.
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        return b"%0*d.%s" % (TIME_DIGITS, self._last_ns, etag.encode())

    def _write(self, folder: int, content: bytes, etag: str) -> None:
        draft = new_name()
        fd = self._volume.new_file(self._volume.tmp, draft)
        try:
            write_all(fd, content)
            os.rename(draft, self._name(etag), src_dir_fd=self._volume.tmp, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=self._volume.tmp)
            raise
        finally:
            os.close(fd)
        self._grown(len(content), folder)

    # ---- bounds

    def _grown(self, n_bytes: int, folder: int) -> None:
        # One more than asked for: the newest is often what the file has now, and that is no earlier content.
        for name in entries_in(folder)[:-(self._keep + 1)]:
            size = os.stat(name, dir_fd=folder).st_size
            os.unlink(name, dir_fd=folder)
            self._count(-size, -1)
        self._count(n_bytes, 1)

    def _count(self, n_bytes: int, n: int) -> None:
        if self._used is None:
            self._used = total(self._all())
        else:
            self._used = self._used[0] + n * max(abs(n_bytes), BLOCK_BYTES), self._used[1] + n
        if self._used[0] > self._max_bytes or self._used[1] > self._max_entries:
            self._shrink(int(self._max_bytes * LEAVE), int(self._max_entries * LEAVE))

    def _all(self) -> list[Entry]:
        entries = []
        for key in os.listdir(self._volume.kept):
            with suppress(FileNotFoundError, NotADirectoryError):
                folder = os.open(key, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._volume.kept)
                try:
                    entries += [Entry(name, os.fsencode(key), os.stat(name, dir_fd=folder).st_size)
                                for name in entries_in(folder)]
                finally:
                    os.close(folder)
        return entries

    def _shrink(self, max_bytes: int, max_entries: int) -> None:
        entries = sorted(self._all())
        n_bytes, n = total(entries)
        touched = set()
        for entry in entries:
            if n_bytes <= max_bytes and n <= max_entries:
                break
            os.unlink(entry.key + b"/" + entry.name, dir_fd=self._volume.kept)
            n_bytes, n = n_bytes - max(entry.size, BLOCK_BYTES), n - 1
            touched.add(entry.key)
        for key in touched - {entry.key for entry in entries[-n:] if n}:
            with suppress(OSError):
                os.unlink(key + b"/" + PATH, dir_fd=self._volume.kept)
                os.rmdir(key, dir_fd=self._volume.kept)
        self._used = n_bytes, n

    # ---- what a save displaces, named so that a crash does not lose it

    def arm(self, path: bytes, name: bytes) -> bytes:
        """As `Volume.arm`, for a path that something was just added to: its name in tmp/ from now on. OSError."""
        armed = key_of(path) + KEY_END + name
        os.rename(name, armed, src_dir_fd=self._volume.tmp, dst_dir_fd=self._volume.tmp)
        return armed

    def armed(self) -> Iterator[tuple[bytes, bytes]]:
        """What `arm` named so: the name in tmp/, and the path. OSError."""
        for name in map(os.fsencode, os.listdir(self._volume.tmp)):
            key, end, _ = name.partition(KEY_END)
            if end:
                with suppress(FileNotFoundError):
                    yield name, self._volume.noted_path(self._volume.kept, key + b"/" + PATH)

    def give_way(self) -> bool:
        """The disk is full: let go of the older half, if there is any. What is typed now comes first."""
        with self._lock:
            n_bytes, n = total(self._all())
            if n:
                self._shrink(n_bytes // 2, n // 2)
            return n > 0

    # ---- taking out

    def versions(self, path: bytes, current: str | None) -> list[dict[str, object]]:
        """{"etag", "size", "time"} of each content but `current`, newest first; `time`: when it was written."""
        with self._lock, refused(path):
            folder = self._find(path)
            if folder is None:
                return []
            try:
                found = [(name, os.stat(name, dir_fd=folder)) for name in reversed(entries_in(folder))]
            finally:
                os.close(folder)
        return [{"etag": etag, "size": status.st_size, "time": moment(status.st_mtime_ns)}
                for name, status in found if (etag := name[-32:].decode()) != current][:self._keep]

    def open(self, path: bytes, etag: str) -> OpenFile:
        """One content of `path`. Raises NotFound."""
        missing = NotFound(f"{shown(path)} has no such content in its history")
        with self._lock, refused(path):
            folder = self._find(path)
            if folder is None:
                raise missing
            try:
                name = next((name for name in entries_in(folder) if name[-32:].decode() == etag), None)
                if name is None:
                    raise missing
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
                try:
                    mtime_s = os.fstat(fd).st_mtime_ns / 1e9
                    content = read(fd, self.max_file_bytes)
                finally:
                    os.close(fd)
                if content.data is None or content.etag != etag:
                    # Cut short by a power cut; or a program still had the replaced file open, and wrote to it.
                    os.rename(name, name[:-32] + content.etag.encode(), src_dir_fd=folder, dst_dir_fd=folder)
                    raise missing
            finally:
                os.close(folder)
        return OpenFile(snapshot(content.data), content.size, etag, mtime_s)

    def _find(self, path: bytes) -> int | None:
        try:
            return os.open(key_of(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._volume.kept)
        except FileNotFoundError:
            return None


def key_of(path: bytes) -> bytes:
    """What the path is called in history/."""
    return hashlib.blake2b(path, digest_size=16).hexdigest().encode()


def entries_in(folder: int) -> list[bytes]:
    """The names of the contents, oldest first."""
    return [name.encode() for name in sorted(os.listdir(folder)) if len(name) == NAME_LENGTH]


def total(entries: list[Entry]) -> tuple[int, int]:
    """Bytes and how many."""
    return sum(max(entry.size, BLOCK_BYTES) for entry in entries), len(entries)

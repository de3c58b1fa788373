"""Everything of a project's folder as entries of a manifest; contents that the store lacks are sent to it."""
from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hotpath.ide.errors import BackupFailed
from hotpath.ide.files.paths import joined
from hotpath.ide.walking import FOLDER, Visit, kind_of_entry, walk

from .manifest import FOLDER_MODE, Entry
from .reading import Content, Shape, read

log = logging.getLogger(__name__)

# Contents on their way at the same time; each is at most `reading.SMALL` in memory.
UPLOADS = 4
# A file that was written to just now may be written to again within the same tick of its clock.
SETTLED_NS = 2_000_000_000

# Its owner forbids it, or it is gone or another thing by now.
UNREADABLE = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ELOOP, errno.ENXIO)

Known = dict[bytes, tuple[Shape, str]]          # path -> what it looked like, and its content's hash


class Gathering:
    """One backup's way through the folder."""

    def __init__(self, known: Known, stored: set[str], put: Callable[[str, Content], None]) -> None:
        """`known`: hashes from the last time; `stored`: contents the store has; `put` sends one there, in a thread."""
        self._known = known
        self._stored = stored
        self._put = put
        self._sending: deque[Future[None]] = deque()
        self.files: dict[str, Entry] = {}
        self.known: Known = {}              # for the next time
        self.uploaded = 0

    def run(self, root: Path, ignore: Collection[str]) -> None:
        """All of it. OSError: no such folder; and what `put` raises."""
        spool = root.parent / "tmp"
        root_fd = os.open(root, FOLDER)
        pool = ThreadPoolExecutor(UPLOADS, "backup")
        try:
            for visit in walk(root_fd, frozenset(ignore)):
                self._folder(visit)
                for entry in visit.entries:
                    path = joined(visit.path, os.fsencode(entry.name))
                    kind = kind_of_entry(entry)
                    if kind == "link":
                        with suppress(OSError):         # gone again
                            self.files[os.fsdecode(path)] = Entry(link=os.readlink(entry.name, dir_fd=visit.fd))
                    elif kind == "file":
                        self._file(path, entry, visit.fd, spool if spool.is_dir() else None, pool)
            while self._sending:
                self._sending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            os.close(root_fd)

    def _folder(self, visit: Visit) -> None:
        mode = stat.S_IMODE(os.fstat(visit.fd).st_mode) & 0o777
        if visit.path and (not visit.entries or mode != FOLDER_MODE):
            self.files[os.fsdecode(visit.path)] = Entry(dir=1, mode=None if mode == FOLDER_MODE else mode)

    def _file(self, path: bytes, entry: os.DirEntry[str], folder_fd: int, spool: Path | None,
              pool: ThreadPoolExecutor) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
            before = self._known.get(path)
            if before is not None and before[0] == Shape.of(status) and before[1] in self._stored:
                self._take(path, status, before[1])
                return
            now_ns = time.time_ns()
            content = read(os.fsencode(entry.name), folder_fd, spool)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise BackupFailed(f"{os.fsdecode(path)!r} cannot be read: {error.strerror}") from error
            log.warning("backup: left out path=%r: %s", os.fsdecode(path), error.strerror)
            return
        if content is None:
            return
        if max(content.status.st_ctime_ns, content.status.st_mtime_ns) < now_ns - SETTLED_NS:
            self._take(path, content.status, content.digest)
        else:
            self._list(path, content.status, content.digest, content.size)
        if content.digest in self._stored:
            close(content)
            return
        self._stored.add(content.digest)
        self.uploaded += 1
        if len(self._sending) >= 2 * UPLOADS:
            self._sending.popleft().result()
        self._sending.append(pool.submit(self._send, content))

    def _take(self, path: bytes, status: os.stat_result, digest: str) -> None:
        self.known[path] = (Shape.of(status), digest)
        self._list(path, status, digest, status.st_size)

    def _list(self, path: bytes, status: os.stat_result, digest: str, size: int) -> None:
        self.files[os.fsdecode(path)] = Entry(blob=digest, mode=stat.S_IMODE(status.st_mode) & 0o777, size=size)

    def _send(self, content: Content) -> None:
        try:
            self._put(content.digest, content)
        finally:
            close(content)


def close(content: Content) -> None:
    """Give a temporary file back."""
    if not isinstance(content.body, bytes):
        content.body.close()

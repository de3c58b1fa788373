"""What is in a file, and which contents are those?"""
from __future__ import annotations

import hashlib
import os
import stat
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from hotpath.ide.errors import NotAFile, NotAFolder, NotFound

from .confine import resolve
from .paths import shown

CHUNK_BYTES = 256 * 1024

# Up to here a file is read into memory before it is sent, so that the bytes are those that the ETag names even if a
# program writes meanwhile. The editor opens such ones. A larger one is read as it is then: its ETag is of a moment ago.
SNAPSHOT_BYTES = 1024 * 1024

# Each range of a large file would cost all of it. An entry is 200 bytes.
MAX_CACHED = 1024
# A file that changed this short ago can change again without a new time: clocks of file systems tick every 10 ms.
TICK_NS = 100_000_000


def etag_of(content: bytes) -> str:
    """Of these bytes: their BLAKE2b-128, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Content:
    """What a file had in it when it was read."""

    etag: str
    size: int
    data: bytes | None      # None: more than was to be kept in memory


def read(fd: int, keep: int, at_most: int = sys.maxsize) -> Content:
    """The file from its beginning to its end, or `at_most` bytes of it; `data` too, if that is no more than `keep`."""
    digest = hashlib.blake2b(digest_size=16)
    size = 0
    pieces: list[bytes] = []
    while piece := os.pread(fd, min(CHUNK_BYTES, at_most - size), size):
        digest.update(piece)
        size += len(piece)
        if size <= keep:
            pieces.append(piece)
        else:
            pieces = []
    return Content(digest.hexdigest(), size, b"".join(pieces) if size <= keep else None)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file to send: `size` bytes from the start of `fd`, which is the holder's to close."""

    fd: int
    size: int
    etag: str
    mtime: float            # seconds since 1970

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


class Etags:
    """Reads files for whoever wants to send them; knows the ETags of those that did not change since. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, ...], str] = OrderedDict()

    def open(self, root: int, path: bytes) -> OpenFile:
        """What `path` names below `root`. Raises NotFound, NotAFile, OutsideProject, NotAllowed."""
        try:
            fd = resolve(root, path)
        except NotAFolder as error:
            raise NotFound(str(error)) from None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise NotAFile(f"{shown(path) or 'the project'} is no file")
            file = self._file(fd, status)
        except BaseException:
            os.close(fd)
            raise
        if file.fd != fd:
            os.close(fd)
        return file

    def _file(self, fd: int, status: os.stat_result) -> OpenFile:
        mtime_s = status.st_mtime_ns / 1e9
        if status.st_size > SNAPSHOT_BYTES:
            etag = self._etag(fd, status)
            return OpenFile(fd, status.st_size, etag, mtime_s)
        content = read(fd, SNAPSHOT_BYTES)
        if content.data is None:        # it grew meanwhile
            return OpenFile(fd, content.size, content.etag, mtime_s)
        return OpenFile(snapshot(content.data), content.size, content.etag, mtime_s)

    def _etag(self, fd: int, status: os.stat_result) -> str:
        # Written through a mapping, contents can change before the times do; so whoever replaces a file reads it.
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
        etag = read(fd, 0, status.st_size).etag
        after = os.fstat(fd)
        settled = after.st_ctime_ns == status.st_ctime_ns and time.time_ns() - status.st_ctime_ns > TICK_NS
        if settled:
            with self._lock:
                self._known[key] = etag
                if len(self._known) > MAX_CACHED:
                    self._known.popitem(last=False)
        return etag


def snapshot(data: bytes) -> int:
    """A descriptor of a nameless file in memory with these bytes, at its start."""
    fd = os.memfd_create("content", os.MFD_CLOEXEC)
    try:
        write_all(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it. OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest):]

"""A file's content at one moment, although somebody writes to it meanwhile."""
from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import IO, NamedTuple

# Held in memory up to this, beyond it in a temporary file without a name.
SMALL = 4 * 1024 * 1024
PIECE = 1024 * 1024
# A file that never holds still is a log, and is taken as far as it went.
TRIES = 5
PAUSE_S = 0.02


class Content(NamedTuple):
    """Give it back with `body.close()` if it is a file."""

    body: bytes | IO[bytes]     # at its beginning
    size: int
    digest: str                 # blake2b-256
    md5: bytes                  # what S3 compares on arrival
    status: os.stat_result      # of when it was read


class Shape(NamedTuple):
    """What changes when a file's content does: as good as its content, if it has been so for a while."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Shape:
        """From the kernel's answer."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def read(name: bytes, folder_fd: int, spool: Path | None) -> Content | None:
    """Of this file; None: it is none (any more). Raises OSError when it cannot be read.

    One that changes while it is read is read again. `spool`: the folder for temporary files.
    """
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as file:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            return None
        for last in range(TRIES):
            content = _read_once(file, before, spool)
            after = os.fstat(fd)
            if Shape.of(before) == Shape.of(after) or last == TRIES - 1:
                return content
            if not isinstance(content.body, bytes):
                content.body.close()
            time.sleep(PAUSE_S * 2**last)
            before = os.fstat(fd)
            file.seek(0)
    raise AssertionError("not reached")


def _read_once(file: IO[bytes], status: os.stat_result, spool: Path | None) -> Content:
    """As many bytes as it had: what is appended meanwhile is of the next time."""
    hashed, md5 = hashlib.blake2b(digest_size=32), hashlib.md5(usedforsecurity=False)
    left = status.st_size
    pieces: list[bytes] = []
    spooled = tempfile.TemporaryFile(dir=spool) if left > SMALL else None   # noqa: SIM115 - the caller closes it
    try:
        while left and (piece := file.read(min(left, PIECE))):
            left -= len(piece)
            hashed.update(piece)
            md5.update(piece)
            if spooled is None:
                pieces.append(piece)
            else:
                spooled.write(piece)
        if spooled is not None:
            spooled.seek(0)
    except BaseException:
        if spooled is not None:
            spooled.close()
        raise
    return Content(b"".join(pieces) if spooled is None else spooled, status.st_size - left, hashed.hexdigest(),
                   md5.digest(), status)

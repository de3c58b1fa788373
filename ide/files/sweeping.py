"""Removes what lies in tmp/, however deep it is and whatever its owner forbade."""
from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import suppress

from .confine import opened

log = logging.getLogger(__name__)

# Programs whose working folder it was may still put things into it.
SWEEPS = 10


def new_name() -> bytes:
    """A name in tmp/ that nothing has."""
    return os.urandom(12).hex().encode()


def remove_tree(tmp: int, name: bytes) -> None:
    """Remove what is called so in tmp/, however deep it is: inner folders are moved up before they are emptied.

    What the system forbids is left to the next start, and logged.
    """
    waiting = [name]
    while waiting:
        one = waiting.pop()
        try:
            waiting += emptied(tmp, one)
        except OSError as error:
            log.warning("not removed from tmp/: %s: %s", one.decode(), error)


def emptied(tmp: int, one: bytes) -> list[bytes]:
    """Remove one folder of tmp/ (or a file); the names in tmp/ of the folders that were in it. OSError."""
    try:
        fd = opened(tmp, one, os.O_RDONLY | os.O_DIRECTORY, links=False)
    except PermissionError:
        allow(tmp, one)
        fd = opened(tmp, one, os.O_RDONLY | os.O_DIRECTORY, links=False)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ENOENT, errno.ELOOP):       # no folder, nothing, a link
            raise
        with suppress(FileNotFoundError):
            os.unlink(one, dir_fd=tmp)
        return []
    inner: list[bytes] = []
    try:
        for _ in range(SWEEPS):
            for name in map(os.fsencode, os.listdir(fd)):
                with suppress(FileNotFoundError):
                    inner += clear(tmp, one, fd, name)
            try:
                os.rmdir(one, dir_fd=tmp)
                break
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
    finally:
        os.close(fd)
    return inner


def clear(tmp: int, one: bytes, fd: int, name: bytes) -> list[bytes]:
    """Take one thing out of a folder of tmp/; where it is a folder, its new name in tmp/."""
    for tried in (False, True):
        try:
            try:
                os.unlink(name, dir_fd=fd)
                return []
            except (IsADirectoryError, PermissionError):
                if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    raise
            moved = new_name()
            os.rename(name, moved, src_dir_fd=fd, dst_dir_fd=tmp)
            return [moved]
        except PermissionError:
            if tried:
                raise
            # A program forbade itself the folder; moving one changes its .. too, which is forbidden with it.
            allow(tmp, one)
            with suppress(OSError):
                allow(fd, name)
    return []


def allow(folder: int, name: bytes) -> None:
    """Let the owner, us, into the folder of that name; never through a link. OSError."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(b"/proc/self/fd/%d" % fd, stat.S_IRWXU)
    finally:
        os.close(fd)

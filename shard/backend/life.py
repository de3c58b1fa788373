"""Does a detached server live, and which process is it?

A server inherits a locked file: the kernel keeps the lock while it lives, and gives it back however it dies. No pid
file says as much, since pids are used again, and kill() calls a zombie alive.
"""
from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

# struct flock of 64-bit Linux: type, whence, start, length, pid. The lock belongs to the open file, so that a child
# that inherits it keeps it (fcntl(2), "Open file description locks"); asking does not disturb who takes it now.
FLOCK = "hhqqi"


def taken(path: Path) -> int | None:
    """The descriptor of `path`, made if missing, and locked for us and whoever inherits it; None: another holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_held(path: Path) -> bool:
    """Whether somebody lives who holds it. Raises PermissionError if we may not know."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return bool(struct.unpack(FLOCK, answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(fd)


def holder(path: Path, guess: int | None = None) -> int | None:
    """The process that holds `path`, looked for at `guess` first; None: none, or we may not see it."""
    if not is_held(path):
        return None
    wanted = os.stat(path)
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid())
    return next((pid for pid in (*((guess,) if guess else ()), *pids) if _has_open(pid, wanted)), None)


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            there = os.stat(f"/proc/{pid}/fd/{fd}")
            if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    except OSError:     # gone, or not ours to see
        pass
    return False

"""A program on a terminal of its own: what every kind of sandbox but docker hands out."""
from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
from collections.abc import Iterator
from contextlib import suppress

from . import Running
from .children import Child


class Session:
    """A Spawned: the child leads a session whose terminal's other side is `fd`."""

    early = b""

    def __init__(self, child: Child, fd: int) -> None:
        """Takes neither over: whoever has this closes `fd`."""
        self.child = child
        self.fd = fd
        self._terminal = os.fstat(fd).st_ino, os.fstat(fd).st_dev, os.fstat(fd).st_rdev

    def resize(self, cols: int, rows: int) -> None:
        """See Spawned."""
        if self._is_open():
            with suppress(OSError):
                fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def kill(self, signal: int) -> None:
        """See Spawned."""
        if self.child.ended.is_set:
            return              # its number may be somebody else's by now
        for pid in {self.child.pid, *members(self.child.pid)}:
            with suppress(OSError):
                os.kill(pid, signal)

    def wait(self) -> int:
        """See Spawned."""
        return self.child.wait()

    def _is_open(self) -> bool:
        with suppress(OSError):
            now = os.fstat(self.fd)
            return (now.st_ino, now.st_dev, now.st_rdev) == self._terminal
        return False


def members(leader: int) -> Iterator[int]:
    """The processes of a session; none, if there is no descriptor to look with."""
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir("/proc")
    for name in names:
        if name.isdigit():
            with suppress(OSError, IndexError, ValueError), open(f"/proc/{name}/stat", "rb") as stat:
                # Behind the name in brackets, which may hold anything: state, parent, group, session.
                if int(stat.read().rpartition(b")")[2].split()[3]) == leader:
                    yield int(name)


def end_behind(session: Session, running: Running) -> None:
    """A task: a one-shot sandbox ends with its program."""
    session.wait()
    running.stop()


def end_all(pids: list[int]) -> None:
    """Kill them."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)

"""A program on a real terminal of this machine, or behind a stream socket: what a sandbox spawns, without one."""
from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import struct
import termios
from collections.abc import Sequence
from contextlib import suppress

from hotpath.core.tasks import sleep

ENV = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8", "PS1": "$ ", "HISTFILE": "/dev/null"}


class Program:
    """What both have."""

    def __init__(self, pid: int, fd: int, early: bytes = b"") -> None:
        self.pid, self.fd, self.early = pid, fd, early
        self.sizes: list[tuple[int, int]] = []
        os.set_blocking(fd, False)

    def kill(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self) -> int:
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            sleep(0.005)


class OnTerminal(Program):
    """On a PTY, in a session of its own."""

    def __init__(self, argv: Sequence[str], cols: int, rows: int, early: bytes = b"") -> None:
        master, slave = pty.openpty()
        set_size(slave, cols, rows)
        pid = started(slave, argv, controlling=True)
        os.close(slave)
        super().__init__(pid, master, early)

    def resize(self, cols: int, rows: int) -> None:
        self.sizes.append((cols, rows))
        with suppress(OSError):
            set_size(self.fd, cols, rows)


class OnSocket(Program):
    """Behind a stream socket, as an engine's exec is."""

    def __init__(self, argv: Sequence[str], early: bytes = b"") -> None:
        ours, theirs = socket.socketpair()
        pid = started(theirs.fileno(), argv, controlling=False)
        theirs.close()
        super().__init__(pid, ours.detach(), early)

    def resize(self, cols: int, rows: int) -> None:
        self.sizes.append((cols, rows))


def set_size(fd: int, cols: int, rows: int) -> None:
    """Of a terminal."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def started(fd: int, argv: Sequence[str], *, controlling: bool) -> int:
    """The pid, once the program is there: a signal reaches it."""
    ready, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        exec_on(fd, argv, controlling, theirs)
    os.close(theirs)
    os.read(ready, 1)               # closed by the exec
    os.close(ready)
    return pid


def exec_on(fd: int, argv: Sequence[str], controlling: bool, told: int) -> None:
    """In a child: become the program, with `fd` for all it reads and writes. The exec closes `told`."""
    try:
        os.setsid()
        if controlling:
            fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
        for number in range(3):
            os.dup2(fd, number)
        os.closerange(3, told)
        os.closerange(told + 1, 200)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir("/tmp")
        os.execvpe(argv[0], list(argv), ENV)
    finally:
        os._exit(127)

"""Children of the server that enter.pyx forked: what they report, and how they end."""
from __future__ import annotations

import array
import logging
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event, timeout
from hotpath.core.tasks.task import kept_by_loop
from hotpath.ide.errors import SandboxFailed

from .enter import DONE, MAX_SOCKETS, STAGES, told

log = logging.getLogger(__name__)

READABLE = select.EPOLLIN | select.EPOLLHUP


class Child:
    """One of them; reaped when it ends, whoever asks."""

    def __init__(self, children: Children, pid: int) -> None:
        """Of a child of this process. OSError: there is no descriptor left."""
        self.pid = pid
        self.ended = Event()
        self.status = 0             # once ended: its exit status, or -signal
        self._children = children
        self._fd = os.pidfd_open(pid)
        children.loop.watch(self._fd, READABLE, self._reap)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, unless it has ended."""
        if not self.ended.is_set:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    def wait(self) -> int:
        """In a task: its status."""
        self.ended.wait()
        return self.status

    def _reap(self, _events: int) -> None:
        with suppress(ChildProcessError):       # somebody waits for all of ours: then nobody knows how it ended
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return
            self.status = os.waitstatus_to_exitcode(status)
        self.release()
        self.ended.set()

    def release(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            self._children.loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._children.living.discard(self)


class Children:
    """All of one loop."""

    def __init__(self, loop: Loop) -> None:
        """None yet."""
        self.loop = loop
        self.living: set[Child] = set()

    def add(self, pid: int) -> Child:
        """One that was just forked; killed if it cannot be watched."""
        try:
            child = Child(self, pid)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self.living.add(child)
        return child

    def reap_lost(self) -> None:
        """Those in a process namespace that nobody told us of: whoever forked them was killed just then.

        Such a namespace cannot end before its last process was reaped, and only we can.
        """
        known = {child.pid for child in self.living}
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) not in known:
                with suppress(OSError, KeyError), open(f"/proc/{name}/status") as status:
                    facts = dict(line.split(":", 1) for line in status)
                    if int(facts["PPid"]) == os.getpid() and len(facts["NSpid"].split()) > 1:
                        os.waitpid(int(name), os.WNOHANG)

    def close(self) -> None:
        """The loop ends."""
        for child in list(self.living):
            child.release()


def children() -> Children:
    """Of the loop that runs here."""
    return kept_by_loop("ide children", Children)


@dataclass
class Told:
    """What a forked child had to say."""

    child: Child                            # the process that was forked
    pid: int = 0                            # of the program, as we see it
    fds: list[int] = field(default_factory=list)        # ours to close
    failed: str = ""                        # a sentence without its end; empty: nothing failed
    errno: int = 0

    def close(self) -> None:
        """Give back what came with it."""
        while self.fds:
            os.close(self.fds.pop())


def hear(begin: Callable[[int], int], within_s: float, what: str) -> Told:
    """In a task: fork by `begin(report)`, and listen until the program runs or the child has said what failed.

    Raises SandboxFailed when it does neither, or when there is no room for a process. The answer's `failed` is for the
    caller to judge.
    """
    family = children()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    with ours:
        with theirs:
            theirs.setblocking(True)
            try:
                heard = Told(family.add(begin(theirs.fileno())))
            except OSError as error:
                raise SandboxFailed(f"{what}: no process can be started: {error.strerror}; close some projects, or "
                                    "raise what the system allows the server") from error
        ended = Event()
        family.loop.watch(ours.fileno(), READABLE, lambda _events: _listen(ours, heard, ended))
        try:
            with timeout(within_s):
                ended.wait()
        except BaseException as error:
            heard.child.kill()
            if heard.pid not in (0, heard.child.pid):
                family.add(heard.pid).kill()
            heard.close()
            if isinstance(error, TimeoutError):
                raise SandboxFailed(f"{what}: nothing came of it within {within_s:g} s: the machine is overloaded, or "
                                    "sandbox.start_timeout is too short") from None
            raise
        finally:
            family.loop.unwatch(ours.fileno())
    return heard


def _listen(ours: socket.socket, heard: Told, ended: Event) -> None:
    room = socket.CMSG_SPACE(MAX_SOCKETS * array.array("i").itemsize)
    while True:
        try:
            message, extra, _flags, _ = ours.recvmsg(64, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as error:
            heard.failed, heard.errno = "report what came of it", error.errno or 0
            message, extra = b"", []
        for level, kind, data in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
                heard.fds += fds
        if not message:
            ended.set()
            return
        stage, errno, pid = told(message)
        if stage == DONE:
            heard.pid = pid
        else:
            heard.failed, heard.errno = STAGES[stage], errno

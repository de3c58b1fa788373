"""Starts bwrap, and waits until all is mounted: its payload's first line says so."""
from __future__ import annotations

import contextlib
import os
import re
import select
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hotpath.core.tasks import Event, timeout
from hotpath.ide.errors import SandboxFailed

from .children import Child, Told, children, hear

Begin = Callable[[int, Sequence[int]], int]     # (report, descriptors that become 0, 1, 2 and so on) -> pid


@dataclass(frozen=True, slots=True)
class Launched:
    """A sandbox that stands."""

    child: Child        # bwrap itself
    pid: int            # of its payload, as we see it


def launch(begin: Begin, contents: Sequence[bytes], within_s: float, what: str) -> Launched:
    """In a task. `begin` starts bwrap on stdin, stdout, stderr, its `--info-fd` and a file of each of `contents`.

    Raises SandboxFailed, with what bwrap said.
    """
    with contextlib.ExitStack() as ours:
        ready, info, errors = ours.enter_context(_pipe()), ours.enter_context(_pipe()), ours.enter_context(_pipe())
        null = ours.enter_context(open("/dev/null", "rb+", buffering=0))
        files = [ours.enter_context(_file(content)) for content in contents]
        told = hear(lambda report: begin(report, [
            null.fileno(), ready.writing, errors.writing, info.writing, *files]), within_s, what)
        for pipe in (ready, info, errors):
            pipe.close_writing()
        if told.failed:
            raise failure(told, what)
        try:
            with timeout(within_s):
                _wait_readable(ready.reading)
            said = ready.read()
            pid = re.search(rb'"child-pid":\s*(\d+)', info.read())
            if said and pid:
                return Launched(told.child, int(pid[1]))
            why = errors.read().decode(errors="replace").strip().removeprefix("bwrap: ")
        except BaseException as error:
            told.child.kill()
            if isinstance(error, TimeoutError):
                raise SandboxFailed(f"{what}: bubblewrap was not ready within {within_s:g} s: the machine is "
                                    "overloaded, or sandbox.start_timeout is too short") from None
            raise
        told.child.kill()
        raise SandboxFailed(f"{what}: bubblewrap says: {why or 'nothing'}")


def failure(told: Told, what: str) -> SandboxFailed:
    """What the forked child could not do, as a refusal."""
    told.close()
    if not told.failed:
        return SandboxFailed(f"{what}: killed before it began: the project, or the machine, is out of memory")
    return SandboxFailed(f"{what}: cannot {told.failed}: {os.strerror(told.errno)}")


class _Pipe:
    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.reading, False)

    def close_writing(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def read(self) -> bytes:
        """What is there by now."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.reading, 4096)
        return b""


@contextlib.contextmanager
def _pipe() -> Iterator[_Pipe]:
    pipe = _Pipe()
    try:
        yield pipe
    finally:
        pipe.close_writing()
        os.close(pipe.reading)


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[int]:
    fd = os.memfd_create("hotpath-ide", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _wait_readable(fd: int) -> None:
    loop = children().loop
    readable = Event()
    loop.watch(fd, select.EPOLLIN | select.EPOLLHUP, lambda _events: readable.set())
    try:
        readable.wait()
    finally:
        loop.unwatch(fd)

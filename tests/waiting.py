"""Waiting for what must happen: poll with a deadline, never sleep and hope."""
from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Shared machines stall for seconds. A deadline only decides how long a failure takes, so it is generous.
DEADLINE_S = 60.0
POLL_S = 0.01


def wait_for(check: Callable[[], T], what: str, within_s: float = DEADLINE_S) -> T:
    """Call `check` until it answers something true; return that. AssertionError naming `what` after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not (answer := check()):
        if time.monotonic() > deadline_s:
            raise AssertionError(f"still waiting after {within_s:g} s for {what}")
        select.select([], [], [], POLL_S)
    return answer


_given: deque[int] = deque(maxlen=100)      # lately, and perhaps not bound yet


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody had a moment ago, and that no outgoing connection takes by chance.

    Nor the tests beside us: of several pytest-xdist workers each has ports of its own.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    n = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % n
    while True:
        port = random.SystemRandom().randrange(min(10_000, low // 2), low - n) // n * n + mine
        if port in _given:
            continue
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            _given.append(port)
            return port


def wait_for_port(port: int, host: str = "127.0.0.1") -> None:
    """Return once something accepts connections there."""
    def accepts() -> bool:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return True
        return False

    wait_for(accepts, f"{host}:{port} to accept")


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_stopped(pid: int) -> bool:
    """Whether a SIGSTOP has arrived in each of its threads."""
    states = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):       # a thread that has just ended
            states.append(stat.read_text().rpartition(")")[2].split()[0])
    return set(states) <= set("TtZX")       # of one that is gone there are none


def send_signal(pid: int, number: int) -> None:
    """As os.kill; but whom a SIGSTOP was sent to stands still once this returns.

    The kernel tells the threads when one of them runs next: until then they may go on and answer somebody.
    """
    os.kill(pid, number)
    if number == signal.SIGSTOP:
        wait_for(lambda: is_stopped(pid), f"{pid} to stand still")


class Process:
    """A command in a process group of its own, whose output can be waited for."""

    def __init__(self, command: Sequence[str], env: dict[str, str] | None = None, pass_fds: Sequence[int] = ()) -> None:
        self.output = ""            # stdout and stderr, as far as read
        self.popen = subprocess.Popen(
            command, env=env, pass_fds=pass_fds, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self.popen.stdout is not None
        self._pipe = self.popen.stdout.fileno()
        os.set_blocking(self._pipe, False)

    @property
    def pid(self) -> int:
        """Of the process itself, which leads the group."""
        return self.popen.pid

    def read(self) -> str:
        """All output so far."""
        with suppress(BlockingIOError):
            while piece := os.read(self._pipe, 65536):
                self.output += piece.decode(errors="replace")
        return self.output

    def wait_for_output(self, pattern: str, within_s: float = DEADLINE_S) -> re.Match[str]:
        """Return once the output matches the regular expression `pattern`."""
        def seen() -> re.Match[str] | None:
            ended = self.popen.poll() is not None
            match = re.search(pattern, self.read(), re.MULTILINE)
            if match is None and ended:
                raise AssertionError(f"ended with {self.popen.returncode} before {pattern!r}:\n{self.output}")
            return match

        try:
            return wait_for(seen, f"output {pattern!r}", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def wait(self, within_s: float = DEADLINE_S) -> int:
        """Return the exit status once it ended; its output is read meanwhile, so that it cannot block on the pipe."""
        def ended() -> bool:
            self.read()
            return self.popen.poll() is not None

        wait_for(ended, f"the end of {self.popen.args!r}", within_s)
        self.read()
        assert self.popen.returncode is not None
        return self.popen.returncode

    def kill(self) -> None:
        """End the whole group, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        self.read()


@contextmanager
def running(command: Sequence[str], env: dict[str, str] | None = None,
            pass_fds: Sequence[int] = ()) -> Iterator[Process]:
    """The command while the block runs; whatever is left of its group is killed behind it."""
    process = Process(command, env, pass_fds)
    try:
        yield process
    finally:
        process.kill()
        assert process.popen.stdout is not None
        process.popen.stdout.close()

"""An application, or a whole command, in real processes on a free port: for tests of whoever writes one."""
from __future__ import annotations

import os
import re
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from .config import AccessLog, ErrorLog, Log, ServeConfig
from .service import App, run

# A cold start on a busy machine takes under a second; this is for the day it does not.
PATIENCE_S = 60.0


class Served:
    """A started server."""

    def __init__(self, pid: int, folder: Path) -> None:
        """Of master `pid`, whose words go to files in `folder`."""
        self.pid = pid
        self.folder = folder
        self.status: int | None = None
        self.port = 0
        self.address = ""

    def start(self) -> None:
        """Wait until it serves."""
        self.port = int(self.wait_for(r"^ready: pid \d+, [^:\n]*:(\d+)")[1])
        self.address = f"127.0.0.1:{self.port}"

    def output(self) -> str:
        """All it said on stderr."""
        return (self.folder / "output").read_text(errors="replace")

    def access_log(self) -> str:
        """The access log as written so far."""
        path = self.folder / "access.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a line of its output that matches. AssertionError when it does not come."""
        deadline_s = time.monotonic() + PATIENCE_S
        while (match := re.search(pattern, self.output(), re.MULTILINE)) is None:
            if self._ended() or time.monotonic() > deadline_s:
                raise AssertionError(f"no {pattern!r} in:\n{self.output()}")
            select.select([], [], [], 0.01)
        return match

    def signal(self, number: int) -> None:
        """Signal the master."""
        os.kill(self.pid, number)

    def workers(self) -> list[int]:
        """The pids of its workers."""
        with suppress(FileNotFoundError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def stop(self) -> int:
        """TERM; its exit status once it ended."""
        if not self._ended():
            self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Its exit status once it ended."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._ended():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"it does not end:\n{self.output()}")
            select.select([], [], [], 0.01)
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        """End master and workers at once, or a server and its successors."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def _ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None


@contextmanager
def serving(app: App, config: ServeConfig | None = None, *, workers: int = 1) -> Iterator[Served]:
    """`app` in a process group of its own while the block runs. The config's listen, workers and logs are replaced."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "output").touch()
        whole = config or ServeConfig()
        access = whole.log.access or AccessLog()
        whole = msgspec.structs.replace(whole, log=Log(
            access=msgspec.structs.replace(access, path=str(folder / "access.log"), flush=0.01),
            error=ErrorLog(level="debug")))
        pid = os.fork()
        if pid == 0:
            _be_the_server(app, whole, workers, folder)
        served = Served(pid, folder)
        try:
            served.start()
            yield served
        finally:
            served.kill()


@contextmanager
def launched(command: Sequence[str], *, env: Mapping[str, str] | None = None, wait: bool = True) -> Iterator[Served]:
    """A command that serves, in a process group of its own while the block runs; its words go to `Served.output()`.

    Give it `--listen 127.0.0.1:0`, or the port of one that was killed. `wait`: until it serves.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = str(folder / "output")
        whole = dict(os.environ if env is None else env)
        pid = os.posix_spawnp(command[0], list(command), whole, setsid=True, file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2)])
        served = Served(pid, folder)
        try:
            if wait:
                served.start()
            yield served
        finally:
            served.kill()


def _be_the_server(app: App, config: ServeConfig, workers: int, folder: Path) -> None:
    status = 1
    try:
        os.setsid()
        output = os.open(folder / "output", os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # Not print: what a test framework put in sys.stderr's place is its own.
        sys.stdout = open(1, "w", buffering=1, closefd=False)   # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)   # noqa: SIM115
        status = run(app, listen="127.0.0.1:0", workers=workers, config=config)
    finally:
        os._exit(status)

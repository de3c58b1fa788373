"""A WebSocket echo server as a process: started, asked about its workers, ended."""
from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.waiting import Process, running, wait_for

# HOST:PORT of another echo server to ask instead: only what needs neither flags nor a process of ours runs then.
ELSEWHERE = os.environ.get("HOTPATH_TEST_WS")


class EchoServer:
    """Where it listens, and what /proc says of its workers."""

    def __init__(self, address: str, process: Process | None) -> None:
        self._address = address
        self._process = process

    @property
    def address(self) -> str:
        """HOST:PORT. Whoever connects makes it log: reading that here keeps its pipe from filling."""
        if self._process is not None:
            self._process.read()
        return self._address

    @property
    def process(self) -> Process:
        """The master."""
        if self._process is None:
            pytest.skip("HOTPATH_TEST_WS names a server that is not ours to look into or to end")
        return self._process

    def workers(self) -> list[int]:
        """The pids of the master's children."""
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def worker(self) -> int:
        """The pid of the only worker."""
        (pid,) = wait_for(self.workers, "a worker")
        return pid

    def terminate(self) -> None:
        """TERM: drain."""
        os.kill(self.process.pid, signal.SIGTERM)


@contextmanager
def echo_servers(folder: Path) -> Iterator[Callable[..., EchoServer]]:
    """What starts `hotpath-echo --ws` with further flags and `config`; all are killed behind the block."""
    with ExitStack() as stack:
        def start(*flags: str, config: dict[str, Any] | None = None) -> EchoServer:
            if ELSEWHERE is not None:
                if flags or config:
                    pytest.skip("HOTPATH_TEST_WS names a server whose flags are not ours to choose")
                return EchoServer(ELSEWHERE, None)
            program = shutil.which("hotpath-echo", path=str(Path(sys.executable).parent))
            assert program is not None, "no hotpath-echo beside the interpreter: make build"
            command = [program, "--ws", "--listen", "127.0.0.1:0", "--workers", "1", *flags]
            if config is not None:
                path = folder / "echo.yaml"
                path.write_text(yaml.safe_dump(config))
                command += ["--config", str(path)]
            process = stack.enter_context(running(command))
            assert process.popen.stdout is not None
            fcntl.fcntl(process.popen.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)    # a full pipe would stop it
            match = process.wait_for_output(r"^ready: pid \d+, ([^:\n]+:\d+)")
            return EchoServer(match[1], process)

        yield start


def memory(pid: int, name: str) -> int:
    """A field of the process' status (VmHWM, VmRSS, RssAnon ...) in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


class Growth:
    """The most that a process' memory grew since this was made."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        Path(f"/proc/{pid}/clear_refs").write_text("5")     # VmHWM restarts at what is resident now: proc(5)
        self._before = memory(pid, "VmHWM")

    def peak_bytes(self) -> int:
        return memory(self.pid, "VmHWM") - self._before


def n_open_files(pid: int) -> int:
    """How many descriptors the process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))

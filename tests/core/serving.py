"""The client's side of service.py: start it, ask it, load it."""
from __future__ import annotations

import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.core import service
from tests.core.service import Config
from tests.waiting import Process, running, send_signal, wait_for

COMMAND = [sys.executable, "-P", service.__file__]


class Running:
    """A started service: its process, its configuration file, where it listens."""

    def __init__(self, process: Process, path: Path, config: Config) -> None:
        self.process = process
        self.path = path
        self.config = config

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for a line that matches; an upgraded service writes on after its first master ended."""
        def seen() -> re.Match[str] | None:
            return re.search(pattern, self.process.read(), re.MULTILINE)

        try:
            return wait_for(seen, f"output {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.process.output}") from None

    def ready(self) -> int:
        """Wait until it is ready; the first port it listens on."""
        match = self.expect(r"^ready: pid (?P<pid>\d+)(, [^:\n]*:(?P<port>\d+))?.*$")
        return int(match["port"] or 0)

    def signal(self, number: int) -> None:
        """Signal the master."""
        send_signal(self.process.pid, number)

    def configure(self, **changes: object) -> None:
        """Change the file, tell nobody."""
        for name, value in changes.items():
            setattr(self.config, name, value)
        self.config.save(self.path)

    def reload(self, **changes: object) -> None:
        """Change the file and send HUP."""
        self.configure(**changes)
        self.signal(signal.SIGHUP)

    def stop(self) -> int:
        """TERM, then the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait()


@contextmanager
def services(folder: Path) -> Iterator[Callable[..., Running]]:
    """What starts the service with the given fields of its Config; all are killed behind the block."""
    with ExitStack() as stack:
        def start(**fields: object) -> Running:
            config = Config(**fields)   # type: ignore[arg-type]
            path = folder / "config.json"
            config.save(path)
            return Running(stack.enter_context(running([*COMMAND, str(path)])), path, config)

        yield start


class Client:
    """One connection; `ask()` answers who serves it: (pid, answer)."""

    def __init__(self, address: str | int) -> None:
        if isinstance(address, int):
            self.socket = socket.create_connection(("127.0.0.1", address), timeout=20)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(20)
            self.socket.connect(address)

    def ask(self) -> tuple[int, str]:
        self.socket.sendall(b"who?\n")
        line = b""
        while not line.endswith(b"\n"):
            piece = self.socket.recv(100)
            if not piece:
                raise ConnectionError(f"closed after {line!r}")
            line += piece
        pid, answer = line.decode().split()
        return int(pid), answer

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def ask(address: str | int) -> tuple[int, str]:
    """One question on a connection of its own."""
    with Client(address) as client:
        return client.ask()


class Load:
    """What some busy clients saw."""

    def __init__(self) -> None:
        self.n_answers = 0
        self.answers: set[str] = set()
        self.failures: list[str] = []


@contextmanager
def under_load(port: int, n_clients: int = 3) -> Iterator[Load]:
    """Clients that ask on one new connection after the other while the block runs."""
    load, stop = Load(), threading.Event()

    def be_busy() -> None:
        while not stop.is_set():
            try:
                load.answers.add(ask(port)[1])
                load.n_answers += 1
            except OSError as error:
                load.failures.append(repr(error))

    threads = [threading.Thread(target=be_busy) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()

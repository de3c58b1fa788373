"""A small service for the master's tests.

    python -P service.py CONFIG      CONFIG is JSON, its keys are the fields of Config

Each line a client sends is answered with `PID ANSWER`; a connection lives until its client closes it.
"""
from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hotpath.core import crew, master, worker
from hotpath.core.errors import ConfigError, HotpathError
from hotpath.core.listen import Listeners
from hotpath.core.master import Plan, WorkerContext
from hotpath.core.scalars import Address


@dataclass
class Config:
    """What the service does; tests rewrite the file."""

    listen: list[str] = field(default_factory=lambda: ["127.0.0.1:0"])
    answer: str = "one"
    workers: int = 2
    helper: bool = False
    drain_s: float = 20.0
    user: str | None = None
    pid_file: str | None = None
    crash: list[int] = field(default_factory=list)      # these workers end before they are ready
    gate: str | None = None         # a FIFO that workers read to its end before they set handlers
    stubborn: bool = False          # workers do not end when their time is up
    start_s: int = worker.START_S
    upgrade_s: float = master.UPGRADE_S
    grace_s: float = crew.GRACE_S

    def save(self, path: Path) -> None:
        """Write it for the service to load, whole or not at all."""
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self)))
        beside.replace(path)


def say(words: str) -> None:
    """One line on stderr, in one write: processes share it."""
    os.write(2, f"{words}\n".encode())


class Generation:
    """One loaded Config."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        self.config = config
        helpers = {"helper": self.help} if config.helper else {}
        self.plan = Plan(sockets=sockets, workers=config.workers, helpers=helpers, drain_s=config.drain_s,
                         user=config.user, pid_file=config.pid_file)

    def run_worker(self, worker: WorkerContext) -> None:
        config = self.config
        if worker.index in config.crash:
            sys.exit(3)
        if config.gate:
            say(f"waiting {worker.name} {os.getpid()}")
            with open(config.gate) as gate:
                gate.read()
        Server(worker, config).run()

    def help(self, worker: WorkerContext) -> None:
        for listener in worker.sockets:
            listener.close()
        Server(worker, self.config).run()

    def worker_died(self, index: int) -> None:
        say(f"died {index} {self.config.answer}")

    def retired(self) -> None:
        say(f"retired {self.config.answer}")


class Server:
    """A worker: one selector, plain sockets."""

    def __init__(self, worker: WorkerContext, config: Config) -> None:
        self.worker = worker
        self.config = config
        self.draining = False
        self.selector = selectors.DefaultSelector()
        self.n_connections = 0

    def run(self) -> None:
        """Serve until drained."""
        noted, note = socket.socketpair()
        for end in (noted, note):
            end.setblocking(False)
        signal.set_wakeup_fd(note.fileno())
        caught = (*worker.DRAIN_SIGNALS, signal.SIGUSR1, *((worker.TIME_IS_UP,) if self.config.stubborn else ()))
        for number in caught:
            signal.signal(number, lambda _number, _frame: None)
        self.selector.register(noted, selectors.EVENT_READ, self.on_signal)
        for listener in self.worker.sockets:
            if listener.fileno() >= 0:
                self.selector.register(listener, selectors.EVENT_READ, self.on_accept)
        self.worker.ready()
        say(f"started {self.worker.name} {os.getpid()} {self.config.answer}")
        while not self.draining or self.n_connections:
            for key, _ in self.selector.select():
                key.data(key.fileobj)
        say(f"ended {self.worker.name} {os.getpid()}")

    def on_signal(self, noted: socket.socket) -> None:
        for number in noted.recv(100):
            say(f"signal {signal.Signals(number).name} {self.worker.name} {os.getpid()}")
            if number in worker.DRAIN_SIGNALS and not self.draining:
                self.draining = True
                self.worker.limit_drain()
                for listener in self.worker.sockets:
                    if listener.fileno() >= 0:
                        self.on_accept(listener)
                        self.selector.unregister(listener)
                        listener.close()

    def on_accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            while listener.fileno() >= 0:       # closed by a signal of the same batch
                connection = listener.accept()[0]
                connection.setblocking(False)
                self.selector.register(connection, selectors.EVENT_READ, self.on_data)
                self.n_connections += 1

    def on_data(self, connection: socket.socket) -> None:
        data = b""
        with suppress(ConnectionError):
            data = connection.recv(4096)
        if data:
            connection.sendall(f"{os.getpid()} {self.config.answer}\n".encode() * data.count(b"\n"))
        else:
            self.selector.unregister(connection)
            connection.close()
            self.n_connections -= 1


class Service:
    """The service itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, listeners: Listeners) -> Generation:
        try:
            config = Config(**json.loads(self.path.read_text()))
        except ValueError as error:
            raise ConfigError(str(self.path), 1, "", str(error)) from error
        master.UPGRADE_S, worker.START_S, crew.GRACE_S = config.upgrade_s, config.start_s, config.grace_s
        found = listeners.bind([Address.parse(text) for text in config.listen])
        return Generation(config, [each for sockets in found for each in sockets])

    def reload_failed(self, reason: str) -> None:
        say(f"reload counted: {reason}")

    def reopen_logs(self) -> None:
        say("reopened by the master")


def main() -> int:
    """Serve what the file says."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return master.run(Service(Path(sys.argv[1])))
    except HotpathError as error:
        say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""One replica for tests: as a process to ask over HTTP, or in this process on a disk that a test holds in its hands."""
from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotpath.core.data.lww import LWWTable, Stamp, pack
from hotpath.core.net.loop import Loop
from hotpath.core.serve.testing import Served, launched
from hotpath.crdt.journal import Disk, Journal
from hotpath.crdt.replica import Outcome, Replica, Wish
from tests.clients import Answer, Client, fetch
from tests.waiting import wait_for

COMMAND = [sys.executable, "-P", "-m", "hotpath.crdt", "serve"]
JSON = [("Content-Type", "application/json")]
OCTETS = [("Content-Type", "application/octet-stream")]


class Process:
    """A replica that runs."""

    def __init__(self, served: Served, *, fields: list[tuple[str, str]]) -> None:
        self.served = served
        self.fields = fields

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.served.address

    def ask(self, method: str, target: str, fields: list[tuple[str, str]] | None = None, body: bytes | None = None,
            *, patience_s: float = 30.0) -> Answer:
        """One request on a connection of its own."""
        with Client(self.address, patience_s=patience_s) as client:
            return client.ask(method, target, [*self.fields, *(fields or [])], body)

    def get(self, target: str, *fields: tuple[str, str]) -> Answer:
        """A GET."""
        return self.ask("GET", target, list(fields))

    def post(self, target: str, body: bytes) -> Answer:
        """A POST of JSON."""
        return self.ask("POST", target, JSON, body)

    def put(self, target: str, body: bytes, *fields: tuple[str, str], kind: list[tuple[str, str]] = JSON) -> Answer:
        """A PUT."""
        return self.ask("PUT", target, [*kind, *fields], body)


@contextmanager
def serving(folder: Path, *flags: str, config: str = "", token: str | None = None,
            env: dict[str, str] | None = None) -> Iterator[Process]:
    """`hotpath-crdt serve` on a free port while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yaml"
    file.write_text(config)
    command = [*COMMAND, "--config", str(file), "--listen", "127.0.0.1:0", "--data", str(folder / "data"), *flags]
    with launched(command, env=env) as served:
        # An empty replica with peers tries them first.
        wait_for(lambda: fetch(served.address, "/healthz").status == 200, "it to be healthy")
        yield Process(served, fields=[("Authorization", f"Bearer {token}")] if token else [])


class HeldDisk(Disk):
    """A disk whose syncs wait while it is held, and which can be full."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.syncing = threading.Event()
        self.error: OSError | None = None

    def write(self, fd: int, data: memoryview) -> int:
        if self.error is not None:
            raise self.error
        return super().write(fd, data)

    def sync_data(self, fd: int) -> None:
        self.syncing.set()
        assert self.free.wait(30)
        super().sync_data(fd)


@contextmanager
def opened(folder: Path, disk: Disk | None = None, *, bias: str = "add", name: str = "a", wall_ms: Any = None,
           keep: int = 65536) -> Iterator[Replica]:
    """A replica of this process, for plain threads: its loop never runs."""
    table = LWWTable(name, bias=bias, wall_ms=wall_ms)
    failures: list[OSError] = []
    journal, replayed = Journal.open(folder, replica=name, bias=bias, fatal=failures.append, disk=disk)
    for delta in replayed.deltas:
        table.merged(delta)
    table.observe(replayed.clock)
    table.collect(replayed.floor)
    replica = Replica(table, keep=keep)
    loop = Loop()
    replica.open(journal, loop)
    try:
        yield replica
    finally:
        journal.close()
        loop.close()


def put(replica: Replica, key: bytes, value: object, op: str = "put") -> Outcome:
    """Write a value."""
    return replica.write(Wish(op, key, b"" if op == "remove" else pack(value)))


class Worker(threading.Thread):
    """A call in a thread: its answer, and where it waits meanwhile."""

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._call = fn, args
        self.answer: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        fn, args = self._call
        try:
            self.answer = fn(*args)
        except BaseException as error:
            self.error = error

    def waits_for_the_journal(self) -> bool:
        """True once it waits for a group; AssertionError: it ended without."""
        frame = sys._current_frames().get(self.ident or 0)
        while frame is not None:
            if frame.f_code.co_name == "wait" and frame.f_globals.get("__name__") == "hotpath.crdt.journal.committer":
                return True
            frame = frame.f_back
        assert self.is_alive(), f"it did not wait: {self.answer} {self.error!r}"
        return False

    def must_wait(self) -> None:
        """Return once it waits for the disk."""
        wait_for(self.waits_for_the_journal, "it to wait for the journal")

    def result(self) -> Any:
        """What it answered, or raised."""
        self.join(30)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.answer


def ahead(ms: int, name: str = "b") -> Stamp:
    """A stamp of that wall clock."""
    return Stamp(ms << 16, name)

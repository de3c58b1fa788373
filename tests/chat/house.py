"""A whole chat in real processes: `hotpath-chat up`, its parts by their pids, and the checker's process beside it."""
from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import redis

from tests.chat.disk import Disk
from tests.chat.stops import Stops
from tests.waiting import DEADLINE_S, Process, free_port, is_alive, running, send_signal, wait_for

ROOT = Path(__file__).parents[2]
PREFIX = "hp:"
UNLIMITED = "100000/s"
GIVEN_UP_S = 75.0       # `up` itself gives up after 60, and says why


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` wins; sections are merged."""
    both = dict(below)
    for key, value in above.items():
        both[key] = merged(both.get(key, {}), value) if isinstance(value, Mapping) else value
    return both


class House:
    """A running chat below one folder."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, mutant: str = "none") -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.stops = Stops(self.folder / "stops")
        self.disk = Disk(self.folder / "disk", self.data)
        self.mutant = mutant
        self.config = merged({
            "data": str(self.data), "listen": "127.0.0.1:0", "redis": {"prefix": PREFIX},
            # Nobody is limited but where a test says so.
            "limits": {"send": UNLIMITED, "login": UNLIMITED, "connect": UNLIMITED, "sockets_per_user": 10_000},
            "gateways": {"head_check": "1s"},
        }, config)
        self.process: Process | None = None

    # ---- from start to end

    def start(self) -> None:
        """Up, or up again."""
        path = self.folder / "chat.yaml"
        path.write_text(json.dumps(self.config))
        (self.data / "run.json").unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "tests.chat.mutants", self.mutant, "up", "--config", str(path)]
        self.process = Process(command, {**os.environ, **self.disk.env, **self.stops.env, "PYTHONPATH": str(ROOT)})
        self.process.wait_for_output(r"^ready: pid \d+", within_s=GIVEN_UP_S)
        # The port stays when it starts again: clients go on.
        self.config["listen"] = self.url.removeprefix("http://")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait()

    def end(self) -> None:
        """Whatever is left."""
        if self.process is None:
            return
        pids = [self.process.pid]
        with suppress(OSError, ValueError, KeyError):
            run = self.run
            pids += [*run["api"]["pids"], *(row["pid"] for row in run["gateways"])]
            pids.append(run["redis"]["pid"])
        self.process.kill()
        for pid in filter(None, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(is_alive(pid) for pid in pids if pid), "the end of all parts")

    def new_epoch(self) -> None:
        """What the operator does after restoring the database from a copy."""
        command = [sys.executable, "-P", "-m", "hotpath.chat", "api", "--new-epoch", "--config",
                   str(self.folder / "chat.yaml")]
        with running(command) as process:
            process.wait_for_output(r"^ready: pid \d+", within_s=GIVEN_UP_S)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait() == 0, process.output

    # ---- its parts

    @property
    def run(self) -> dict[str, Any]:
        """run.json as it is now."""
        run: dict[str, Any] = msgspec.json.decode((self.data / "run.json").read_bytes())
        return run

    @property
    def url(self) -> str:
        """Of the API."""
        return str(self.run["api"]["url"])

    def pid(self, name: str) -> int:
        """Of `api`, `redis` or a gateway; 0 while it is down."""
        run = self.run
        if name == "api":
            return int(next(iter(run["api"]["pids"]), 0) or 0)
        if name == "redis":
            return int(run["redis"]["pid"] or 0)
        return int(next(row["pid"] for row in run["gateways"] if row["id"] == name) or 0)

    def signal(self, name: str, number: int) -> int:
        """To that part; its pid."""
        pid = wait_for(lambda: self.pid(name), f"{name} to be up")
        send_signal(pid, number)
        return pid

    def kill(self, name: str) -> int:
        """SIGKILL it; its pid, once it is gone."""
        pid = self.signal(name, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), f"the end of {name}")
        return pid

    def back(self, name: str, old: int) -> None:
        """Wait until another process stands in run.json in its place: `up` writes that once it answers."""
        wait_for(lambda: self.pid(name) not in (0, old), f"{name} to be back\n{self.said()}")

    def kill_and_wait(self, name: str) -> None:
        """Killed, and back."""
        self.back(name, self.kill(name))

    def redis(self) -> redis.Redis:
        """A client of its Redis."""
        return redis.Redis.from_url(self.run["redis"]["url"], socket_timeout=10)

    def said(self) -> str:
        """What all parts wrote, the last of it."""
        return self.process.read()[-4000:] if self.process is not None else ""


@contextmanager
def house(folder: Path, config: Mapping[str, Any] | None = None, *, mutant: str = "none") -> Iterator[House]:
    """A running one, while the block runs."""
    with kept(House(folder, config or {}, mutant=mutant)) as home:
        yield home


H = TypeVar("H", bound=House)


@contextmanager
def kept(home: H) -> Iterator[H]:
    """This one, running while the block runs; what it said is told when that fails."""
    try:
        home.start()
        yield home
    except BaseException:
        sys.stderr.write(home.said())
        raise
    finally:
        home.end()


class OwnRedis:
    """A redis-server that is ours to kill, pause and start again on its port, empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers() -> bool:
            with suppress(redis.RedisError):
                return bool(redis.Redis.from_url(self.url).ping())
            return False

        wait_for(answers, "redis-server")

    def kill(self) -> None:
        """At once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Watcher:
    """The checker, in its own process."""

    def __init__(self, home: House, data: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.chat.watcher", str(home.data / "run.json"), str(data or home.data),
             PREFIX], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._line(DEADLINE_S) == "tapping"

    def _line(self, within_s: float) -> str:
        assert self.process.stdout is not None
        deadline_s, text = time.monotonic() + within_s, b""
        while not text.endswith(b"\n"):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self.process.stdout], [], [], left_s)[0]:
                raise AssertionError(f"the checker is silent for {within_s} s")
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                raise AssertionError("the checker ended")
            text += piece
        return text.decode().strip()

    def judge(self, history: Path, *, resume_max: int = 1000) -> dict[str, Any]:
        """The verdict over all that was recorded."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"check {history} {resume_max}\n".encode())
        self.process.stdin.flush()
        verdict: dict[str, Any] = msgspec.json.decode(self._line(100.0))
        return verdict

    def close(self) -> None:
        """No more."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def watching(home: House) -> Iterator[Watcher]:
    """A checker while the block runs."""
    watcher = Watcher(home)
    try:
        yield watcher
    finally:
        watcher.close()


def kinds(verdict: Mapping[str, Any]) -> set[str]:
    """The promises that were broken."""
    return {kind for kind, _ in verdict["violations"]}

"""Run a real `hotpath-proxy` on free ports, and watch what it says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

from tests.clients import CutShort, fetch
from tests.waiting import free_port, wait_for

COMMAND = (sys.executable, "-P", "-m", "hotpath.proxy")

# A cold start on a busy two-core machine takes under a second; this is for the day it does not.
START_S = 60.0

PATIENCE_S = 60.0

LISTEN = "0A"       # a socket's state in /proc/net/tcp: include/net/tcp_states.h


def free_address() -> str:
    """`127.0.0.1:PORT`, free right now."""
    return f"127.0.0.1:{free_port()}"


class Lines:
    """The lines of a pipe, as they come."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait_for(self, text: str, *, start: int = 0, patience_s: float = PATIENCE_S) -> str:
        """The first line from number `start` on that contains `text`. Raises TimeoutError with all there was."""

        def found() -> str | None:
            return next((line for line in self.lines[start:] if text in line), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self.ended, patience_s)
            line = found()
        if line is None:
            raise TimeoutError(f"no {text!r} in:\n" + "\n".join(self.lines[start:]))
        return line


class Proxy:
    """A running `hotpath-proxy`. `config` is completed with a listen address, an admin address and one worker."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hotpath-proxy-"))
        self.file = self.folder / "proxy.yaml"
        self.address = first_address(config.get("listen", free_address()))
        self.admin = str(config.get("admin", free_address()))
        self.config: dict[str, Any] = {}
        self.generation = 0.0  # the newest that ever answered
        self.write(config)
        self.process = subprocess.Popen(
            [*COMMAND, "-c", str(self.file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Lines(self.process.stdout)
        self.stderr = Lines(self.process.stderr)
        try:
            self.ready = self.stderr.wait_for("ready:", patience_s=START_S)
        except TimeoutError:
            self.kill()
            shutil.rmtree(self.folder)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def write(self, config: Mapping[str, Any]) -> None:
        """Put another config in the file; it counts from the next reload on."""
        defaults = {"listen": self.address, "admin": self.admin, "workers": 1}
        quiet = {"log": {"access": "off"}}
        self.config = {**defaults, **quiet, **config}
        # In one step: the master may be reading the file this very moment.
        new = self.file.with_suffix(".new")
        new.write_text(yaml.safe_dump(self.config, sort_keys=False))
        new.replace(self.file)

    def reload(self, config: Mapping[str, Any]) -> None:
        """Write a new config, send SIGHUP and wait until only the new generation answers."""
        before = self.generation = max(self.generation, self.metric("hotpath_proxy_config_generation"))
        old = self.children()
        self.write(config)
        self.send_signal(signal.SIGHUP)

        def taken_over() -> bool:
            # The admin process is replaced too: it may leave with our question, or answer for the old generation.
            with suppress(CutShort, ConnectionError):
                self.generation = max(before, self.metric("hotpath_proxy_config_generation"))
            return self.generation > before

        wait_for(taken_over, "the reload")
        wait_for(lambda: not any(listens(pid) for pid in old), "the old generation to stop listening")

    def begin_reload(self) -> None:
        """Send SIGHUP; return when the old workers have just been told to go: their idle clients have 2 s from here."""
        seen = len(self.stderr.lines)
        self.send_signal(signal.SIGHUP)
        self.stderr.wait_for("reloaded generation=", start=seen)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the master."""
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        self.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it in order, by force when that takes too long: a drain may wait for what tests left open."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(1.0)
            except subprocess.TimeoutExpired:
                self.process.terminate()  # the second one means: now
                try:
                    self.process.wait(2.0)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()

    def children(self) -> list[int]:
        """The pids of its child processes: the workers, and the warden."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def workers(self) -> list[int]:
        """The pids of the children that hold a listening socket on `address`: the workers, not the warden."""
        wanted = listening_inode(int(self.address.rpartition(":")[2]))
        return [pid for pid in self.children() if wanted in socket_inodes(pid)]

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, by its full name with labels."""
        text = fetch(self.admin, "/metrics").body.decode()
        samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def connections(self) -> float:
        """How many clients are connected: of one look, lest one that moves on between two is counted twice."""
        samples = self.metrics()
        return sum(samples[f'hotpath_proxy_connections{{state="{state}"}}'] for state in ("active", "idle", "tunnel"))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that have these labels; 0 without one."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value
            for sample, value in self.metrics().items()
            if sample.partition("{")[0] == name and all(label in sample for label in wanted)
        )


def first_address(listen: Any) -> str:
    """Of what `listen` may be: an address, a mapping with one, a list of these."""
    if isinstance(listen, list):
        listen = listen[0]
    return str(listen["address"] if isinstance(listen, Mapping) else listen)


def listening_inode(port: int) -> str:
    """The inode of the IPv4 socket that listens on `port`. Raises LookupError without one."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
            return columns[9]
    raise LookupError(port)


def listens(pid: int) -> bool:
    """Whether a process holds a listening TCP socket."""
    held = socket_inodes(pid)
    rows = [row.split() for table in ("tcp", "tcp6") for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return any(columns[3] == LISTEN and columns[9] in held for columns in rows)


def socket_inodes(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds; empty once it is gone."""
    inodes = set()
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                name = os.readlink(fd)
            except FileNotFoundError:
                continue  # closed since we listed it
            if name.startswith("socket:["):
                inodes.add(name[8:-1])
    except (FileNotFoundError, PermissionError):
        return set()
    return inodes


def check(config: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `hotpath-proxy -c FILE` with a config text and these arguments, to its end."""
    file = folder / "proxy.yaml"
    file.write_text(config)
    return subprocess.run(
        [*COMMAND, "-c", str(file), *arguments], capture_output=True, text=True, timeout=START_S, check=False
    )

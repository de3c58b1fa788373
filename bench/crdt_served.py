"""hotpath-crdt serve: durable writes beside Redis that syncs always, and reads beside a dict behind Flask."""
from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from . import keydriver, machine, served
from .disk import syncs_per_s
from .harness import Sample, Spread, interleave, measure, middle, ratios
from .paired import verdict
from .processes import Server, StartError, free_ports
from .rivals import WrongAnswer

COMMAND = str(Path(sys.executable).with_name("hotpath-crdt"))
REDIS = "redis, appendfsync always"
OURS = "hotpath"
READ_KEYS = 1000
VALUE_BYTES = 100
CONFIG = "log: {access: off}\n"

WRITES = ("server", "writes/s", "hotpath's writes/s over its (min-max)", "CPU µs each",
          "CPU ratio to hotpath (min-max)", "p50 ms", "p99 ms", "writes per fdatasync", "errors", "others' CPU", "goal")
READS = ("server", "CPU µs each", "user", "sys", "CPU ratio to hotpath (min-max)", "answers/s", "p50 ms", "p99 ms",
         "errors", "others' CPU", "goal")


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """The body of a 2xx answer. Raises WrongAnswer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        text = answer.read()
        if answer.status // 100 != 2:
            raise WrongAnswer(f"{method} {path}: {answer.status} {text[:200]!r}")
        return text


def fsyncs(port: int) -> int:
    """As the server counts them."""
    return int(json.loads(ask(port, "GET", "/stats"))["journal"]["fsyncs"])


def redis(port: int, *words: bytes) -> bytes:
    """What Redis answers to one command, at most 64 KiB of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        return sock.recv(65536)


def replica(folder: Path, port: int, *, cpus: set[int] | None = None) -> Server:
    """One replica alone, its data in `folder`."""
    config = folder / "crdt.yaml"
    config.write_text(CONFIG)
    argv = [COMMAND, "serve", "--config", str(config), "--replica", "a", "--listen", f"127.0.0.1:{port}",
            "--data", str(folder / "data")]
    return Server(OURS, argv, port, folder / "crdt.out", cpus)


def redis_server(folder: Path, port: int) -> Server:
    """Redis that syncs its log before it answers."""
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"]
    return Server(REDIS, argv, port, folder / "redis.out")


def check_writes(ours: int, rival: int) -> None:
    """Both keep what they acknowledge, and Redis syncs as told."""
    key, value = "/kv/key:000000000000", b"v" * VALUE_BYTES
    octets = {"Content-Type": "application/octet-stream"}
    ask(ours, "PUT", f"{key}?upsert=true", value, octets)
    if ask(ours, "GET", key) != value:
        raise WrongAnswer(f"{OURS} does not answer what was put")
    if fsyncs(ours) == 0:
        raise WrongAnswer(f"{OURS} acknowledged a write and synced nothing")
    if b"always" not in redis(rival, b"CONFIG", b"GET", b"appendfsync"):
        raise WrongAnswer("Redis does not sync always")
    if redis(rival, b"SET", b"key", value) != b"+OK\r\n" or value not in redis(rival, b"GET", b"key"):
        raise WrongAnswer("Redis does not answer what was set")


@dataclass(frozen=True, slots=True)
class Written:
    """One run of writes."""

    sample: Sample
    per_sync: float | None              # writes per fdatasync; None: not known


@dataclass(frozen=True, slots=True)
class Setting:
    """How much, how long."""

    connections: int
    seconds: float
    rounds: int
    keys: int


def writes(scratch: Path, disk: Path, setting: Setting) -> tuple[list[tuple[str, ...]], float]:
    """The rows, and how often the disk alone syncs."""
    ports = free_ports(2)
    with ExitStack() as stack:
        program = keydriver.built(scratch)
        servers = []
        for make, port in zip((replica, redis_server), ports, strict=True):
            folder = disk / make.__name__
            folder.mkdir()
            servers.append(stack.enter_context(make(folder, port)))
        await_healthy(ports[0])
        check_writes(*ports)
        alone = [syncs_per_s(disk)]

        def load(server: Server, kind: str, seconds: float) -> Written:
            before = fsyncs(server.port) if kind == "put" else None
            drive = partial(keydriver.run, program, server.port, kind, connections=setting.connections, seconds=seconds,
                            keys=setting.keys, value_bytes=VALUE_BYTES)
            sample = measure(server.pid, drive)
            synced = None if before is None else fsyncs(server.port) - before
            return Written(sample, sample.load.requests / synced if synced else None)

        kinds = {OURS: "put", REDIS: "set"}
        for server in servers:
            load(server, kinds[server.name], 0.5)
        taken = interleave({server.name: partial(load, server, kinds[server.name], setting.seconds)
                            for server in servers}, rounds=setting.rounds, title="durable writes")
        alone.append(syncs_per_s(disk))
    return write_rows(taken), median(alone)


def write_rows(taken: Mapping[str, Sequence[Written]]) -> list[tuple[str, ...]]:
    """The table of durable writes."""
    samples = {name: [each.sample for each in written] for name, written in taken.items()}
    found = []
    for name, mine in samples.items():
        faster = Spread.of([a.load.per_s / b.load.per_s for a, b in zip(samples[OURS], mine, strict=True)])
        per_sync = [each.per_sync for each in taken[name] if each.per_sync is not None]
        found.append((
            name, f"{middle(mine, lambda s: s.load.per_s):,.0f}", "1" if name == OURS else str(faster),
            f"{middle(mine, lambda s: s.cpu_us):.1f}",
            "1" if name == OURS else str(ratios(mine, samples[OURS], lambda s: s.cpu_us)),
            f"{middle(mine, lambda s: s.load.p50_ms):.2f}", f"{middle(mine, lambda s: s.load.p99_ms):.2f}",
            f"{median(per_sync):.1f}" if per_sync else "", str(sum(s.load.errors for s in mine)),
            f"{max(s.others_share for s in mine):.2f}", "" if name == OURS else verdict(faster.middle, 0.5)))
    return found


def await_healthy(port: int, deadline_s: float = 30.0) -> None:
    """Return once /healthz is 200. Raises StartError."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        try:
            ask(port, "GET", "/healthz")
            return
        except (WrongAnswer, OSError):
            time.sleep(0.02)
    raise StartError(f"the replica at {port} is not healthy after {deadline_s:.0f} s")


def fill(port: int) -> None:
    """Put what will be read, and read one back."""
    octets = {"Content-Type": "application/octet-stream"}
    for i in range(READ_KEYS):
        ask(port, "PUT", f"/kv/key:{i:012d}?upsert=true", b"%0*d" % (VALUE_BYTES, i), octets)
    if ask(port, "GET", "/kv/key:000000000007") != b"%0*d" % (VALUE_BYTES, 7):
        raise WrongAnswer(f"the server at {port} does not answer what was put")


def reads(scratch: Path, disk: Path, setting: Setting) -> list[tuple[str, ...]]:
    """The rows: each server has the first CPU to itself, the driver runs on the others."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise StartError("pinning needs two CPUs")
    folder = disk / "reads"
    folder.mkdir()
    ports = free_ports(3)
    flask = [sys.executable, "-P", str(Path(__file__).with_name("crdt_flask.py")), str(ports[1])]
    echo = [part.format(port=ports[2]) for part in served.HTTP["hotpath"]]
    with ExitStack() as stack:
        program = keydriver.built(scratch)
        servers = [stack.enter_context(server) for server in (
            replica(folder, ports[0], cpus={cpus[0]}),
            Server("Flask on gevent", flask, ports[1], scratch / "flask.out", {cpus[0]}),
            Server("hotpath-echo, GET /", echo, ports[2], scratch / "echo.out", {cpus[0]}))]
        await_healthy(ports[0])
        for server in servers[:2]:
            fill(server.port)

        def load(server: Server, seconds: float) -> Sample:
            kind = "hello" if server.port == ports[2] else "get"
            return measure(server.pid, partial(
                keydriver.run, program, server.port, kind, connections=setting.connections, seconds=seconds,
                keys=READ_KEYS, value_bytes=0, cpus=set(cpus[1:])))

        for server in servers:
            load(server, 0.5)
        taken = interleave({server.name: partial(load, server, setting.seconds) for server in servers},
                           rounds=setting.rounds, title="reads")
    goals = {"Flask on gevent": verdict(ratios(taken["Flask on gevent"], taken[OURS], lambda s: s.cpu_us).middle, 8)}
    return [(*row[1:], goals.get(row[1], "")) for row in served.rows("", taken, OURS)]


def versions() -> str:
    """Of the rivals."""
    redis_version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
    return f"redis {redis_version.partition('v=')[2].partition(' ')[0]}, {machine.packages(['flask', 'gevent'])}"

"""hotpath-proxy against nginx: what does an idle kept-alive connection cost, in memory and in CPU?"""
from __future__ import annotations

import argparse
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from rich.progress import track

from . import machine, processes, results, rivals
from .stage import stage

TITLE = "idle: memory and CPU of kept-alive connections"
COLUMNS = ("server", "connections", "bytes each", "bytes each, with what is set aside", "idle CPU ms/s")
NOTE = """User memory as proportional set size, the median of the rounds; kernel socket buffers are not in it. `bytes
each`: what grew while the connections opened, after 128 had come and gone. `with what is set aside`: the server with
all connections, less one configured for 128 that holds none: tables made at start count too. Each connection has had
one answer.
"""
SMALL = 128         # connections of the server that sets aside almost nothing
SPARE_FDS = 512     # this process has files and pipes besides the connections


@contextmanager
def held_open(port: int, n: int) -> Iterator[None]:
    """`n` connections that have each had one answer and stay open."""
    request = f"GET /api/64 HTTP/1.1\r\nHost: {rivals.HOST}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(n):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(request)
            answer = b""
            while not answer.endswith(rivals.BODIES["64"]):
                piece = connection.recv(4096)
                if not piece:
                    raise rivals.WrongAnswer(f"port {port}: closed instead of kept alive")
                answer += piece
        yield


def allow_fds(n: int) -> int:
    """Raise this process's limit towards `n` open files; the number of connections that fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, min(hard, n + SPARE_FDS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return min(n, limit - SPARE_FDS)


def one_round(name: str, n: int, seconds: float) -> tuple[float, float, float]:
    """(bytes grown per connection, the same with what is set aside, idle CPU as milliseconds per second)."""
    with stage([name], connections=SMALL) as on:
        rivals.check(on.proxies[name], ["64"])
        small = processes.pss_bytes(on.proxies[name].pid)
    with stage([name], connections=n + SPARE_FDS) as on:
        server = on.proxies[name]
        rivals.check(server, ["64"])
        with held_open(server.port, SMALL):     # what the first connections cause once is not the cost of each
            pass
        before = processes.pss_bytes(server.pid)
        with held_open(server.port, n):
            after = processes.pss_bytes(server.pid)
            cpu_before = processes.cpu(server.pid).total_s
            time.sleep(seconds)                 # the idleness that is measured
            idle_cpu_s = processes.cpu(server.pid).total_s - cpu_before
    return (after - before) / n, (after - small) / n, 1000 * idle_cpu_s / seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench idle`."""
    here = [name for name in ("nginx", "hotpath") if name in rivals.available()]
    parser.add_argument("--rivals", default=",".join(here), help="contenders (here: %(default)s)")
    parser.add_argument("--connections", type=int, default=10_000, help="idle connections (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="time of idleness (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    names = options.rivals.split(",")
    n = allow_fds(options.connections)
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for _ in track(range(options.rounds), description="idle", transient=True):
        for name in names:
            taken[name].append(one_round(name, n, options.seconds))
    found = []
    for name in names:
        grown, with_tables, cpu_ms = (median(values) for values in zip(*taken[name], strict=True))
        found.append((name, f"{n:,}", f"{grown:,.0f}", f"{with_tables:,.0f}", f"{cpu_ms:.1f}"))
    results.show(TITLE, COLUMNS, found)
    if options.write:
        body = f"{machine.header(versions=rivals.versions(names))}\n{results.table(COLUMNS, found)}\n{NOTE}"
        results.write_section(results.RESULTS, TITLE, body)

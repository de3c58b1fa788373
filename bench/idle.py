"""hotpath-proxy against nginx: what does an idle kept-alive connection cost, in memory and in CPU?"""
from __future__ import annotations

import argparse
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from . import processes, results, rivals
from .harness import interleave
from .stage import stage

TITLE = "idle: memory and CPU of kept-alive connections"
COLUMNS = ("server", "connections", "bytes each", "bytes each, with what is set aside", "× {base}", "idle CPU ms/s")
NOTE = """User memory as proportional set size, the median of the rounds; kernel socket buffers are not in it. `bytes
each`: what grew while the connections opened, after 128 had come and gone. `with what is set aside`: the server with
all connections, less one configured for 128 that holds none: tables made at start count too; the ratio
is of these. Each connection has had one answer.
"""
SMALL = 128         # connections of the server that sets aside almost nothing
SPARE_FDS = 512     # this process has files and pipes besides the connections


@contextmanager
def held_open(port: int, n: int, trusted: Path | None = None) -> Iterator[None]:
    """`n` connections that have each had one answer and stay open; over TLS when there is a certificate to trust."""
    context = None if trusted is None else ssl.create_default_context(cafile=str(trusted))
    request = f"GET /api/64 HTTP/1.1\r\nHost: {rivals.HOST}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(n):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            if context is not None:
                connection = stack.enter_context(context.wrap_socket(connection, server_hostname=rivals.HOST))
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


def one_round(name: str, n: int, seconds: float, wiring: rivals.Wiring) -> tuple[float, float, float]:
    """(bytes grown per connection, the same with what is set aside, idle CPU as milliseconds per second)."""
    with stage([name], connections=SMALL, wiring=wiring) as on:
        on.check(["64"])
        small = processes.pss_bytes(on.proxies[name].pid)
    with stage([name], connections=n + SPARE_FDS, wiring=wiring) as on:
        server = on.proxies[name]
        on.check(["64"])
        with held_open(server.port, SMALL, on.trusted):     # what the first ones cause once is not the cost of each
            pass
        before = processes.pss_bytes(server.pid)
        with held_open(server.port, n, on.trusted):
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
    parser.add_argument("--tls", type=int, default=2000, help="idle connections over TLS; 0: none (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="time of idleness (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    names = options.rivals.split(",")
    cases = [(allow_fds(options.connections), rivals.PLAIN), (allow_fds(options.tls), rivals.Wiring(tls=True))]
    columns, found = [column.format(base=names[0]) for column in COLUMNS], list[tuple[str, ...]]()
    for n, wiring in cases:
        if n == 0:
            continue
        what = f"{n:,}{' over TLS' if wiring.tls else ''}"
        taken = interleave({name: partial(one_round, name, n, options.seconds, wiring) for name in names},
                           rounds=options.rounds, title=what)
        aside = median(values[1] for values in taken[names[0]])
        for name, rounds in taken.items():
            grown, with_tables, cpu_ms = (median(values) for values in zip(*rounds, strict=True))
            ratio = "1" if name == names[0] else f"{with_tables / aside:.2f}"
            found.append((name, what, f"{grown:,.0f}", f"{with_tables:,.0f}", ratio, f"{cpu_ms:.1f}"))
    results.publish(TITLE, [(columns, found)], NOTE, versions=rivals.versions(names), write=options.write)

"""hotpath-echo --ws against picows, websockets and wsproto: what does one echoed message cost?"""
from __future__ import annotations

import argparse
from functools import partial

from . import machine, results, served, ws_load
from .harness import Sample, interleave, measure
from .processes import Server

TITLE = "websocket: echo servers"
NOTE = """CPU is user+sys of all processes of the server over the messages it echoed, the median of the rounds; the
ratio is taken within each round, and above 1 costs more than hotpath-echo. One process each, masked text messages, no
compression, every echo compared. `hotpath`: a handler in Python, a greenlet per connection. `hotpath --raw`: the echo
is done in C. The load is one Python process: answers/s and latencies have it as their limit, CPU per message has not.
"""
PAYLOADS = {"128 B": b"0123456789abcdef" * 8, "64 KiB": b"0123456789abcdef" * 4096}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench websocket`."""
    parser.add_argument("--rivals", default=",".join(served.WEBSOCKET), help="contenders, the base first (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds per cell (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds per run (%(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="client connections (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def load(server: Server, connections: int, seconds: float, payload: bytes) -> Sample:
    """Put load on one server and charge it for it."""
    return measure(server.pid, lambda: ws_load.run(server.port, connections, seconds, payload))


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    names = options.rivals.split(",")
    found: list[tuple[str, ...]] = []
    with served.running(served.WEBSOCKET, names) as servers:
        for size, payload in PAYLOADS.items():
            cell = f"{size} · {options.connections} connections"
            loads = {name: partial(load, server, options.connections, options.seconds, payload)
                     for name, server in servers.items()}
            for server in servers.values():
                ws_load.run(server.port, 4, 0.5, payload)     # warm, and answering rightly
            found += served.rows(cell, interleave(loads, rounds=options.rounds, title=cell), names[0])
    results.publish(TITLE, [(served.COLUMNS, found)], NOTE, versions=machine.packages(served.PACKAGES),
                    write=options.write)

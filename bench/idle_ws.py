"""hotpath-echo --ws against picows and websockets: what does an idle WebSocket cost, in memory?"""
from __future__ import annotations

import argparse
from statistics import median

from rich.progress import track

from . import machine, processes, results, served, ws_load
from .idle import SMALL, allow_fds

TITLE = "idle: memory of open WebSockets"
COLUMNS = ("server", "connections", "bytes each (min-max)")
NOTE = """User memory as proportional set size, the median of the rounds: what grew while the connections opened, after
some had come and gone; kernel socket buffers are not in it. No compression; each was upgraded and has said nothing.
"""


def one_round(name: str, n: int) -> float:
    """Bytes grown per connection."""
    with served.running(served.WEBSOCKET, [name]) as servers:
        server = servers[name]
        with ws_load.held_open(server.port, SMALL):     # what the first connections cause once is not the cost of each
            pass
        before = processes.pss_bytes(server.pid)
        with ws_load.held_open(server.port, n):
            return (processes.pss_bytes(server.pid) - before) / n


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench idle_ws`."""
    parser.add_argument("--rivals", default=",".join(served.WEBSOCKET), help="contenders (%(default)s)")
    parser.add_argument("--connections", type=int, default=5_000, help="idle connections (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    names = options.rivals.split(",")
    n = allow_fds(options.connections)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in track(range(options.rounds), description="idle WebSockets", transient=True):
        for name in names:
            taken[name].append(one_round(name, n))
    found = [(name, f"{n:,}", f"{median(sizes):,.0f} ({min(sizes):,.0f}-{max(sizes):,.0f})")
             for name, sizes in taken.items()]
    results.publish(TITLE, [(COLUMNS, found)], NOTE, versions=machine.packages(served.PACKAGES), write=options.write)

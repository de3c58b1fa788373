"""hotpath-echo against uvicorn, Granian, gevent and a bare uvloop Protocol: what does one small answer cost?"""
from __future__ import annotations

import argparse
import http.client
from contextlib import closing
from functools import partial
from pathlib import Path

from . import machine, results, served, wrk
from .harness import Sample, interleave, measure
from .hellos import HELLO
from .processes import Server
from .rivals import WrongAnswer
from .stage import scratch_folder

TITLE = "hello: HTTP servers"
NOTE = """CPU is user+sys of all processes of the server over the requests it answered, the median of the rounds; the
ratio is taken within each round, and above 1 costs more than hotpath-echo. One worker each, `GET /`, five bytes back,
no access log. `hotpath`: a handler in Python, found by the router, in a greenlet. `hotpath --raw`: answered in C.
`uvloop protocol` parses nothing and writes bytes made beforehand: it is no server, but what one could cost at least
on that loop.
"""


def check(server: Server) -> None:
    """Raise WrongAnswer unless `server` says hello twice on one connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        for _ in range(2):
            connection.request("GET", "/")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or body != HELLO:
                raise WrongAnswer(f"{server.name}: {answer.status} {body!r}")


def load(server: Server, of: wrk.Load, folder: Path) -> Sample:
    """Put load on one server and charge it for it."""
    return measure(server.pid, lambda: wrk.run(f"http://127.0.0.1:{server.port}/", of, scratch=folder))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench hello`."""
    parser.add_argument("--rivals", default=",".join(served.HTTP), help="contenders, the base first (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds per run (%(default)s)")
    parser.add_argument("--connections", default="64", help="client connections, one or more numbers (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    names = options.rivals.split(",")
    found: list[tuple[str, ...]] = []
    with scratch_folder() as folder, served.running(served.HTTP, names) as servers:
        for server in servers.values():
            check(server)
        for connections in map(int, options.connections.split(",")):
            for server in servers.values():
                load(server, wrk.Load(connections, seconds=1), folder)
            loads = {name: partial(load, server, wrk.Load(connections, options.seconds), folder)
                     for name, server in servers.items()}
            taken = interleave(loads, rounds=options.rounds, title=f"{connections} connections")
            found += served.rows(f"{connections} connections", taken, names[0])
    results.publish(TITLE, [(served.COLUMNS, found)], NOTE, versions=machine.packages(served.PACKAGES),
                    write=options.write)

"""What does one request cost on our loop, with a Python `on_data`, against a uvloop Protocol and a gevent greenlet?

The time is CPU time of the server's process, user and system, not of the wall: the client and the neighbours have the
other cores. Requests are 128 bytes, one at a time on each connection; with 32 connections the loop finds several ready.
"""
from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

REQUESTS = 1600         # of a round, over all connections
MESSAGE = bytes(range(128))
DEADLINE_S = 20.0


class ServerClock:
    """CPU time of whichever server is being measured."""

    def __init__(self) -> None:
        self.clock = time.CLOCK_PROCESS_CPUTIME_ID

    def follow(self, pid: int) -> None:
        """Read the clock of `pid` from now on."""
        self.clock = ~pid << 3 | 2      # CPUCLOCK_SCHED: how clock_getcpuclockid(3) makes one of a pid

    def __call__(self) -> float:
        """Seconds."""
        return time.clock_gettime(self.clock)


CLOCK = ServerClock()


@contextmanager
def connected(contender: str, n: int) -> Iterator[list[socket.socket]]:
    """`n` connections to an echo server of that name, which `CLOCK` then follows."""
    server = subprocess.Popen([sys.executable, "-P", str(Path(__file__).with_name("echoes.py")), contender],
                              stdout=subprocess.PIPE, text=True)
    with ExitStack() as opened:
        opened.callback(server.wait)
        opened.callback(server.kill)
        assert server.stdout is not None
        port = int(opened.enter_context(server.stdout).readline())
        CLOCK.follow(server.pid)
        yield [opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S))
               for _ in range(n)]


def requests(connections: list[socket.socket]) -> None:
    """One round."""
    for _ in range(REQUESTS // len(connections)):
        for connection in connections:
            connection.send(MESSAGE)
        for connection in connections:
            if connection.recv(256) != MESSAGE:
                raise AssertionError("an echo came back changed or in pieces")


def measure(benchmark: BenchmarkFixture, contender: str, n: int) -> None:
    """Rounds enough for a steady median."""
    with connected(contender, n) as connections:
        benchmark.pedantic(requests, args=(connections,), rounds=30, warmup_rounds=5)


CONTENDERS = pytest.mark.parametrize("contender", ["hotpath", "uvloop", "gevent"])


@pytest.mark.benchmark(group="loop-level echo, CPU of 1600 requests, 32 connections", timer=CLOCK)
@CONTENDERS
def test_echo_of_many(benchmark: BenchmarkFixture, contender: str) -> None:
    """Several connections are ready in a turn."""
    measure(benchmark, contender, 32)


@pytest.mark.benchmark(group="loop-level echo, CPU of 1600 requests, 1 connection", timer=CLOCK)
@CONTENDERS
def test_echo_of_one(benchmark: BenchmarkFixture, contender: str) -> None:
    """Each turn handles one request."""
    measure(benchmark, contender, 1)

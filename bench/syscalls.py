"""Which system calls does a proxied request take, and how many?"""
from __future__ import annotations

import argparse
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from . import machine, results, rivals, wrk
from .rivals import PLAIN, Wiring
from .stage import stage
from .work import Work, proxied

TITLE = "System calls per request"
NOTE = """Counted by the kernel's tracepoints (`perf stat`) over all processes of the server while wrk keeps it busy
over 64 connections; calls below 0.005 per request are left out. One `epoll_wait` serves many requests when busy.
"""
PREFIX = "syscalls:sys_enter_"
LEAST_SHOWN = 0.005
START_DEADLINE_S = 20.0


class PerfError(Exception):
    """perf is absent or may not look: it needs root or a lower kernel.perf_event_paranoid."""


def perf(argv: list[str], pids: Sequence[int], load: Callable[[], wrk.Outcome], report: Path) -> wrk.Outcome:
    """Run perf on `pids` and what they fork while `load` runs; what it says goes to `report`.

    perf needs a while to open its counters, so it starts disabled (-D -1) and the load waits for its acknowledgement.
    """
    with ExitStack() as stack:
        ours, its = socket.socketpair()
        stack.callback(ours.close)
        ours.settimeout(START_DEADLINE_S)
        control = ["-D", "-1", f"--control=fd:{its.fileno()},{its.fileno()}", "-p",
                   ",".join(map(str, pids))]
        output = stack.enter_context(report.open("wb"))
        try:
            with its:       # closed here once perf has its copy, so that its end is our end of file
                watcher = subprocess.Popen(["perf", *argv, *control], stdout=output, stderr=output,
                                           pass_fds=(its.fileno(),))
        except FileNotFoundError:
            raise PerfError("perf is not installed") from None
        try:
            acknowledged = b""
            with suppress(OSError):                 # gone already, or silent until the deadline
                ours.sendall(b"enable\n")
                acknowledged = ours.recv(16)
            if not acknowledged:
                raise PerfError(f"perf does not start: {report.read_text().strip()[-500:]}")
            outcome = load()
        finally:
            watcher.send_signal(signal.SIGINT)      # perf ends, and writes its report, as on Ctrl-C
            watcher.wait()
    return outcome


def parse(text: str) -> dict[str, int]:
    """Calls by name, from the output of `perf stat -x,`."""
    return {found[2]: int(found[1]) for found in re.finditer(rf"^(\d+),,{PREFIX}(\w+),", text, re.M) if int(found[1])}


@dataclass(frozen=True, slots=True)
class Case:
    """A type of request whose system calls are counted."""

    name: str
    body: str = "64"
    closes: bool = False
    wiring: Wiring = PLAIN
    per_mb: bool = False            # bodies so large that bytes cause the calls


CASES = (
    Case("64 B, kept alive"),
    Case("64 B, servers behind unix sockets", wiring=Wiring(unix=True)),
    Case("64 B, a connection for each request from the client", closes=True),
    Case("64 B, a connection for each request from the client and to the server", closes=True,
         wiring=Wiring(keeps=False)),
    Case("64 B, TLS to the client", wiring=Wiring(tls=True)),
    Case("1 MiB, kept alive, per MB", body="1m", per_mb=True),
)


def counted(work: Work, seconds: float, report: Path, *, per_mb: bool = False) -> dict[str, float]:
    """System calls per unit, or per MB, by name, most frequent first."""
    work.load(1)                        # workers that are still starting have no pid to watch
    outcome = perf(["stat", "-x,", "-e", PREFIX + "*"], work.pids, lambda: work.load(seconds), report)
    calls = parse(report.read_text())
    if not calls:
        raise PerfError(report.read_text().strip()[-500:])
    units = outcome.read_bytes / 1e6 if per_mb else outcome.requests
    shares = {call: n / units for call, n in calls.items() if n / units >= LEAST_SHOWN}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def rows(taken: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    """A line for each call that any server makes, then the sums."""
    calls = sorted({call for shares in taken.values() for call in shares},
                   key=lambda call: (-max(shares.get(call, 0.0) for shares in taken.values()), call))
    found = [(call, *(f"{shares[call]:.2f}" if call in shares else "" for shares in taken.values())) for call in calls]
    return [*found, ("all", *(f"{sum(shares.values()):.2f}" for shares in taken.values()))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench syscalls`."""
    parser.add_argument("--rivals", default=",".join(rivals.available()), help="servers (here: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds per run (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="client connections (%(default)s)")
    parser.add_argument("--only", default="", help="cases with this in their name (all)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/PROFILE.md")


def run(options: argparse.Namespace) -> None:
    """Count, show, and write the section when asked."""
    names = options.rivals.split(",")
    parts = [machine.header(versions=rivals.versions(names))]
    for case in (case for case in CASES if options.only in case.name):
        with stage(names, wiring=case.wiring) as on:
            load = wrk.Load(options.connections, closes=case.closes)
            taken = {name: counted(proxied(on, name, case.body, load), options.seconds, on.folder / "perf.txt",
                                   per_mb=case.per_mb) for name in names}
        columns = ("system call", *names)
        results.show(case.name, columns, rows(taken))
        parts.append(f"### {case.name}\n\n{results.table(columns, rows(taken))}")
    if options.write:
        results.write_section(results.PROFILE, TITLE, "\n".join([*parts, NOTE]))

"""Which system calls does a proxied request take, and how many?"""
from __future__ import annotations

import argparse
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from . import machine, processes, results, rivals, wrk
from .stage import Stage, stage

TITLE = "System calls per request"
NOTE = """Counted by the kernel's tracepoints (`perf stat`) over all processes of the server while wrk keeps it busy
with 64-byte bodies; calls below 0.005 per request are left out. One `epoll_wait` serves many requests when busy.
"""
PREFIX = "syscalls:sys_enter_"
LEAST_SHOWN = 0.005
START_DEADLINE_S = 20.0


class PerfError(Exception):
    """perf is absent or may not look: it needs root or a lower kernel.perf_event_paranoid."""


def perf(argv: list[str], pid: int, load: Callable[[], wrk.Outcome], report: Path) -> wrk.Outcome:
    """Run perf on the tree under `pid` while `load` runs; what it says goes to `report`.

    perf needs a while to open its counters, so it starts disabled (-D -1) and the load waits for its acknowledgement.
    """
    pids = ",".join(map(str, processes.tree(pid)))
    with ExitStack() as stack:
        ours, its = socket.socketpair()
        stack.callback(ours.close)
        ours.settimeout(START_DEADLINE_S)
        control = ["-D", "-1", f"--control=fd:{its.fileno()},{its.fileno()}", "-p", pids]
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


def per_request(on: Stage, name: str, load: wrk.Load) -> dict[str, float]:
    """System calls per request by name, most frequent first."""
    server, report = on.proxies[name], on.folder / "perf.txt"
    url = f"http://127.0.0.1:{server.port}/api/64"
    wrk.run(url, wrk.Load(connections=load.connections, seconds=1), scratch=on.folder, host=rivals.HOST)
    argv = ["stat", "-x,", "-e", PREFIX + "*"]
    outcome = perf(argv, server.pid, lambda: wrk.run(url, load, scratch=on.folder, host=rivals.HOST), report)
    calls = parse(report.read_text())
    if not calls:
        raise PerfError(report.read_text().strip()[-500:])
    shares = {call: n / outcome.requests for call, n in calls.items() if n / outcome.requests >= LEAST_SHOWN}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench syscalls`."""
    parser.add_argument("--rivals", default=",".join(rivals.available()), help="servers (here: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds per run (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="client connections (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/PROFILE.md")


def run(options: argparse.Namespace) -> None:
    """Count, show, and write the section when asked."""
    names = options.rivals.split(",")
    with stage(names) as on:
        counted = {name: per_request(on, name, wrk.Load(options.connections, options.seconds)) for name in names}
    calls = sorted({call for shares in counted.values() for call in shares},
                   key=lambda call: -max(shares.get(call, 0.0) for shares in counted.values()))
    rows = [(call, *(f"{counted[name][call]:.2f}" if call in counted[name] else "" for name in names))
            for call in calls]
    rows.append(("all", *(f"{sum(counted[name].values()):.2f}" for name in names)))
    columns = ("system call", *names)
    results.show(TITLE, columns, rows)
    if options.write:
        body = f"{machine.header(versions=rivals.versions(names))}\n{results.table(columns, rows)}\n{NOTE}"
        results.write_section(results.PROFILE, TITLE, body)

"""In which functions does a proxied request spend its CPU time?"""
from __future__ import annotations

import argparse
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import machine, results, rivals, wrk
from .cells import BODY_NAMES
from .flame import readable
from .harness import Sample
from .stage import stage
from .syscalls import PerfError, perf
from .work import Work, proxied

TITLE = "Where the CPU time goes"
COLUMNS = ("function", "in", "share %", "µs/request")
NOTE = """Samples of all processes of the server (`perf record`, 999 Hz) while wrk keeps it busy;
µs/request is the share of the CPU time per request, which is measured without perf just before. `in`: the kernel, or
the binary or module whose own code it is. Where the machine has no hardware counters, as most virtual ones, the samples
come from a timer: what the kernel does with interrupts off then appears where it turns them on again.
"""


@dataclass(frozen=True, slots=True)
class Hot:
    """One function and its share of all samples."""

    symbol: str
    place: str          # "kernel", or the name of a binary or module
    percent: float


def parse(text: str) -> list[Hot]:
    """Functions, hottest first, from the output of `perf report --sort symbol,dso --field-separator=;`."""
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*([\d.]+)%\s*;\[(.)\] (.*?)\s*;([^;]*?)\s*(;|$)", line)
        if match:
            place = "kernel" if match[2] == "k" else match[4].rpartition("/")[2]
            found.append(Hot(readable(match[3]), place, float(match[1])))
    return found


def sampled(work: Work, seconds: float, folder: Path) -> list[Hot]:
    """The functions that perf finds."""
    data, report = folder / "profile.data", folder / "perf.txt"
    perf(["record", "-F", "999", "-o", str(data)], work.pids, lambda: work.load(seconds), report)
    command = ["perf", "report", "-i", str(data), "--stdio", "--sort", "symbol,dso", "--field-separator=;"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    hot = parse(done.stdout)
    if not hot:
        raise PerfError(f"no samples: {report.read_text().strip()[-300:]} {done.stderr.strip()[-300:]}")
    return hot


def rows(each: float, hot: list[Hot], top: int) -> list[tuple[str, ...]]:
    """The hottest functions, then the sums by place, of a unit that costs `each`."""
    def row(symbol: str, place: str, percent: float) -> tuple[str, ...]:
        return symbol, place, f"{percent:.1f}", f"{percent / 100 * each:.2f}"

    found = [row(f"`{one.symbol}`", one.place, one.percent) for one in hot[:top]]
    places: dict[str, float] = {}
    for one in hot:
        places[one.place] = places.get(one.place, 0.0) + one.percent
    largest = sorted(places.items(), key=lambda item: -item[1])[:6]
    return found + [row("all of", place, percent) for place, percent in largest]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench profile`."""
    parser.add_argument("--rivals", default=",".join(rivals.available()), help="servers (here: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds per run (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="client connections (%(default)s)")
    parser.add_argument("--body", default="64", choices=rivals.BODIES, help="what is asked for (%(default)s)")
    parser.add_argument("--tls", action="store_true", help="clients speak TLS")
    parser.add_argument("--closes", action="store_true", help="clients make a connection for each request")
    parser.add_argument("--top", type=int, default=15, help="functions to list (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the sections in bench/PROFILE.md")


def run(options: argparse.Namespace) -> None:
    """Sample, show, and write the sections when asked."""
    case = BODY_NAMES[options.body] + ", TLS" * options.tls + ", a connection for each request" * options.closes
    load = wrk.Load(options.connections, closes=options.closes)
    for name in options.rivals.split(","):
        with stage([name], wiring=rivals.Wiring(tls=options.tls)) as on:
            work = proxied(on, name, options.body, load)
            cost, hot = work.cost(options.seconds), sampled(work, options.seconds, on.folder)
        found = rows(cost.cpu_us, hot, options.top)
        results.show(f"{name}, {case}: {cost.cpu_us:.1f} µs/request, {cost.user_us:.1f} of them user", COLUMNS, found)
        if options.write:
            text = results.table(COLUMNS, found)
            body = f"{machine.header(versions=rivals.versions([name]))}\n{cost_line(cost)}\n\n{text}\n{NOTE}"
            results.write_section(results.PROFILE, f"{TITLE}: {name}, {case}", body)


def cost_line(cost: Sample) -> str:
    """CPU per request in words."""
    return f"{cost.cpu_us:.1f} µs per request: {cost.user_us:.1f} user, {cost.cpu_us - cost.user_us:.1f} system."

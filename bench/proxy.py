"""hotpath-proxy against nginx and HAProxy: what does one request cost, and how long does it take?"""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import machine, results, rivals
from .harness import Sample, interleave, middle, ratios
from .stage import Stage, stage
from .wrk import Load

TITLE = "proxy: nginx, HAProxy and hotpath-proxy"
COLUMNS = ("workers · body · load", "server", "CPU µs/request", "user", "sys", "CPU µs/MB",
           "CPU ratio to {base} (min-max)", "requests/s", "p50 ms", "p99 ms", "errors", "others' CPU")
NOTE = """CPU is user+sys of all processes of the server over the requests it answered, the median of the rounds; the
ratio is taken within each round, for bodies of 64 KiB and more per MB. `busy`: as fast as it answers, all processes
anywhere. `pinned`: the same, but the proxy has one CPU to itself and wrk and the backend share the rest, so that
requests/s shows what one CPU can do. `paced`: all carry the same load, so that p50 and p99 compare. Others' CPU: what
unrelated processes and the hypervisor took meanwhile, in CPUs; much of it spoils times and throughput. All write a
buffered access log, route by host and prefix, balance two servers over kept-alive HTTP/1.1, set X-Forwarded-For,
-Proto, -Host and Via, and account a rate limit that never hits. HAProxy's log goes to a ring in mapped memory, as it
writes no files.
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One condition under which all contenders are measured."""

    workers: int
    body: str
    kind: str                   # busy | pinned | paced
    load: Load

    @property
    def is_large(self) -> bool:
        """Whether bytes are what costs, rather than the request."""
        return self.body in rivals.FILE_SIZES

    def cost(self, sample: Sample) -> float:
        """What to compare: CPU per MB of large bodies, as many are unfinished at the end; else CPU per request."""
        return sample.cpu_us_per_mb if self.is_large else sample.cpu_us

    def __str__(self) -> str:
        """As the tables name it."""
        rate = f" {self.load.pace_per_s:.0f}/s" if self.load.pace_per_s else ""
        return f"{self.workers} · {self.body} B · {self.kind}{rate}"


def rows(cell: Cell, taken: dict[str, list[Sample]], base: str) -> list[tuple[str, ...]]:
    """The table's rows of one cell; the figures against `base`."""
    return [(
        str(cell), name,
        f"{middle(samples, lambda s: s.cpu_us):.1f}",
        f"{middle(samples, lambda s: s.user_us):.1f}",
        f"{middle(samples, lambda s: s.cpu_us - s.user_us):.1f}",
        f"{middle(samples, lambda s: s.cpu_us_per_mb):.0f}" if cell.is_large else "",
        "1" if name == base else str(ratios(samples, taken[base], cell.cost)),
        f"{middle(samples, lambda s: s.load.per_s):,.0f}",
        f"{middle(samples, lambda s: s.load.p50_ms):.2f}",
        f"{middle(samples, lambda s: s.load.p99_ms):.2f}",
        str(sum(s.load.errors for s in samples)),
        f"{max(s.others_share for s in samples):.2f}",
    ) for name, samples in taken.items()]


def lines_in(path: Path) -> int:
    """Lines in a file, read in pieces."""
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def measure_cell(on: Stage, cell: Cell, rounds: int) -> dict[str, list[Sample]]:
    """All contenders of one cell, interleaved, after a short warm-up of each."""
    for name in on.proxies:
        on.load(name, cell.body, Load(connections=cell.load.connections, seconds=1))
    contenders = {name: partial(on.load, name, cell.body, cell.load) for name in on.proxies}
    return interleave(contenders, rounds=rounds, title=str(cell))


def check_logs(on: Stage, answered: dict[str, int]) -> None:
    """Raise WrongAnswer unless each log file holds a line for every request: nobody saved time by not writing."""
    for name, server in on.proxies.items():
        server.stop()           # what is still buffered is written now
        if name in rivals.HAS_LOG_FILE and (lines := lines_in(on.log_path(name))) < answered[name]:
            raise rivals.WrongAnswer(f"{name}: {lines} log lines for {answered[name]} requests")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench proxy`."""
    here = rivals.available()
    parser.add_argument("--rivals", default=",".join(here), help="contenders, the base first (here: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds per cell (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds per run (%(default)s)")
    parser.add_argument("--bodies", default="64,1k,64k,1m", help=f"of {','.join(rivals.BODIES)} (%(default)s)")
    parser.add_argument("--workers", default="1,2", help="worker counts (%(default)s)")
    parser.add_argument("--kinds", default="busy,pinned,paced",
                        help="loads; pinned and paced only with 64-byte bodies and one worker (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="client connections (%(default)s)")
    parser.add_argument("--pace", type=float, default=4000, help="requests per second when paced (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def cells(options: argparse.Namespace) -> list[Cell]:
    """What to measure, one worker first."""
    kinds, bodies = options.kinds.split(","), options.bodies.split(",")
    busy = Load(options.connections, options.seconds)
    found = []
    for workers in map(int, options.workers.split(",")):
        if "busy" in kinds:
            found += [Cell(workers, body, "busy", busy) for body in bodies]
        if workers == 1 and "pinned" in kinds:
            found.append(Cell(1, "64", "pinned", busy))
        if workers == 1 and "paced" in kinds:
            found.append(Cell(1, "64", "paced", Load(options.connections, options.seconds, pace_per_s=options.pace)))
    return found


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    names = options.rivals.split(",")
    columns = [column.format(base=names[0]) for column in COLUMNS]
    found: list[tuple[str, ...]] = []
    for cell in cells(options):
        with stage(names, workers=cell.workers, pinned=cell.kind == "pinned") as on:
            for server in on.proxies.values():
                rivals.check(server, [cell.body])
            taken = measure_cell(on, cell, options.rounds)
            check_logs(on, {name: sum(s.load.requests for s in samples) for name, samples in taken.items()})
        found += rows(cell, taken, names[0])
        results.show(str(cell), columns, found[-len(names):])
    if options.write:
        body = f"{machine.header(versions=rivals.versions(names))}\n{results.table(columns, found)}\n{NOTE}"
        results.write_section(results.RESULTS, TITLE, body)

"""hotpath-proxy against nginx and HAProxy: what does one request cost, and how long does it take?"""
from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from . import machine, quota, results, rivals, verdicts
from .cells import Cell, all_cells
from .harness import in_turn, middle, progress_bar, ratios
from .processes import StartError
from .stage import Stage, stage
from .verdicts import Result, per_s
from .wrk import Load, LoadError

FAILURES = (rivals.WrongAnswer, LoadError, StartError, OSError)
TITLE = "proxy: nginx, HAProxy and hotpath-proxy"
COLUMNS = ("condition", "server", "CPU × {base} (min-max)", "requests/s × {base}", "CPU µs/request (user + sys)",
           "CPU µs/MB", "requests/s", "p50 ms", "p99 ms", "limit", "CPUs: proxy · wrk · backend · others", "errors")
NOTE = """Every cell is measured {rounds} times {seconds:g} s for each server in turn, A B A B. A ratio is taken within
each round; shown are its median and its extremes; **bold**: worse than {base}. CPU is user+sys of all processes of the
server over the requests it answered; with bodies of 64 KiB and more the ratio is per MB. Each axis changes one thing of
the base: one worker, 64-byte bodies, 64 kept-alive connections over TCP in the clear, as fast as the server answers.

`limit`: what kept requests/s from being higher. Only where it is the proxy do requests/s compare the proxies; where
wrk, the backend or all CPUs are the limit, the CPU per request does. `round trips`: no CPU is full, connections wait
for answers. `others`: what unrelated processes and the hypervisor took meanwhile; much of it spoils times. Under the
same quota a control group gives every proxy {quota} CPUs, so that it is the limit. With the same load each connection
rests at random between its requests, so that p50 and p99 compare.

All write a buffered access log, route by host and prefix, balance two servers, set X-Forwarded-For, -Proto, -Host and
Via, and account a rate limit that never hits. HAProxy's log goes to a ring in mapped memory, as it writes no files. TLS
is 1.3 with AES-256-GCM and a P-256 certificate for all. To make a connection for each request to the server, nginx is
left at its defaults (HTTP/1.0), HAProxy has `option http-server-close`, hotpath `keepalive: {{idle: 0}}`.
"""


def marked(ratio: str, *, is_loss: bool) -> str:
    """A loss stands out."""
    return f"**{ratio}**" if is_loss else ratio


def rows(result: Result, base: str) -> list[tuple[str, ...]]:
    """The table's rows of one cell; the figures against `base`."""
    cell, found = result.cell, list[tuple[str, ...]]()
    for name, samples in result.taken.items():
        cost, speed = (ratios(samples, result.taken[base], figure) for figure in (cell.cost, per_s))
        cpu, user = middle(samples, lambda s: s.cpu_us), middle(samples, lambda s: s.user_us)
        limits = Counter(cell.limit(sample, cpus=len(os.sched_getaffinity(0))) for sample in samples)
        found.append((
            cell.name, name,
            "1" if name == base else marked(str(cost), is_loss=cost.middle > 1),
            "1" if name == base else marked(f"{speed.middle:.2f}", is_loss=speed.middle < 1),
            f"{cpu:.1f} ({user:.1f} + {cpu - user:.1f})",
            f"{middle(samples, lambda s: s.cpu_us_per_mb):.0f}" if cell.is_large else "",
            f"{middle(samples, per_s):,.0f}",
            f"{middle(samples, lambda s: s.load.p50_ms):.2f}",
            f"{middle(samples, lambda s: s.load.p99_ms):.2f}",
            limits.most_common(1)[0][0],
            verdicts.cpus(samples),
            str(sum(s.load.errors for s in samples))))
    return found


def lines_in(path: Path) -> int:
    """Lines in a file, read in pieces."""
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def check_logs(on: Stage, answered: dict[str, int]) -> None:
    """Raise WrongAnswer unless each log file holds a line for every request: nobody saved time by not writing."""
    for name, server in on.proxies.items():
        server.stop()           # what is still buffered is written now
        if name in rivals.HAS_LOG_FILE and (lines := lines_in(on.log_path(name))) < answered[name]:
            raise rivals.WrongAnswer(f"{name}: {lines} log lines for {answered[name]} requests")


def measure_cell(cell: Cell, names: Sequence[str], rounds: int, before: Callable[[str], object]) -> Result:
    """All contenders of one cell, interleaved, after a check and a short warm-up of each."""
    with stage(list(names), workers=cell.workers, wiring=cell.wiring, quota_cpus=cell.quota_cpus) as on:
        on.check([cell.body])
        for name in names:
            on.run(name, cell.body, Load(cell.load.connections, 1))
        taken = in_turn({name: partial(on.load, name, cell.body, cell.load) for name in names},
                        rounds=rounds, before=before)
        check_logs(on, {name: sum(s.load.requests for s in samples) for name, samples in taken.items()})
    return Result(cell, taken)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench proxy`."""
    here = rivals.available()
    parser.add_argument("--rivals", default=",".join(here), help="contenders, the base first (here: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds per cell (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds per run, whole ones (%(default)s)")
    parser.add_argument("--only", action="append", metavar="TEXT", help="cells with this in their name; repeatable")
    parser.add_argument("--list", action="store_true", help="name the cells, measure nothing")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def chosen(options: argparse.Namespace) -> list[Cell]:
    """The cells to measure; those with a quota only where there can be one."""
    found = [cell for cell in all_cells(options.seconds) if any(word in str(cell) for word in options.only or [""])]
    return [cell for cell in found if cell.quota_cpus is None or quota.is_available()]


def contenders(cell: Cell, names: list[str]) -> list[str]:
    """Who is measured in that cell."""
    return names + [name for name in rivals.debians() if cell.with_debians and name.partition("-")[0] in names]


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    cells, names = chosen(options), options.rivals.split(",")
    if options.list:
        print(*cells, sep="\n")
        return
    columns = [column.format(base=names[0]) for column in COLUMNS]
    found: list[Result] = []
    failed: list[str] = []              # a cell that cannot be measured costs none of the others
    console = results.console()
    with progress_bar(console) as bar:
        n = options.rounds * sum(len(contenders(cell, names)) for cell in cells)
        task = bar.add_task("", total=n, completed=-1)
        for cell in cells:
            def turn(name: str, cell: Cell = cell) -> None:
                bar.update(task, description=f"{cell}: {name}", advance=1)

            try:
                found.append(measure_cell(cell, contenders(cell, names), options.rounds, turn))
            except FAILURES as error:
                failed.append(f"{cell}: {error}")
            else:
                results.show(str(cell), columns, rows(found[-1], names[0]), on=console)
    results.show("verdicts", verdicts.COLUMNS, verdicts.rows(found))
    if options.write and found:
        results.write_section(results.RESULTS, TITLE, report(found, names, columns, options))
    if failed:
        raise rivals.WrongAnswer(f"{len(failed)} cells could not be measured:\n" + "\n".join(failed))


def report(found: list[Result], names: list[str], columns: Sequence[str], options: argparse.Namespace) -> str:
    """The section's text: the verdicts first, then a table for each axis."""
    everyone = names + [name for name in found[0].taken if name not in names]
    parts = [machine.header(versions=rivals.versions(everyone)),
             "### Goals\n", results.table(verdicts.COLUMNS, verdicts.rows(found))]
    for axis, group in groupby(found, key=lambda result: result.cell.axis):
        table = [row for result in group for row in rows(result, names[0])]
        parts += [f"### {axis[0].upper()}{axis[1:]}\n", results.table(columns, table)]
    note = NOTE.format(rounds=options.rounds, seconds=options.seconds, base=names[0], quota=cells_quota(found))
    return "\n".join([*parts, note])


def cells_quota(found: list[Result]) -> str:
    """What the quota was, in CPUs."""
    return ", ".join(sorted({f"{r.cell.quota_cpus:g}" for r in found if r.cell.quota_cpus is not None})) or "as many"

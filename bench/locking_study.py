"""locking's own study on SQLite, MariaDB and PostgreSQL: the figures that are shipped with it."""
from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from hotpath.core.errors import HotpathError
from hotpath.locking.study import grid
from hotpath.locking.study.command import study, told
from hotpath.locking.study.summary import Summary

from . import machine, results
from .harness import BenchmarkError
from .locking_servers import BACKENDS, database

SHIPPED = machine.ROOT / "locking" / "study" / "shipped"
SECTION = "Measured"
CROSSING = ("database", "workers", "work, ms", "pessimistic overtakes")
ENDS = ("database", "workers", "work, ms", "rows", *grid.POLICIES, "naive loses")

Row = Mapping[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench locking_study`: the study's own, on a smaller grid, four minutes a backend."""
    parser.add_argument("--backends", default=",".join(BACKENDS), help="which of them (%(default)s)")
    grid.add_flags(parser)
    parser.set_defaults(rows=(1, 4, 16, 64, 256), workers=(4, 16), work_ms=(0, 5), seconds=1.0, repeat=2)
    parser.add_argument("--write", action="store_true",
                        help="replace the files in locking/study/shipped, and the tables of its README")


def run(options: argparse.Namespace) -> None:
    """A study on each, one after the other."""
    wanted = grid.Grid(options.rows, options.workers, options.work_ms, options.policies, options.seconds,
                       options.repeat)
    backends = options.backends.split(",")
    for backend in backends:
        if backend not in BACKENDS:
            raise BenchmarkError(f"no backend {backend!r}: {', '.join(BACKENDS)}")
    with tempfile.TemporaryDirectory(prefix="hotpath-bench-") as scratch:
        folder = SHIPPED if options.write else Path(scratch)
        for backend in backends:
            out = folder / backend
            out.mkdir(parents=True, exist_ok=True)
            try:
                with database(backend, Path(scratch)) as url:
                    summary = study(wanted, url, out)
            except HotpathError as error:
                raise BenchmarkError(f"{backend}: {error}") from None
            print("\n".join(told(summary)))
        # Also those that were measured another time.
        there = [backend for backend in BACKENDS if (folder / backend / "summary.json").exists()]
        crossing, ends = tables({backend: read(folder / backend) for backend in there})
    results.show("locking: where pessimistic overtakes optimistic", CROSSING, crossing)
    results.show("locking: commits per second", ENDS, ends)
    if options.write:
        header = machine.header(versions=machine.packages(["sqlalchemy", "mysql-connector-python", "psycopg"]))
        results.write_section(SHIPPED / "README.md", SECTION, f"{header}\n{results.table(CROSSING, crossing)}\n"
                                                              f"Commits per second:\n\n{results.table(ENDS, ends)}")


def read(folder: Path) -> tuple[Summary, list[Row]]:
    """A study's files."""
    with (folder / "study.csv").open(newline="") as file:
        return json.loads((folder / "summary.json").read_text()), list(csv.DictReader(file))


def tables(studies: Mapping[str, tuple[Summary, Sequence[Row]]]) -> tuple[list[list[str]], list[list[str]]]:
    """The crossings, and what is committed with the most rows and with the fewest."""
    crossing, ends = [], []
    for summary, lines in studies.values():
        for one in summary["crossover"]:
            at = one["conflict_prob"]
            place = [summary["server"], str(one["workers"]), f"{one['work_ms']:g}"]
            crossing.append([*place, "nowhere" if at is None else f"at {100 * at:.0f} %"])
            here = [line for line in lines
                    if int(line["workers"]) == one["workers"] and float(line["work_ms"]) == one["work_ms"]]
            rows = sorted({int(line["rows"]) for line in here})
            for n in (rows[-1], rows[0]):
                ends.append([*place, str(n), *end_of([line for line in here if int(line["rows"]) == n])])
    return crossing, ends


def end_of(lines: Sequence[Row]) -> list[str]:
    """Commits per second of each policy, and how many of a hundred the naive loses."""
    by_policy = {policy: [line for line in lines if line["policy"] == policy] for policy in grid.POLICIES}
    commits = sum(int(line["commits"]) for line in by_policy["naive"])
    lost = sum(int(line["lost_updates"]) for line in by_policy["naive"])
    return [*(f"{fmean(float(line['throughput']) for line in many):,.0f}" if many else "–"
              for many in by_policy.values()), f"{100 * lost / commits:.0f} %" if commits else "–"]

"""hotpath.locking against plain SQLAlchemy and against its own promises: what it costs, loses, leaks and finds out."""
from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from hotpath.locking.study import grid

from . import (
    locking_adaptive,
    locking_claim,
    locking_deadlocks,
    locking_lost,
    locking_servers,
    locking_units,
    machine,
    results,
)
from .disk import disk_folder
from .harness import BenchmarkError, run_parts
from .stage import scratch_folder

UNITS_NOTE = """`row = get(key); row.n += 1; commit`: one thread, one row, nobody else. SQLAlchemy's is within `with
Session(engine) as session`, on the same engine and the same class with its version. CPU is user+sys of this process,
without the server's. Ratios are taken within each round; above 1 hotpath costs more. hotpath's sessions keep what they
read readable after the commit (expire_on_commit=False), which is cheaper, so that one stands beside it too. SQLite in
memory.
"""
LOST_NOTE = f"""{locking_lost.WORKERS} processes at once, each with a connection of its own, raise {locking_lost.ROWS}
rows by 1, chosen by chance; afterwards the sum of the rows is compared with the units that were committed. The control
is the naive way: SELECT n; UPDATE … SET n = …. `most`: the largest number of attempts that any unit took. SQLite in
memory.
"""
DEADLOCKS_NOTE = f"""{locking_deadlocks.PAIRS} pairs of threads; the two of a pair lock the same two rows in opposite
order, and neither asks for its second row before the other has its first. Every row's sum is right afterwards.
PostgreSQL looks for deadlocks after 1 ms here.
"""
ADAPTIVE_NOTE = """The study's units: read a row, chosen by chance, work for so long, write it; each worker is a process
with a policy of its own, which begins each measurement without any experience. The better one of the two others is so
by its median; ratios are taken within each round. Measurements of {seconds:g} s.
"""


def overhead(options: argparse.Namespace) -> None:
    """Uncontended."""
    with scratch_folder() as folder:
        found = on_each(options.backends, folder, lambda backend, url: locking_units.run(
            backend, url, units=options.units, rounds=options.rounds))
    report("locking: the cost of run", options, locking_units.COLUMNS, found, UNITS_NOTE)


def lost(options: argparse.Namespace) -> None:
    """Increments."""
    with scratch_folder() as folder:
        found = on_each(options.backends, folder, lambda backend, url: locking_lost.run(
            backend, url, increments=options.increments))
    report("locking: lost updates", options, locking_lost.COLUMNS, found, LOST_NOTE)


def deadlocks(options: argparse.Namespace) -> None:
    """Connections."""
    with scratch_folder() as folder:
        backends = ",".join(name for name in options.backends.split(",") if name in locking_deadlocks.BACKENDS)
        found = on_each(backends, folder, lambda backend, url: locking_deadlocks.run(
            backend, url, deadlocks=options.deadlocks)) if backends else []
    report("locking: after a thousand deadlocks", options, locking_deadlocks.COLUMNS, found, DEADLOCKS_NOTE)


def adaptive(options: argparse.Namespace) -> None:
    """Beside the better one."""
    cells = [grid.Cell(rows, workers, work_ms) for work_ms in options.work_ms for workers in options.workers
             for rows in options.rows]
    with disk_folder(options.folder) as folder:
        found = on_each(options.backends, folder, lambda backend, url: locking_adaptive.run(
            backend, url, cells, seconds=options.seconds, rounds=2))
    report("locking: Adaptive", options, locking_adaptive.COLUMNS, found,
           ADAPTIVE_NOTE.format(seconds=options.seconds))


def claim(options: argparse.Namespace) -> None:
    """Jobs."""
    with disk_folder(options.folder) as folder:
        found = locking_claim.run(folder, rounds=options.rounds, backends=options.backends.split(","))
    report("locking: handing out jobs", options, locking_claim.COLUMNS, found,
           locking_claim.NOTE.format(jobs=1000, workers=4))


RUNS: dict[str, Callable[[argparse.Namespace], None]] = {
    "overhead": overhead, "lost": lost, "deadlocks": deadlocks, "adaptive": adaptive, "claim": claim}


def on_each(backends: str, folder: Path,
            measure: Callable[[str, str], Sequence[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """`measure(backend, url)` on a new database of each; all rows. Raises BenchmarkError."""
    found: list[tuple[str, ...]] = []
    for backend in backends.split(","):
        if backend not in locking_servers.BACKENDS:
            raise BenchmarkError(f"no backend {backend!r}: {', '.join(locking_servers.BACKENDS)}")
        with locking_servers.database(backend, folder) as url:
            found += measure(backend, url)
    return found


def versions() -> str:
    """Of the servers, drivers and SQLAlchemy."""
    mariadb = machine.first_line(shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--version")
    postgres = machine.first_line(next(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")), "postgres"),
                                  "--version")
    return (f"{mariadb.partition('  ')[2].partition(' for ')[0]}, {postgres}, "
            f"{machine.packages(['sqlalchemy', 'mysql-connector-python', 'psycopg'])}")


def report(title: str, options: argparse.Namespace, columns: tuple[str, ...], rows: list[tuple[str, ...]],
           note: str) -> None:
    """Show the table, and write the section when asked."""
    results.publish(title, [(columns, rows)], note, versions=versions(), write=options.write)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench locking`."""
    parser.add_argument("--parts", default=",".join(RUNS), help="which of them (%(default)s)")
    parser.add_argument("--backends", default=",".join(locking_servers.BACKENDS), help="on which (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="A B A B rounds (%(default)s); of Adaptive two")
    parser.add_argument("--units", type=int, default=500, help="units of work in a round of overhead (%(default)s)")
    parser.add_argument("--increments", type=int, default=10_000, help="of each policy (%(default)s)")
    parser.add_argument("--deadlocks", type=int, default=1000, help="at least (%(default)s)")
    parser.add_argument("--rows", type=grid.rows, default=(1, 16, 256), metavar="N,…", help="for Adaptive (1,16,256)")
    parser.add_argument("--workers", type=grid.workers, default=(32,), metavar="N,…", help="for Adaptive (32)")
    parser.add_argument("--work-ms", type=grid.numbers, default=(0, 10), metavar="MS,…", help="for Adaptive (0,10)")
    parser.add_argument("--seconds", type=float, default=1, help="of a measurement of Adaptive (%(default)s)")
    parser.add_argument("--folder", help="where SQLite's data lie: a folder on a disk (default: TMPDIR or /tmp)")
    parser.add_argument("--write", action="store_true", help="replace the sections in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the sections when asked."""
    run_parts(RUNS, options)

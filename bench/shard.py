"""hotpath-shard against the bare driver, its pool and a dump: what the fence, the pool and a move cost."""
from __future__ import annotations

import argparse
from collections.abc import Callable

from . import results, shard_grow, shard_points, shard_pool
from .disk import disk_folder, file_system, syncs_per_s
from .harness import run_parts
from .shard_house import versions

POINTS_NOTE = """One process with so many threads; MariaDB servers made by `backend: process` beside it, on the same
machine. `hotpath-shard` is the Python API, values checked and all; the rival has a connection for each thread and
server, one cursor on it, and the same statements without fence and slot, in a table of its own, whose server is the
key's remainder. CPU is user+sys of the process with the threads, and of the servers. `crud`: insert, get, update, get,
delete. The ratio is taken within each round, above 1 hotpath makes more.
"""
POOL_NOTE = """One thread takes a connection and gives it back, and asks nothing. Round trips as the server counts
them.
"""
DURABLE_NOTE = """Inserts by {threads} threads, each in a file on {kind} when it returns; three shards. The rival is
one connection with a lock around it, one file, the same journal mode and sync.
The disk alone: {syncs:,.0f} times a second 4 KiB more and fdatasync.
"""
GROW_NOTE = """16 clients in the router's process, each with keys of its own and a dict beside it, {rate:,.0f}
operations a second in all, by the clock: half gets, else updates, inserts, deletes; how long one took counts from when
it was due. Each answer is compared with the dict, at the end all rows are, and `verify` finds each row on its owner,
once. Moves at the default rate. {rows:,} keys on two MariaDB servers; the move runs in the same process.
"""
COPY_NOTE = """An `add` without a cap on its rate, beside the same clients; the rival is `mariadb-dump
--single-transaction | mariadb` of as many rows of the same table, from one of the servers into another, beside them
too. The takeover: of two routers the one that moves rows is killed with -9; seconds until the next row is copied by
the other.
"""


def points(options: argparse.Namespace) -> None:
    """By key."""
    with disk_folder(options.folder) as disk:
        found = shard_points.points(disk, threads=[int(n) for n in options.threads.split(",")],
                                    seconds=options.seconds, rounds=options.rounds)
    report("shard: operations by key", options, shard_points.COLUMNS, found, POINTS_NOTE)


def pool(options: argparse.Namespace) -> None:
    """Checkout and return."""
    with disk_folder(options.folder) as disk:
        found = shard_pool.run(disk, rounds=options.rounds)
    report("shard: the pool", options, shard_pool.COLUMNS, found, POOL_NOTE)


def durable(options: argparse.Namespace) -> None:
    """On SQLite."""
    with disk_folder(options.folder) as disk:
        syncs = syncs_per_s(disk)
        found = shard_points.durable(disk, threads=16, seconds=options.seconds, rounds=options.rounds)
        note = DURABLE_NOTE.format(threads=16, kind=file_system(disk), syncs=syncs)
    report("shard: durable writes on SQLite", options, shard_points.COLUMNS, found, note)


def grow(options: argparse.Namespace) -> None:
    """While shards come and go."""
    with disk_folder(options.folder) as disk:
        found = shard_grow.noticed(disk, rows=options.rows, rate=options.rate, seconds=2 * options.seconds)
    report("shard: what clients notice of a move", options, shard_grow.NOTICED, found,
           GROW_NOTE.format(rate=options.rate, rows=options.rows))


def copy(options: argparse.Namespace) -> None:
    """How fast rows move."""
    with disk_folder(options.folder) as disk:
        found = shard_grow.moved(disk, rows=options.rows, rate=options.rate)
    report("shard: moving rows", options, shard_grow.MOVED, found, COPY_NOTE)


RUNS: dict[str, Callable[[argparse.Namespace], None]] = {
    "points": points, "pool": pool, "durable": durable, "grow": grow, "copy": copy}


def report(title: str, options: argparse.Namespace, columns: tuple[str, ...], rows: list[tuple[str, ...]],
           note: str) -> None:
    """Show the table, and write the section when asked."""
    results.publish(title, [(columns, rows)], note, versions=versions(), write=options.write)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench shard`."""
    parser.add_argument("--parts", default=",".join(RUNS), help="which of them (%(default)s)")
    parser.add_argument("--threads", default="16,32", help="of the operations by key (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="A B A B rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds of each contender in a round (%(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="rows in a cluster that moves (%(default)s)")
    parser.add_argument("--rate", type=float, default=1000, help="operations/s of the clients meanwhile (%(default)s)")
    parser.add_argument("--folder", help="where the data lie: a folder on a disk (default: TMPDIR or /tmp)")
    parser.add_argument("--write", action="store_true", help="replace the sections in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the sections when asked."""
    run_parts(RUNS, options)

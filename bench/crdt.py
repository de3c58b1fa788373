"""LWWDict and hotpath-crdt against Python's dict, pycrdt, Redis and Flask; threads, memory, and the time to heal."""
from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from hotpath.crdt import LWWDict

from . import crdt_chart, crdt_heal, crdt_library, crdt_memory, crdt_served, crdt_threads, machine, paired, results
from .disk import disk_folder, file_system
from .harness import BenchmarkError, interleave, run_parts
from .paired import at_most
from .stage import scratch_folder

PICTURE = results.HERE / "heal.svg"

LIBRARY_NOTE = f"""CPU time of this process per key or cell, the loop of the caller in it, garbage collection off;
the median of the rounds, the ratio taken within each round, and above 1 costs more than hotpath. Keys of 16
characters in random order, values of {crdt_library.VALUE_BYTES} bytes (text beside pycrdt and crdts). `dict +
RLock` is bench/crdt_rivals.py: tuples in a dict, a lock, a hybrid clock. hotpath merges the delta's bytes, checksum
and all; the rival merges `from tuples` that somebody has decoded already, and `from bytes` decodes the same delta
without looking at the checksum. `re-merge`: cells that came before, in objects of their own. crdts walks over its
names at each update and gets {crdt_library.CRDTS_KEYS} keys. Goals in millions for hotpath itself are cells/s and
core.
"""
MEMORY_NOTE = """Resident memory of a child process that puts so many keys, less the bytes of keys and values. On
the wire: what a delta adds to a key and its value, for each cell.
"""
THREADS_NOTE = """`LWWDict.merge` from Python threads, and the same functions of the table from pthreads without
Python (bench/lww_threads.pyx): what C gains is what this machine has to give. The same deltas in all four runs, in
turns for one thread; afterwards all tables have the same root. `of C's gain`: (Python's speed-up - 1) / (C's - 1).

Beside a thread that looks keys up in a loop, this one merges deltas of so many new cells: in how many of the calls
did the other read something before the call was over?
"""
SERVED_NOTE = """bench/keydriver.h drives both protocols in the same way: each connection asks, waits for the whole
answer, asks again. CPU is user+sys of the server's processes over the writes that it acknowledged. `writes per
fdatasync` by the server's own /stats; Redis does not count. The data of both lie in one folder on one disk.
"""
READS_NOTE = """Each server has one CPU to itself, the driver the others. Values of 100 bytes, 1,000 keys. Flask's
dict has no stamps and keeps nothing; it runs on gevent's WSGI server. hotpath-echo answers five bytes from a
handler in Python: the floor.
"""
HEAL_NOTE = """Three processes on this machine, {keys:,} keys of 16 bytes with values of 100. a is cut off from
both, by /drill/cut or by pulling the cables (TCP proxies of the benchmark that reset every connection),
{changed:g} % of the keys are written there, and it is healed, at a random time within the interval. /drill/heal
wakes the peers; a cable does not. Agreement: the three roots are equal, asked every few ms. Bytes: all that
passed the cables, heads of HTTP too, until two intervals after agreement. Not measured here, from their
documentation: Akka Distributed Data gossips every 2 s, Riak's anti-entropy looks every 15 s, by default.

![keys that differ after a heal](heal.svg)
"""


def library(options: argparse.Namespace) -> None:
    """One thread."""
    found = []
    data, pieces = crdt_library.Data.of(options.keys), crdt_library.Data.of(min(options.keys, 20_000))
    for question in crdt_library.questions(data, pieces=pieces):
        found += paired.rows(question, interleave(question.contenders, rounds=options.rounds, title=question.name))
    del data
    for question in crdt_library.large_questions(crdt_library.Data.of(options.many)):
        found += paired.rows(question, interleave(question.contenders, rounds=options.rounds, title=question.name))
    versions = machine.packages(["pycrdt", "crdts"])
    report("crdt: the library", options, versions, [(paired.COLUMNS, found)], LIBRARY_NOTE)


def memory(options: argparse.Namespace) -> None:
    """Bytes of a key."""
    script = str(Path(crdt_memory.__file__))
    taken: dict[str, list[float]] = {kind: [] for kind in crdt_memory.KINDS}
    for _ in range(options.rounds):
        for kind, measured in taken.items():
            argv = [sys.executable, "-P", script, kind, str(options.keys)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise BenchmarkError(done.stderr[-2000:])
            measured.append(float(done.stdout))
    over = {kind: median(measured) for kind, measured in taken.items()}
    rows = [(kind, f"{options.keys:,}", f"{each:.1f}", at_most(each, 80) if kind == "hotpath" else "")
            for kind, each in over.items()]
    delta = LWWDict("a", items={crdt_memory.key_of(i): crdt_memory.value_of(i) for i in range(1000)}).delta()
    wire = len(delta) / 1000 - crdt_memory.KEY_BYTES - crdt_memory.VALUE_BYTES
    rows.append(("hotpath, on the wire", "1,000", f"{wire:.1f}", ""))
    columns = ("contender", "keys", "bytes per key over key and value", "goal")
    report("crdt: memory", options, machine.OURS, [(columns, rows)], MEMORY_NOTE)


def threads(options: argparse.Namespace) -> None:
    """Two threads, and pure C."""
    with scratch_folder() as folder:
        native = crdt_threads.built(folder)
        gained = []
        for name in ("disjoint", "same"):
            work = crdt_threads.Work.of(options.keys // 2, same_keys=name == "same")
            gained += crdt_threads.gains(native, work, name, rounds=options.rounds)
        read = crdt_threads.reads(native, rounds=options.rounds)
    out, kept = crdt_threads.allocations(options.keys)
    note = f"{THREADS_NOTE}\nAfter 20 re-merges of {options.keys:,} cells malloc has given out {out:,} bytes more\n" \
           f"than before, and taken {kept:,} from the kernel (mallinfo2, all arenas).\n"
    report("crdt: threads", options, machine.OURS, [(crdt_threads.GAINS, gained), (crdt_threads.READS, read)], note)


def server(options: argparse.Namespace) -> None:
    """Writes and reads over HTTP."""
    setting = crdt_served.Setting(options.connections, options.seconds, options.rounds, options.keys)
    with scratch_folder() as scratch, disk_folder(options.folder) as disk:
        kind = file_system(disk)
        written, alone = crdt_served.writes(scratch, disk, setting)
        read = crdt_served.reads(scratch, disk, setting)
    about = f"{SERVED_NOTE}\nThe disk alone ({kind}): {alone:,.0f} times a second 4 KiB more and fdatasync.\n"
    report("crdt: durable writes", options, crdt_served.versions(), [(crdt_served.WRITES, written)], about)
    report("crdt: reads over HTTP", options, crdt_served.versions(), [(crdt_served.READS, read)], READS_NOTE)


def heal(options: argparse.Namespace) -> None:
    """Three replicas, cut and healed."""
    setting = crdt_heal.Setting(options.keys, options.rounds, options.interval_ms, 0.01)
    with disk_folder(options.folder) as disk:
        found, whole = crdt_heal.run(disk, setting, lambda text: print(text, file=sys.stderr))
    if options.write:
        changed = round(setting.keys * setting.changed)
        title = f"Keys that differ after a heal: {changed:,} of {setting.keys:,} had changed at a"
        last = next(each for each in reversed(found) if each.how == "cable")
        PICTURE.write_text(crdt_chart.drawn(crdt_heal.series(last), title=title))
    note = HEAL_NOTE.format(keys=setting.keys, changed=100 * setting.changed)
    table = crdt_heal.COLUMNS, crdt_heal.rows(found, whole, setting)
    report("crdt: cut and heal", options, machine.OURS, [table], note)


RUNS: dict[str, Callable[[argparse.Namespace], None]] = {
    "library": library, "memory": memory, "threads": threads, "served": server, "heal": heal}


def report(title: str, options: argparse.Namespace, versions: str, tables: list[results.Shown], note: str) -> None:
    """Show the tables, and write the section when asked."""
    results.publish(title, tables, note, versions=versions, write=options.write)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench crdt`."""
    parser.add_argument("--parts", default=",".join(RUNS), help="which of them (%(default)s)")
    parser.add_argument("--keys", type=int, default=100_000, help="keys (%(default)s)")
    parser.add_argument("--many", type=int, default=1_000_000, help="keys of the large merges (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="A B A B rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds per run of a server (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="client connections (%(default)s)")
    parser.add_argument("--interval-ms", type=int, default=500, help="sync.interval of the replicas (%(default)s)")
    parser.add_argument("--folder", help="where the servers' data lie: a folder on a disk (default: TMPDIR or /tmp)")
    parser.add_argument("--write", action="store_true", help="replace the sections in bench/RESULTS.md, and heal.svg")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the sections when asked."""
    run_parts(RUNS, options)

"""LWWDict in several threads: what does a second one gain, do reads go on beside a merge, and what is allocated?

Beside each figure stands the same from plain pthreads without Python, on this machine.
"""
from __future__ import annotations

import ctypes
import gc
import importlib.util
import itertools
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import ModuleType

from hotpath.core.data.lww import Stamp, bundle, encode
from hotpath.crdt import LWWDict

from . import machine
from .harness import BenchmarkError, Spread, interleave
from .paired import at_most, verdict
from .results import duration
from .rivals import WrongAnswer

SOURCE = "lww_threads"
# Newer versions of all keys that each thread merges.
VERSIONS = 6
SIZES = (64, 256, 1024, 16384)
MERGES_WATCHED = 200

GAINS = ("keys of the two threads", "threads", "two over one, wall (min-max)", "CPU per cell, two over one (min-max)",
         "one thread, per cell", "of C's gain", "goal")
READS = ("cells per merge", "another thread read during the call", "in C", "merge takes", "in C, beside reads", "goal")
BUILD = """
from Cython.Build import cythonize
from setuptools import Extension, setup
folders = [{root!r} + "/core/data/lww", {root!r} + "/core/data"]
extension = Extension({source!r}, [{source!r} + ".pyx"], include_dirs=folders)
setup(ext_modules=cythonize([extension], include_path=[{root!r}], compiler_directives={{"language_level": 3}}),
      script_args=["-q", "build_ext", "--inplace"])
"""


def built(folder: Path) -> ModuleType:
    """bench/lww_threads.pyx, compiled in `folder`."""
    shutil.copy(Path(__file__).with_name(f"{SOURCE}.pyx"), folder)
    script = BUILD.format(source=SOURCE, root=str(machine.ROOT))
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    found = list(folder.glob(f"{SOURCE}*.so"))
    if done.returncode != 0 or not found:
        raise BenchmarkError(f"{SOURCE}.pyx: {(done.stdout + done.stderr)[-2000:]}")
    spec = importlib.util.spec_from_file_location(SOURCE, found[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def delta_of(keys: Sequence[bytes], hlc: int, *, seed: int) -> bytes:
    """A delta that writes all keys at `hlc`, in random order."""
    stamp = Stamp(hlc, "b")
    order = random.Random(seed).sample(keys, len(keys))
    return bundle([encode(key, stamp, True, b"\0%032d" % hlc) for key in order], "add")


@dataclass(frozen=True, slots=True)
class Work:
    """A table's content, and what each of two threads merges into it."""

    base: bytes
    deltas: tuple[list[bytes], list[bytes]]
    cells: int

    @classmethod
    def of(cls, n: int, *, same_keys: bool) -> Work:
        """Two threads with `n` keys each, or `n` in all; every version is newer than those before it."""
        keys = [b"key:%012d" % i for i in range(n if same_keys else 2 * n)]
        halves = (keys, keys) if same_keys else (keys[:n], keys[n:])
        deltas = tuple([delta_of(half, 1000 + 2 * version + i, seed=version) for version in range(VERSIONS)]
                       for i, half in enumerate(halves))
        return cls(delta_of(keys, 1, seed=99), (deltas[0], deltas[1]), 2 * n * VERSIONS)

    def split(self, threads: int) -> list[list[bytes]]:
        """The deltas for each thread: in turns for one."""
        if threads == 1:
            return [list(itertools.chain.from_iterable(zip(*self.deltas, strict=True)))]
        return [list(deltas) for deltas in self.deltas]


@dataclass(frozen=True, slots=True)
class Spent:
    """One run."""

    wall_s: float
    cpu_s: float
    root: int


def in_python(work: Work, threads: int) -> Spent:
    """`LWWDict.merge` from that many threads."""
    table = LWWDict("a")
    table.merge(work.base)
    start = threading.Barrier(threads + 1)

    def run(deltas: list[bytes]) -> None:
        start.wait()
        for delta in deltas:
            table.merge(delta)

    running = [threading.Thread(target=run, args=(deltas,)) for deltas in work.split(threads)]
    for thread in running:
        thread.start()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    start.wait()
    for thread in running:
        thread.join()
    return Spent(time.perf_counter() - wall_s, time.process_time() - cpu_s, table.root)


def share_of(python: float, c: float) -> float | None:
    """How much of the gain of C's speed-up Python's has. None: C gains next to nothing, as on a machine in use."""
    return (python - 1) / (c - 1) if c >= 1.1 else None


def gains(native: ModuleType, work: Work, name: str, *, rounds: int) -> list[tuple[str, ...]]:
    """The rows of one kind of keys."""
    def in_c(threads: int) -> Spent:
        return Spent(*native.merge(work.base, work.split(threads)))

    runs: dict[str, Callable[[], Spent]] = {
        "Python 1": lambda: in_python(work, 1), "C 1": lambda: in_c(1),
        "Python 2": lambda: in_python(work, 2), "C 2": lambda: in_c(2)}
    taken = interleave(runs, rounds=rounds, title=f"{name} keys")
    if len({spent.root for each in taken.values() for spent in each}) != 1:
        raise WrongAnswer("the threads' order decided what won")
    found = []
    faster = {who: [one.wall_s / two.wall_s for one, two in zip(taken[f"{who} 1"], taken[f"{who} 2"], strict=True)]
              for who in ("Python", "C")}
    for who in ("Python", "C"):
        pairs = zip(taken[f"{who} 1"], taken[f"{who} 2"], strict=True)
        dearer = Spread.of([two.cpu_s / one.cpu_s for one, two in pairs])
        share = share_of(median(faster["Python"]), median(faster["C"]))
        goal = ""
        if who == "Python" and name == "disjoint":
            goal = f"wall {verdict(median(faster[who]), 1.6)}; CPU {at_most(dearer.middle, 1.2)}; " \
                   f"share {'unknown' if share is None else verdict(share, 0.4)}"
        found.append((name, who, str(Spread.of(faster[who])), str(dearer),
                      duration(median(one.cpu_s for one in taken[f"{who} 1"]) / work.cells),
                      "1" if who == "C" else "C gains nothing" if share is None else f"{share:.2f}", goal))
    return found


@dataclass(frozen=True, slots=True)
class Watched:
    """Merges beside a thread that reads."""

    share: float                # of the merges, during which it read something
    each_s: float               # wall seconds per merge


def read_in_python(base: bytes, deltas: list[bytes], keys: list[bytes]) -> Watched:
    """A Python thread looks keys up in a loop while this one merges."""
    table = LWWDict("a")
    table.merge(base)
    lookups, over = 0, False
    ready = threading.Event()

    def read() -> None:
        nonlocal lookups
        lookup = table.lookup
        for key in itertools.cycle(keys):
            lookup(key)
            lookups += 1
            if lookups == 1:
                ready.set()
            if over:
                return

    reader = threading.Thread(target=read)
    reader.start()
    ready.wait()
    progressed, merge = 0, table.merge
    began_s = time.perf_counter()
    for delta in deltas:
        before = lookups
        merge(delta)
        progressed += lookups != before
    took_s = time.perf_counter() - began_s
    over = True
    reader.join()
    return Watched(progressed / len(deltas), took_s / len(deltas))


def reads(native: ModuleType, *, rounds: int) -> list[tuple[str, ...]]:
    """The rows, by the cells of one merge."""
    found = []
    for size in SIZES:
        keys = [b"key:%012d" % i for i in range(size)]
        n = max(20, min(MERGES_WATCHED, 2_000_000 // size))
        base = delta_of(keys, 1, seed=0)
        deltas = [delta_of(keys, 1000 + i, seed=i) for i in range(n)]

        def in_c(base: bytes = base, deltas: list[bytes] = deltas, keys: list[bytes] = keys) -> Watched:
            progressed, _lookups, took_s = native.read_beside(base, deltas, keys)
            return Watched(progressed / len(deltas), took_s / len(deltas))

        def in_py(base: bytes = base, deltas: list[bytes] = deltas, keys: list[bytes] = keys) -> Watched:
            return read_in_python(base, deltas, keys)

        taken = interleave({"Python": in_py, "C": in_c}, rounds=rounds, title=f"reads beside {size} cells")
        share = {who: median(each.share for each in watched) for who, watched in taken.items()}
        takes = {who: median(each.each_s for each in watched) for who, watched in taken.items()}
        found.append((f"{size:,}", f"{100 * share['Python']:.0f} %", f"{100 * share['C']:.0f} %",
                      duration(takes["Python"]), duration(takes["C"]), verdict(100 * share["Python"], 95)))
    return found


class Mallinfo2(ctypes.Structure):
    """mallinfo(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"))


def allocated(mallinfo2: Callable[[], Mallinfo2]) -> tuple[int, int]:
    """Bytes that malloc has given out, and that it has from the kernel, of all arenas."""
    found = mallinfo2()
    return found.uordblks + found.hblkhd, found.arena + found.hblkhd


def allocations(n: int, *, times: int = 20) -> tuple[int, int]:
    """How many bytes more malloc has given out, and taken from the kernel, after merging `n` cells `times` again."""
    keys = [b"key:%012d" % i for i in range(n)]
    delta = delta_of(keys, 1000, seed=1)
    table = LWWDict("a")
    table.merge(delta)
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    for _ in range(3):          # ctypes makes what it needs, and what the first merge replaced is freed
        table.merge(delta)
        allocated(mallinfo2)
    gc.collect()
    before = allocated(mallinfo2)
    for _ in range(times):
        table.merge(delta)
    after = allocated(mallinfo2)
    return after[0] - before[0], after[1] - before[1]

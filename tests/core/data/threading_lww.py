"""Threads that share one table, and what each of them saw of it."""
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

from hotpath.core.data import lww
from hotpath.core.data.lww import KeyExists, LWWTable
from tests.crdt.checker import Op
from tests.crdt.twinbytes import Stamp, encode, parse

# Five milliseconds are the default; threads then hardly ever meet within one call.
SWITCH_S = 1e-5
JOIN_S = 60.0


@contextmanager
def eager_switching():
    """Threads take the GIL from each other as often as they can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def run_together(*jobs: Callable[[], None]) -> None:
    """Run each in a thread of its own, all at once; raise what the first that failed raised."""
    gate = threading.Barrier(len(jobs))
    failures: list[BaseException] = []

    def run(job):
        try:
            gate.wait(JOIN_S)
            job()
        except BaseException as error:
            failures.append(error)
            gate.abort()

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    with eager_switching():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(JOIN_S)
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"


class Recorder:
    """One thread's calls on a table: the history, and the cells it wrote."""

    def __init__(self, table: LWWTable) -> None:
        self.table = table
        self.history: list[Op] = []
        self.cells: list[bytes] = []

    def note(self, kind, key, start, stamp):
        seen = stamp and (stamp.hlc, stamp.replica)
        self.history.append(Op(kind, key, start, time.monotonic_ns(), seen))

    def write(self, op, key, payload=b""):
        start = time.monotonic_ns()
        try:
            cell = self.table.write(op, key, payload)
        except KeyExists as error:
            self.note("read", key, start, error.stamp)
            return None
        self.note(op, key, start, parse(cell)[1])
        self.cells.append(cell)
        return cell

    def read(self, key):
        start = time.monotonic_ns()
        found = self.table.read(key)
        self.note("read", key, start, found and found[0])

    def merge(self, cells):
        start = time.monotonic_ns()
        self.table.merge(lww.bundle(cells, self.table.bias))
        for cell in cells:
            self.note("merge", parse(cell)[0], start, parse(cell)[1])
        self.cells += cells


def key_number(number):
    """A key for a number."""
    return b"key-%d" % number


def foreign_cells(rng: random.Random, keys: list[bytes], count: int, name: str, hlcs: range) -> list[bytes]:
    """Cells of another replica with stamps out of `hlcs`; every fourth is a tombstone."""
    return [encode(rng.choice(keys), Stamp(rng.choice(hlcs), name), live := rng.random() < 0.75,
                   b"\0" + b"%d" % number if live else b"") for number in range(count)]


def recounted(table: LWWTable) -> tuple[bytes, int, int]:
    """Digest, live and tombstones of a fresh table that holds the same cells."""
    copy = LWWTable("z", bias=table.bias)
    copy.merge(table.delta())
    return copy.digest(), copy.stats()["live"], copy.stats()["tombstones"]


def counted(table: LWWTable) -> tuple[bytes, int, int]:
    """The same as the table itself keeps it."""
    stats = table.stats()
    return table.digest(), stats["live"], stats["tombstones"]


"""A storm on one table: threads that merge, read, scan, collect and write at once, and what must hold when it is over.

Run as a program it is what the sanitizers watch: `lwwstorm.py SEED ROUNDS`.
"""
from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator

from hotpath.core.data.lww import LWWTable, Stamp, bundle, encode, parse, split

Write = tuple[int, bool, str, bytes]        # in the order that settles who wins, for the bias `add`

MERGERS = 4
DELTAS = 8


def random_cells(source: random.Random, n: int, n_keys: int) -> Iterator[bytes]:
    """Cells of few keys and few stamps, so that many meet."""
    for _ in range(n):
        live = source.random() < 0.8
        payload = b"\0" + b"v" * source.randrange(24) if live else b""
        stamp = Stamp(source.randrange(1, 5000), source.choice("abc"))
        yield encode(b"key %d" % source.randrange(n_keys), stamp, live, payload)


def greatest(deltas: list[bytes]) -> dict[bytes, Write]:
    """The winning write of each key."""
    best: dict[bytes, Write] = {}
    for delta in deltas:
        for cell in split(delta):
            key, stamp, live, payload = parse(cell)
            write = (stamp.hlc, live, stamp.replica, payload)
            if key not in best or best[key] < write:
                best[key] = write
    return best


def storm(seed: int, *, n_cells: int = 4000, n_keys: int = 500) -> None:
    """One round. Raises AssertionError for a lost, invented or miscounted cell, and for a read that went back."""
    source = random.Random(seed)
    table = LWWTable("t")
    deltas = [bundle(random_cells(source, n_cells, n_keys), "add") for _ in range(DELTAS)]
    orders = [source.sample(deltas, DELTAS) for _ in range(MERGERS)]
    faults: list[BaseException] = []
    over = threading.Event()

    def merge(order: list[bytes]) -> None:
        for delta in order:
            table.merge(delta)

    def read() -> None:
        last: dict[bytes, Write] = {}
        looks = random.Random(seed)
        while not over.is_set():
            for _ in range(200):
                key = b"key %d" % looks.randrange(n_keys)
                cell = table.read(key)
                if cell is None:
                    assert key not in last, f"{key!r} was there and is not any more"
                    continue
                stamp, tag, body = cell
                write = (stamp.hlc, tag >= 0, stamp.replica, bytes([tag]) + body if tag >= 0 else b"")
                assert key not in last or write >= last[key], f"{key!r} went back from {last[key]} to {write}"
                last[key] = write

    def scan() -> None:
        while not over.is_set():
            split(table.delta())
            table.fingerprints(range(0, 4096, 7))
            assert len(table.page(b"key 1", None, 10)) <= 10
            list(table)

    def tidy() -> None:
        while not over.is_set():
            table.collect(0)        # nothing is so old; but it looks, and the epochs turn
            table.digest()
            table.synchronize()

    def write() -> None:
        own = 0
        while not over.is_set():
            own += 1
            table.put(f"own {own % 100}", own)
            table.remove(f"own {own % 70}")

    def guarded(work: Callable[..., None], *args: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except BaseException as error:
                faults.append(error)
        return threading.Thread(target=run)

    mergers = [guarded(merge, order) for order in orders]
    others = [guarded(work) for work in (read, scan, tidy, write)]
    for thread in (*others, *mergers):
        thread.start()
    for thread in mergers:
        thread.join()
    over.set()
    for thread in others:
        thread.join()
    if faults:
        raise faults[0]
    cells = [parse(cell) for cell in split(table.delta())]
    got = {key: (stamp.hlc, live, stamp.replica, payload) for key, stamp, live, payload in cells
           if key.startswith(b"key ")}
    assert got == greatest(deltas), "the table is not the greatest of all that was merged"
    counts = table.stats()
    assert counts["live"] == sum(live for _key, _stamp, live, _payload in cells)
    assert counts["live"] + counts["tombstones"] == len(cells)
    assert counts["bytes"] == sum(len(key) + len(payload) for key, _stamp, _live, payload in cells)
    copy = LWWTable("u")
    copy.merge(table)
    assert copy.digest() == table.digest(), "the digest is not that of the cells"


def main() -> None:
    """`lwwstorm.py SEED ROUNDS`."""
    sys.setswitchinterval(1e-4)
    seed, rounds = int(sys.argv[1]), int(sys.argv[2])
    for i in range(rounds):
        storm(seed + i, n_keys=(10, 500, 8000)[i % 3])


if __name__ == "__main__":
    main()

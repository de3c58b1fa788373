"""When a server comes or goes, how many keys change their owner, and how even are the servers' shares?"""
from __future__ import annotations

import argparse
from collections import Counter

from hotpath.core.data import Ring

from . import machine, results
from .core_data import BATCH

TITLE = "core: what moves on the ring"
COLUMNS = ("servers", "points each", "one more: ring %", "one more: remainder %", "least possible %",
           "moved between old servers %", "fullest over mean", "emptiest over mean")
SERVERS = (2, 4, 8, 16, 32, 64)
POINTS = (16, 64, 256, 1024)
NOTE = f"""{len(BATCH):,} integers, the same in each row; no clock is read, so every machine counts the same. `one
more`: the share of keys that another server owns after one was added to so many, on the ring and by the key's
remainder; `least possible`: the new one's fair share. `moved between old servers`: what a ring must not do.
"""


def ring_of(servers: int, points: int) -> Ring:
    """With so many servers."""
    return Ring([f"server-{i}" for i in range(servers)], vnodes=points)


def row(servers: int, points: int) -> tuple[str, ...]:
    """Of one ring."""
    before, after = ring_of(servers, points), ring_of(servers + 1, points)
    old = [before.names[owner] for owner in before.owners(BATCH)]
    new = [after.names[owner] for owner in after.owners(BATCH)]
    moved = [b for a, b in zip(old, new, strict=True) if a != b]
    wrong = sum(name != f"server-{servers}" for name in moved)
    by_remainder = sum(hash(key) % servers != hash(key) % (servers + 1) for key in BATCH)
    shares, mean = Counter(old), len(BATCH) / servers
    return (str(servers), str(points), *(f"{100 * n / len(BATCH):.1f}" for n in (len(moved), by_remainder)),
            f"{100 / (servers + 1):.1f}", f"{100 * wrong / len(BATCH):.1f}", f"{max(shares.values()) / mean:.2f}",
            f"{min(shares.values()) / mean:.2f}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench ring`."""
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Count, show, and write the section when asked."""
    found = [row(servers, 256) for servers in SERVERS] + [row(16, points) for points in POINTS if points != 256]
    results.publish(TITLE, [(COLUMNS, found)], NOTE, versions=machine.OURS, write=options.write)

"""Run as a program, `crdt_memory.py KIND N`: how many bytes of memory does a key take over those of key and value?"""
from __future__ import annotations

import os
import sys
from pathlib import Path

from hotpath.crdt import LWWDict

KEY_BYTES = 16
VALUE_BYTES = 32


def key_of(i: int) -> str:
    """16 characters."""
    return f"key:{i:012d}"


def value_of(i: int) -> bytes:
    """32 bytes."""
    return b"%032d" % i


def resident_bytes() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def table_of(n: int) -> object:
    """Ours."""
    table = LWWDict("a")
    for i in range(n):
        table.put(key_of(i), value_of(i))
    return table


def tuples_of(n: int) -> object:
    """key -> (hlc, live, replica, value)."""
    base = 1_700_000_000_000 << 16
    return {key_of(i): (base + i, True, "a", value_of(i)) for i in range(n)}


KINDS = {"hotpath": table_of, "dict of tuples": tuples_of}


def main() -> None:
    """Print the bytes of each key beyond its own and its value's."""
    make, n = KINDS[sys.argv[1]], int(sys.argv[2])
    make(100)                   # what the first key of all costs is no key's
    before = resident_bytes()
    kept = make(n)
    print((resident_bytes() - before) / n - KEY_BYTES - VALUE_BYTES)
    del kept


if __name__ == "__main__":
    main()

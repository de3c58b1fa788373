"""Which ports do a project's programs listen on, and who does? From /proc, as the kernel tells it."""
from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from . import Port

LISTENS = "0A"
V4, V6 = "tcp", "tcp6"
# Addresses that a connection to the loopback reaches, as /proc writes them.
ANY_V4, ANY_V6 = "00000000", "0" * 32
LOOPBACK_V6 = "00000000000000000000000001000000"
LOOPBACK_V4_IN_V6 = "0000000000000000FFFF00000100007F"

# One project may open as many of all these as it likes; looking at them must stay cheap.
MAX_TABLE = 256 * 1024      # bytes of a table; listeners come first
MAX_PORTS = 64
MAX_LOOKED_AT = 8192        # descriptors


def sockets(table: bytes, family: str) -> Iterable[tuple[int, str, int]]:
    """(port, address as written there, inode) of each listener that the loopback reaches."""
    for line in table.decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == LISTENS:
            address, _, port = words[1].partition(":")
            if (address.endswith("7F") or address == ANY_V4) if family == V4 else \
                    address in (ANY_V6, LOOPBACK_V6, LOOPBACK_V4_IN_V6):
                yield int(port, 16), address, int(words[9])


def listeners(process: int) -> dict[int, tuple[set[str], set[int]]]:
    """By port: where one may connect ("tcp", "tcp6"), and the inodes of its sockets.

    `process`: a descriptor of /proc/PID of any process in that network.
    """
    found: dict[int, tuple[set[str], set[int]]] = {}
    for family in (V4, V6):
        for port, address, inode in sockets(read_at(process, f"net/{family}"), family):
            families, inodes = found.setdefault(port, (set(), set()))
            inodes.add(inode)
            # Listening on [::] takes IPv4 too, unless it was told not to; then connecting says so.
            families |= {V4, V6} if address == ANY_V6 else {V4} if address == LOOPBACK_V4_IN_V6 else {family}
    return found


def named(found: dict[int, tuple[set[str], set[int]]], proc: str, pids: Iterable[int], *, own: bool) -> list[Port]:
    """The ports with the names of who listens. `own`: only those that one of `pids` has open."""
    wanted = {inode: port for port, (_, inodes) in found.items() for inode in inodes}
    names: dict[int, str] = {}
    left = MAX_LOOKED_AT
    for pid in pids if wanted else ():
        for inode in inodes_of(f"{proc}/{pid}", left):
            left -= 1
            if (port := wanted.get(inode)) is not None and port not in names:
                names[port] = name_of(f"{proc}/{pid}")
        if left <= 0 or len(names) == len(found):
            break
    return [Port(port, names.get(port, "")) for port in sorted(found) if not own or port in names][:MAX_PORTS]


def inodes_of(process: str, most: int) -> Iterable[int]:
    """Of what a process has open, `most` at most; 0 for what is no socket."""
    with suppress(OSError):
        for fd in os.listdir(f"{process}/fd")[:max(0, most)]:
            inode = 0
            with suppress(OSError, ValueError):
                target = os.readlink(f"{process}/fd/{fd}")
                inode = int(target[8:-1]) if target.startswith("socket:[") else 0
            yield inode


def name_of(process: str) -> str:
    """How a process calls itself."""
    with suppress(OSError), open(f"{process}/comm", "rb") as comm:
        return comm.read().decode(errors="replace").strip()
    return ""


def pids_in(proc: str) -> list[int]:
    """The processes that this /proc shows."""
    with suppress(OSError):
        return [int(name) for name in os.listdir(proc) if name.isdigit()]
    return []


def read_at(folder: int, path: str) -> bytes:
    """A small file; empty if it cannot be read."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        with open(fd, "rb") as file:
            return file.read(MAX_TABLE)
    return b""

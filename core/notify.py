"""What the service manager that started us is told, if there is one: sd_notify(3).

Which process goes on after an upgrade is not told here but by the pid file: systemd takes nobody else's child for its
own, and kills one at once that it should stop, if it is named while the process before it still lives.
"""
from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

# Where it listens: a path, or @NAME in the abstract namespace.
VARIABLE = "NOTIFY_SOCKET"
READY = "READY=1"
STOPPING = "STOPPING=1"
# A manager that reads nothing for so long must not hold us up.
PATIENCE_S = 1.0


def notify(*words: str) -> None:
    """Tell it `words`. Nothing happens without a manager, or when it does not listen."""
    place = os.environ.get(VARIABLE)
    if not place:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        # A path in a reason need not be UTF-8, and must not end who tells it.
        sock.sendto("\n".join(words).encode(errors="replace"), f"\0{place[1:]}" if place[0] == "@" else place)


def reloading() -> None:
    """Whoever asked for a reload waits until READY is said again."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=")

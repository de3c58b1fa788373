"""Starting this program again on the sockets that it has: how an upgrade begins, on both sides."""
from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

from .listen import VARIABLE as LISTENERS_VARIABLE
from .listen import Listeners

# Which descriptor the started process writes its pid and a line end to, once it can take over.
READY_VARIABLE = "HOTPATH_READY_FD"


def start(listeners: Listeners, ready_fd: int) -> int:
    """Start it with our arguments, our listening sockets and `ready_fd`; its pid. Raises OSError."""
    handover, fds = listeners.handover()
    environment = {**os.environ, LISTENERS_VARIABLE: handover, READY_VARIABLE: str(ready_fd)}
    # Everything is close-on-exec here; a descriptor duplicated onto itself is not (POSIX 2024, glibc 2.29).
    return os.posix_spawn(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment, setsigmask=(),
                          file_actions=[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in (*fds, ready_fd)])


def predecessor_fd(environment: MutableMapping[str, str]) -> int:
    """Where the process that started us waits for our line; -1: nobody waits.

    Takes the variable out of `environment`: what we start must not take itself for our successor.
    """
    fd = int(environment.pop(READY_VARIABLE, "-1"))
    if fd >= 0:
        os.set_inheritable(fd, False)
    return fd

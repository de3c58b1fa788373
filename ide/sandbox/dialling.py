"""Connects a socket without blocking the loop."""
from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable

from hotpath.core.tasks import Event, timeout

from .children import children
from .listening import V4, V6

WITHIN_S = 10.0
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def dial_one_of(families: set[str], port: int, make: Callable[[socket.AddressFamily], socket.socket]) -> int:
    """In a task: over IPv4 if that may lead there, then over IPv6. Raises OSError."""
    if V4 in families:
        try:
            return dial(make(socket.AF_INET), port)
        except ConnectionRefusedError:      # [::] may have been told not to take IPv4
            if V6 not in families:
                raise
    return dial(make(socket.AF_INET6), port)


def socket_of_ours(family: socket.AddressFamily) -> socket.socket:
    """One of the server's own network."""
    return socket.socket(family, socket.SOCK_STREAM)


def dial(sock: socket.socket, port: int) -> int:
    """In a task: connect it to its own network's loopback; the descriptor. Raises OSError, and closes it."""
    try:
        sock.setblocking(False)
        error = sock.connect_ex((LOOPBACK[socket.AddressFamily(sock.family)], port))
        if error == errno.EINPROGRESS:
            loop = children().loop
            done = Event()
            loop.watch(sock.fileno(), select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP, lambda _: done.set())
            try:
                with timeout(WITHIN_S):
                    done.wait()
            finally:
                loop.unwatch(sock.fileno())
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock.detach()

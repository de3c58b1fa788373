"""Waiting in a task until a descriptor can be read or written."""
from __future__ import annotations

import socket
from dataclasses import dataclass
from select import EPOLLIN, EPOLLOUT

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event
from hotpath.core.tasks.task import kept_by_loop


@dataclass(frozen=True, slots=True)
class _Held:
    """This thread's loop."""

    loop: Loop

    def close(self) -> None:
        """Nothing is ours."""


def this_loop() -> Loop:
    """The loop that runs the task."""
    return kept_by_loop("docker", _Held).loop


def ready(sock: socket.socket, events: int) -> None:
    """Return when the socket has some of `events`, or an error. One task at a time may wait for a descriptor."""
    loop, seen = this_loop(), Event()
    loop.watch(sock.fileno(), events, lambda _events: seen.set())
    try:
        seen.wait()
    finally:
        loop.unwatch(sock.fileno())


def receive(sock: socket.socket, size: int) -> bytes:
    """What comes next; empty: the end."""
    while True:
        try:
            return sock.recv(size)
        except BlockingIOError:
            ready(sock, EPOLLIN)


def send(sock: socket.socket, data: bytes) -> None:
    """All of it."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest):]
        except BlockingIOError:
            ready(sock, EPOLLOUT)

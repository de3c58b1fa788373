"""A container's own network, seen and entered from outside through its first process: it may have no other."""
from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from contextlib import suppress

from hotpath.core.tasks import offload
from hotpath.ide.sandbox import Port
from hotpath.ide.sandbox.dialling import dial
from hotpath.ide.sandbox.listening import V6, listeners, named, pids_in

CLONE_NEWNET = 0x40000000


class Network:
    """That of the container whose first process is `pid` on this machine; closed with `close`."""

    def __init__(self, pid: int, container: str) -> None:
        self._fd = -1
        self._pid = pid
        # The number may be another's some day; what this descriptor stands for never is. An engine that counts other
        # processes than we do has none of that number, or not in this container.
        with suppress(OSError):
            fd = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if container.encode() in _read(fd, "cgroup"):
                self._fd = fd
            else:
                os.close(fd)

    def ports(self) -> list[Port]:
        """Who listens."""
        if self._fd < 0:
            return []
        proc = f"/proc/{self._pid}/root/proc"       # its own: no process outside it
        return named(listeners(self._fd), proc, pids_in(proc), own=False)

    def family(self, port: int) -> socket.AddressFamily:
        """How to reach the listener. Raises ConnectionRefusedError: there is none."""
        families = listeners(self._fd).get(port, (set(), set()))[0] if self._fd >= 0 else set()
        if not families:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens on port {port}")
        return socket.AF_INET6 if families == {V6} else socket.AF_INET

    def connect(self, port: int, family: socket.AddressFamily) -> int:
        """In a task: a connection. Raises OSError; PermissionError: we may not enter it."""
        return dial(offload(self._socket, family), port)

    def close(self) -> None:
        """The container is gone."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        """Of that network: made in a thread that enters it and never comes back."""
        made: list[socket.socket | OSError] = []
        namespace = os.open("ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)

        def make() -> None:
            try:
                _enter(namespace)
                made.append(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC))
            except OSError as error:
                made.append(error)

        try:
            thread = threading.Thread(target=make, name="docker network")
            thread.start()
            thread.join()
        finally:
            os.close(namespace)
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _read(folder: int, name: str) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        return file.read()

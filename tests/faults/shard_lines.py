"""Lines between routers and a database server that break at COMMIT, before it arrives or behind it."""
from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# What a client must not be left in the dark about: the end of a transaction, and a statement that is one.
CHANGES = re.compile(rb"\x03(?:COMMIT|INSERT INTO `things`|UPDATE _hp_fence|DELETE t )")


class Cutter:
    """A socket of its own before the server's. While `cutting`, each `every`th change breaks its line."""

    def __init__(self, path: Path, server: str, *, every: int) -> None:
        self.path = path
        self.cutting = False
        self.cuts = 0
        self._server = server
        self._every = every
        self._counter = itertools.count(1)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        _start(self._accept)

    def close(self) -> None:
        """No new lines."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):         # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._server)
                except OSError:
                    client.close()
                    continue
                _start(lambda client=client, server=server: self._forth(client, server))
                _start(lambda client=client, server=server: self._back(client, server))

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self.cutting and CHANGES.match(data, 4) and (n := next(self._counter)) % self._every == 0:
                    self.cuts += 1
                    if n // self._every % 2:
                        # The client's end goes first, so that no answer reaches it; the server gets all.
                        client.shutdown(socket.SHUT_RDWR)
                        server.sendall(data)
                        server.shutdown(socket.SHUT_WR)
                        while server.recv(1 << 16):
                            pass
                    break
                server.sendall(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()

"""Lines between routers and a database server that break at COMMIT, before it arrives or behind it."""
from __future__ import annotations

import itertools
import re
import socket
from pathlib import Path

from tests.shard.engine.cutting import Cut, Relay

# What a client must not be left in the dark about: the end of a transaction, and a statement that is one.
CHANGES = re.compile(rb"\x03(?:COMMIT|INSERT INTO `things`|UPDATE _hp_fence|DELETE t )")


class Cutter(Relay):
    """A socket of its own before the server's. While `cutting`, each `every`th change breaks its line."""

    def __init__(self, path: Path, server: str, *, every: int) -> None:
        self.path = path
        self.cutting = False
        self._every = every
        self._counter = itertools.count(1)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(128)

        def connect() -> socket.socket:
            opened = socket.socket(socket.AF_UNIX)
            opened.connect(server)
            return opened

        super().__init__(listener, connect, self._at_change)

    def _at_change(self, data: bytes) -> Cut | None:
        if not self.cutting or CHANGES.match(data, 4) is None or (n := next(self._counter)) % self._every:
            return None
        return "behind" if n // self._every % 2 else "before"

"""Is the server at an address well? Whoever starts servers asks `GET /healthz`."""
from __future__ import annotations

import http.client
import socket
from contextlib import closing

from .config import Address

# Between two looks at everything else, so it must not take long.
TIMEOUT_S = 1.0


def is_well(address: Address, path: str = "/healthz", *, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether `GET path` is answered with 200 there, in about `timeout_s`. Blocks."""
    return body_of(address, path, timeout_s=timeout_s) is not None


def body_of(address: Address, path: str, *, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """What `GET path` is answered with there, in about `timeout_s`; None unless that is a 200. Blocks."""
    with closing(Connection(address, timeout_s)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        return body if response.status == 200 else None


class Connection(http.client.HTTPConnection):
    """A connection to an Address: http.client alone cannot reach a unix socket."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        super().__init__(address.host or "localhost", address.port or None, timeout=timeout_s)
        self._timeout_s = timeout_s
        self._address = address

    def connect(self) -> None:
        """Connect, by either family."""
        if not self._address.is_unix:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._address.path)

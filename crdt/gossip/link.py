"""One kept connection to a peer, over which a thread asks and waits; another thread can cut it.

Whatever goes wrong is a LinkError or a Refused, never anything else. An answer is bounded in size, and in time: a peer
that drips gets `timeout_s` and a second more for each 64 KiB that came.
"""
from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

# What a slow line must bring: below it a peer counts as hanging.
BYTES_PER_S = 64 * 1024
# A problem is a sentence or two.
MAX_PROBLEM = 64 * 1024


class LinkError(Exception):
    """The peer cannot be reached, hangs, or does not speak HTTP."""


class Refused(Exception):
    """The peer answered, and not with 200. `problem` is its body, {} if that is none."""

    def __init__(self, status: int, problem: dict[str, object]) -> None:
        """Keep both."""
        super().__init__(str(problem.get("detail") or problem.get("title") or f"status {status}"))
        self.status = status
        self.problem = problem

    @property
    def title(self) -> str:
        """In the problem's own words, "" for none."""
        return str(self.problem.get("title", ""))


class _Connection(http.client.HTTPConnection):
    """Its socket is known to whoever cuts it while it still connects."""

    def __init__(self, host: str, port: int, timeout_s: float, link: Link) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._link = link

    def connect(self) -> None:
        error: OSError | None = None
        for family, kind, protocol, _name, address in socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            self.sock = sock
            try:
                self._link.keep(sock)
                sock.settimeout(self.timeout)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                return
            except OSError as cause:
                sock.close()
                error = cause
        raise error or OSError("no address")


class Link:
    """The connection to one address."""

    def __init__(self, url: str, *, timeout_s: float, token: str | None, max_bytes: int) -> None:
        """Connect when first asked. Raises LinkError for a url that is none."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 80
        except ValueError:
            host, port = None, 0
        if not host or parts.scheme != "http":
            raise LinkError(f"{url!r} is not like http://HOST:PORT")
        self.url = url
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._headers = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._cut = False
        self._connection = _Connection(host, port, timeout_s, self)

    def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer 200. Raises LinkError, Refused."""
        try:
            try:
                return self._ask(path, body)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # A kept connection that the peer closed meanwhile. All requests here may be repeated: cells are joined.
                self._connection.close()
                return self._ask(path, body)
        except Refused:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise LinkError(f"{type(error).__name__}: {error}") from None

    def cut(self) -> None:
        """From any thread: whoever waits in `post` gets a LinkError, and so does whoever comes later."""
        with self._lock:
            self._cut = True
            if self._sock is not None:
                with suppress(OSError):     # not connected, or no longer
                    self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """In the thread that asks."""
        self._connection.close()

    def keep(self, sock: socket.socket) -> None:
        """This is the connection's socket now. Raises OSError: we were cut."""
        with self._lock:
            if self._cut:
                raise OSError("cut")
            self._sock = sock

    def _ask(self, path: str, body: bytes) -> bytes:
        if self._cut:
            raise OSError("cut")
        self._connection.request("POST", self._prefix + path, body, self._headers)
        response = self._connection.getresponse()
        whole = self._read(response, self._max_bytes if response.status == 200 else MAX_PROBLEM)
        if response.status != 200:
            raise Refused(response.status, _problem_of(whole))
        return whole

    def _read(self, response: http.client.HTTPResponse, most: int) -> bytes:
        began_s = time.monotonic()
        parts: list[bytes] = []
        size = 0
        while piece := response.read1(BYTES_PER_S):
            parts.append(piece)
            size += len(piece)
            if size > most:
                raise OSError(f"an answer of more than {most} bytes")
            if time.monotonic() - began_s > self._timeout_s + size / BYTES_PER_S:
                raise TimeoutError("the answer drips")
        if response.length:
            raise OSError("the answer is cut short")
        response.close()        # its end is not noticed by reading in pieces, and until then no next one may begin
        return b"".join(parts)


def _problem_of(body: bytes) -> dict[str, object]:
    with suppress(ValueError):
        problem = msgspec.json.decode(body)
        if isinstance(problem, dict):
            return problem
    return {}

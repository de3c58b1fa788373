"""The engine's HTTP, in tasks and without threads: short questions, the events, and streams that stay open.

A stream's first bytes may share a segment with the head of the answer; here none of them are lost.
"""
from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import msgspec

from hotpath.core.tasks import timeout
from hotpath.core.wire import http1

from .readiness import receive, send

T = TypeVar("T")

READ = 65536
MAX_BODY = 4 * 1024 * 1024
MAX_LINE = 256 * 1024
HOST = ("Host", "docker")


class Refused(Exception):
    """The engine understood, and says no; or what it said cannot be understood (status 502)."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class _Said(msgspec.Struct):
    message: str = ""


class Hijacked(NamedTuple):
    """A connection that became the stream of a program."""

    sock: socket.socket         # non-blocking
    early: bytes                # what came with the head


class Engine:
    """The one behind the unix socket at `path`. Methods are for tasks, and raise OSError where it does not answer."""

    def __init__(self, path: str, *, answer_s: float) -> None:
        self.path = path
        self._answer_s = answer_s

    def ask(self, method: str, target: str, kind: type[T], body: object = None) -> T:
        """The answer to a question. Raises Refused, and TimeoutError (an OSError) when it takes too long."""
        said = self._said(method, target, body)
        try:
            return msgspec.json.decode(said, type=kind)
        except msgspec.DecodeError as error:
            raise Refused(502, f"an answer that we do not understand: {error}") from None

    def tell(self, method: str, target: str, body: object = None) -> None:
        """As `ask`, where nothing but the status is of interest."""
        self._said(method, target, body)

    def _said(self, method: str, target: str, body: object) -> bytes:
        with timeout(self._answer_s), _Exchange(self.path) as exchange:
            status = exchange.begin(method, target, body)
            said = exchange.body()
        if status >= 400:
            raise Refused(status, _message(said))
        return said

    def request(self, method: str, target: str) -> None:
        """Ask, and do not wait for an answer; no task is needed."""
        with _Exchange(self.path) as exchange:
            exchange.request(method, target)

    def hijack(self, target: str, body: object) -> Hijacked:
        """What the connection becomes. Raises Refused."""
        with timeout(self._answer_s), _Exchange(self.path) as exchange:
            status = exchange.begin("POST", target, body, ("Connection", "Upgrade"), ("Upgrade", "tcp"))
            if status != 101:
                raise Refused(status, _message(exchange.body()) or f"no stream, but {status}")
            return exchange.leave()

    def lines(self, target: str) -> Iterator[bytes]:
        """The lines of an answer that goes on, as they come; the first, empty one says that it began."""
        with _Exchange(self.path) as exchange:
            with timeout(self._answer_s):
                status = exchange.begin("GET", target, None)
                if status != 200:
                    raise Refused(status, _message(exchange.body()))
            yield b""
            rest = b""
            while piece := exchange.piece():
                *whole, rest = (rest + piece).split(b"\n")
                if len(rest) > MAX_LINE:
                    raise Refused(502, "a line without an end")
                yield from whole


class _Exchange:
    """One question on a connection of its own: a unix socket costs some 50 µs, and nobody must know when it is idle."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._left = False

    def __enter__(self) -> _Exchange:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._http = http1.Connection(http1.CLIENT)
        try:
            self._sock.connect(self._path)      # to a unix socket: at once, or not at all
        except BlockingIOError:
            self._sock.close()
            raise ConnectionRefusedError("its queue of connections is full") from None
        except BaseException:
            self._sock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._left:
            self._sock.close()

    def begin(self, method: str, target: str, body: object, *headers: tuple[str, str]) -> int:
        """Ask; the status."""
        self.request(method, target, body, *headers)
        event = self._event()
        if not isinstance(event, (http1.Response, http1.InformationalResponse)):
            raise ConnectionResetError("the engine closed the connection")
        return event.status_code

    def request(self, method: str, target: str, body: object = None, *headers: tuple[str, str]) -> None:
        """Ask."""
        data = b"" if body is None else msgspec.json.encode(body)
        request = http1.Request(method=method, target=target, headers=[
            HOST, ("Content-Type", "application/json"), ("Content-Length", str(len(data))),
            *(headers or (("Connection", "close"),))])
        events = (request, http1.Data(data=data), http1.EndOfMessage())
        send(self._sock, b"".join(self._http.send(event) or b"" for event in events))

    def piece(self) -> bytes:
        """What comes next of the body; empty: the end."""
        event = self._event()
        return event.data if isinstance(event, http1.Data) else b""

    def body(self) -> bytes:
        """The whole of it."""
        pieces, size = [], 0
        while piece := self.piece():
            pieces.append(piece)
            if (size := size + len(piece)) > MAX_BODY:
                raise Refused(502, "an answer without an end")
        return b"".join(pieces)

    def leave(self) -> Hijacked:
        """The socket, which is not closed any more, and what was read of it beyond the head."""
        self._left = True
        return Hijacked(self._sock, self._http.trailing_data[0])

    def _event(self) -> http1.Event | type:
        ended = False
        try:
            while (event := self._http.next_event()) is http1.NEED_DATA:
                data = receive(self._sock, READ)
                ended = not data
                self._http.receive_data(data)
            return event
        except http1.RemoteProtocolError as error:
            if ended:
                raise ConnectionResetError("it closed the connection within an answer") from None
            raise Refused(502, f"no HTTP that we understand: {error}") from None


def _message(said: bytes) -> str:
    try:
        return msgspec.json.decode(said, type=_Said).message
    except msgspec.DecodeError:
        return said[:300].decode(errors="replace").strip()

"""A client of the API: one kept-alive connection, on which a task asks one thing at a time."""
from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from hotpath.core.errors import HotpathError, ProtocolError
from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream
from hotpath.core.tasks import Event
from hotpath.core.wire import http1

from .target import Target

encode = msgspec.json.encode


class Unreachable(HotpathError):
    """Nobody answers there, or the connection broke before the answer was whole: what was asked may have been done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said."""

    status: int
    body: bytes
    retry_after_s: float            # 0: it did not say

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def detail(self) -> str:
        """The words of a refusal."""
        try:
            problem = msgspec.json.decode(self.body, type=dict[str, object])
        except msgspec.DecodeError:
            return f"status {self.status}"
        return f"status {self.status}: {problem.get('detail') or problem.get('title')}"


class Api:
    """One connection, opened when needed."""

    def __init__(self, loop: Loop, target: Target) -> None:
        self._loop = loop
        self._target = target
        self._stream: Stream | None = None
        self._changed = Event()
        self._error: OSError | None = None

    def close(self) -> None:
        """Let go of it."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Answer:
        """The answer. Raises Unreachable. Whoever gives up waiting (`timeout`) breaks the connection."""
        fields = [("Host", self._target.authority), ("Accept", "application/json")]
        data = b""
        if token is not None:
            fields.append(("Authorization", f"Bearer {token}"))
        if body is not None:
            data = encode(body)
            fields.append(("Content-Type", "application/json"))
        if body is not None or method != "GET":
            fields.append(("Content-Length", str(len(data))))
        request = http1.Request(method=method, target=path, headers=fields)
        # A connection at rest may be closed by the other side just as we use it: once more, on a new one. Whatever is
        # asked here may be asked twice.
        for is_last in (self._stream is None, True):
            try:
                return self._ask(request, data)
            except BaseException as error:
                self.close()
                if isinstance(error, (OSError, ProtocolError)):
                    if is_last:
                        raise Unreachable(f"http://{self._target.authority}: {error}") from None
                    continue
                raise
        raise AssertionError

    def _ask(self, request: http1.Request, data: bytes) -> Answer:
        stream = self._stream or self._open()
        out = self._http.send(request)
        if data:
            out += self._http.send(http1.Data(data=data))
        stream.write(out + self._http.send(http1.EndOfMessage()))
        status, body, fields = 0, b"", {}
        while True:
            event = self._http.next_event()
            if event is http1.NEED_DATA:
                self._wait()
            elif isinstance(event, http1.Response):
                status = event.status_code
                fields = {bytes(name): bytes(value) for name, value in event.headers}
            elif isinstance(event, http1.Data):
                body += bytes(event.data)
            elif isinstance(event, http1.EndOfMessage):
                break
            elif isinstance(event, http1.ConnectionClosed):
                raise ConnectionResetError("closed without an answer")
        if self._http.our_state is http1.DONE and self._http.their_state is http1.DONE:
            self._http.start_next_cycle()
        else:
            self.close()
        return Answer(status, body, _seconds(fields))

    def _open(self) -> Stream:
        self._http = http1.Connection(http1.CLIENT)
        self._error = None
        stream = self._stream = connecting(self._loop, self._target)
        stream.on_data = self._on_data
        stream.on_end = self._on_end
        stream.on_close = self._on_close
        return stream

    def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._changed.wait()
        self._changed.clear()
        if self._error is not None:
            raise self._error

    def _on_data(self, stream: Stream, data: bytes) -> None:
        if stream is self._stream:
            self._http.receive_data(data)
            self._changed.set()

    def _on_end(self, stream: Stream) -> None:
        if stream is self._stream:
            self._http.receive_data(b"")
            self._changed.set()

    def _on_close(self, stream: Stream, error: OSError | None) -> None:
        if stream is self._stream:
            self._error = error or ConnectionResetError("closed without an answer")
            self._changed.set()


def connecting(loop: Loop, target: Target) -> Stream:
    """A stream on its way there. Raises OSError."""
    family, kind, _, _, address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            sock.connect(address)
        return Stream(loop, sock, connected=False)
    except BaseException:
        sock.close()
        raise


def _seconds(fields: Mapping[bytes, bytes]) -> float:
    """What Retry-After says; 0 if it does not."""
    text = fields.get(b"retry-after", b"")
    return float(text) if text.isdigit() else 0.0

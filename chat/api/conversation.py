"""One client's connection to the API: requests in, the WSGI application called, answers out.

gevent's WSGI server accepts and gives each connection a greenlet; the bytes are read and written by `core.wire`, which
refuses what two readers might understand differently. A body is whole, and below its limit, before the application is
called, and an answer leaves in one send: two would let a kept-alive client wait for a delayed acknowledgement.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.utils import formatdate
from io import BytesIO
from socket import SHUT_RD, SHUT_WR
from types import TracebackType
from typing import Protocol, cast
from urllib.parse import unquote_to_bytes, urlsplit

from hotpath.chat.config import ChatLimits
from hotpath.core.errors import LocalProtocolError, RemoteProtocolError
from hotpath.core.serve.config import Timeouts
from hotpath.core.serve.problem import phrase
from hotpath.core.wire import http1

from .problems import JSON_PROBLEM, problem_body

log = logging.getLogger(__name__)

RECEIVE_BYTES = SEND_BYTES = 65536
# For a client that still sends what we have refused: long enough to see the answer, too short to be of use.
LINGER_S = 1.0
LINGER_BYTES = 1024 * 1024

Environ = dict[str, object]
Fields = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
WSGI = Callable[[Environ, Callable[..., object]], Iterable[bytes]]

# As WSGI names them (PEP 3333); others are HTTP_NAME.
_UNPREFIXED = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


class Socket(Protocol):
    """What we use of gevent's."""

    def recv(self, size: int) -> bytes:
        """Wait for bytes; b"" at the end."""
        ...

    def sendall(self, data: bytes) -> None:
        """Wait until all are sent."""
        ...

    def settimeout(self, seconds: float | None) -> None:
        """How long each of the two may take."""
        ...

    def shutdown(self, how: int) -> None:
        """Close a direction."""
        ...


class Finished(Protocol):
    """Told of each answer."""

    def __call__(self, conversation: Conversation, status: int, n_bytes: int, took_s: float) -> None:
        """`conversation.request` is what was asked; None: it could not be read."""
        ...


class Host(Protocol):
    """What a conversation takes from its server."""

    application: WSGI
    base: Environ
    timeouts: Timeouts
    limits: ChatLimits
    draining: bool
    conversations: set[Conversation]
    finished: Finished


class _Refused(Exception):
    """An answer without the application: the request is not fit for it. The connection ends behind it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Conversation:
    """The requests of one connection, one after the other."""

    __slots__ = (
        "__weakref__", "_connection", "_fields", "_n_requests", "_server", "_socket", "_status", "address", "is_idle",
        "request")

    def __init__(self, sock: Socket, address: object, server: Host) -> None:
        """As gevent's server makes them. `address`: (host, port) of the client, "" of a unix socket."""
        self._socket = sock
        self._server = server
        self._connection = http1.Connection(http1.SERVER, server.limits.head)
        self._status = ""
        self._n_requests = 0
        self.address = str(address[0]) if isinstance(address, tuple) else ""
        self._fields: Fields = []
        self.request: http1.Request | None = None
        self.is_idle = True         # between two requests: a drain may cut here

    def handle(self) -> None:
        """Until either side closes."""
        conversations = self._server.conversations
        conversations.add(self)
        try:
            while self._one_request():
                pass
        except OSError:
            # The client is gone, or takes nothing in time: there is nobody to tell.
            pass
        except Exception:
            log.exception("connection failed")
        finally:
            conversations.discard(self)

    def interrupt(self) -> None:
        """The server drains: end now if no request is under way, else behind its answer."""
        if self.is_idle:
            with suppress(OSError):     # it has closed already
                self._socket.shutdown(SHUT_RD)

    def _one_request(self) -> bool:
        """Answer the next request; whether another may follow."""
        start_s = time.monotonic()
        self.request = None
        try:
            request = self._receive_request()
            if request is None:
                return False
            start_s = time.monotonic()
            self.request = request
            self._n_requests += 1
            self._check_head(request)
            body = self._receive_body(request)
            status, fields, answer = self._ask(request, body)
        except _Refused as refused:
            status, fields, answer = self._problem(refused.status, refused.detail)
        except RemoteProtocolError as error:
            status, fields, answer = self._problem(error.error_status_hint, str(error))
        data = self._spelled(status, fields, answer)
        self._socket.settimeout(self._server.timeouts.send or None)
        for at in range(0, len(data), SEND_BYTES):      # gevent's time-out is one of the whole call
            self._socket.sendall(data[at:at + SEND_BYTES])
        self._server.finished(self, status, len(data), time.monotonic() - start_s)
        if self._go_on():
            return True
        if self._connection.their_state is not http1.DONE:
            self._linger()
        return False

    def _linger(self) -> None:
        """Read on for a moment: closed upon bytes that nobody read, the kernel would take our answer back."""
        self._socket.shutdown(SHUT_WR)
        deadline_s = time.monotonic() + LINGER_S
        n_bytes = 0
        while n_bytes < LINGER_BYTES and (left_s := deadline_s - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            piece = self._socket.recv(RECEIVE_BYTES)
            if not piece:
                return
            n_bytes += len(piece)

    def _go_on(self) -> bool:
        connection = self._connection
        self.is_idle = True
        if connection.our_state is not http1.DONE or connection.their_state is not http1.DONE or self._server.draining:
            return False
        connection.start_next_cycle()
        return True

    # ------------------------------------------------------------------------------------------ reading

    def _receive_request(self) -> http1.Request | None:
        """The next head; None: the client has closed, or stayed silent for too long."""
        connection, timeouts = self._connection, self._server.timeouts
        event = connection.next_event()
        if event is http1.NEED_DATA:
            self._socket.settimeout(timeouts.idle or None)
            try:
                self._receive()
            except TimeoutError:
                return None
            event = connection.next_event()
        self.is_idle = False
        deadline_s = time.monotonic() + timeouts.head if timeouts.head else None
        while event is http1.NEED_DATA:
            self._wait_until(deadline_s, "the request's head")
            event = connection.next_event()
        return event if isinstance(event, http1.Request) else None

    def _check_head(self, request: http1.Request) -> None:
        limits = self._server.limits
        if len(request.method) + len(request.target) + len("  HTTP/1.1") > limits.line:
            raise _Refused(414, f"the request line has more than {limits.line} bytes")
        if len(request.headers) > limits.fields:
            raise _Refused(431, f"the request has more than {limits.fields} header fields")

    def _receive_body(self, request: http1.Request) -> bytes:
        limits, timeouts, connection = self._server.limits, self._server.timeouts, self._connection
        too_large = f"the body has more than {limits.body} bytes"
        for name, value in request.headers:
            if name == b"content-length" and int(value) > limits.body:
                raise _Refused(413, too_large)
        began_s = time.monotonic()
        pieces: list[bytes] = []
        n_bytes = 0
        while True:
            event = connection.next_event()
            if event is http1.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    self._socket.sendall(connection.send(http1.InformationalResponse(status_code=100, headers=[])))
                deadline_s = None
                if timeouts.body:       # what has come buys more time; without a rate each silence is timed
                    deadline_s = (began_s + timeouts.body + n_bytes / limits.body_rate if limits.body_rate
                                  else time.monotonic() + timeouts.body)
                self._wait_until(deadline_s, "the request's body")
            elif isinstance(event, http1.Data):
                n_bytes += len(event.data)
                if n_bytes > limits.body:
                    raise _Refused(413, too_large)
                pieces.append(event.data)
            elif isinstance(event, http1.EndOfMessage):
                return b"".join(pieces)
            else:
                raise ConnectionResetError

    def _wait_until(self, deadline_s: float | None, what: str) -> None:
        left_s = None if deadline_s is None else deadline_s - time.monotonic()
        if left_s is not None and left_s <= 0:
            raise _Refused(408, f"{what} took too long")
        self._socket.settimeout(left_s)
        try:
            self._receive()
        except TimeoutError:
            raise _Refused(408, f"{what} took too long") from None

    def _receive(self) -> None:
        self._connection.receive_data(self._socket.recv(RECEIVE_BYTES))

    # ------------------------------------------------------------------------------------------ answering

    def _ask(self, request: http1.Request, body: bytes) -> tuple[int, Fields, bytes]:
        """What the application says: status, fields, body."""
        environ = self._environ(request, body)
        try:
            result = self._server.application(environ, self._start_response)
            try:
                answer = b"".join(result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
        except Exception:
            log.exception("request failed")
            return self._problem(500, "an error of ours, logged here")
        return int(self._status[:3]), self._fields, answer

    def _start_response(
        self, status: str, fields: Fields, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        # Nothing is sent before all is there, so a second call with `exc_info` simply wins.
        self._status, self._fields = status, fields
        return _no_write

    def _problem(self, status: int, detail: str) -> tuple[int, Fields, bytes]:
        return status, [("Content-Type", JSON_PROBLEM), ("Connection", "close")], problem_body(status, detail)

    def _spelled(self, status: int, fields: Fields, answer: bytes) -> bytes:
        connection = self._connection
        head = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        names = {name.lower() for name, _ in head}
        bodiless = status in (204, 304)
        if b"content-length" not in names and not bodiless:
            head.append((b"Content-Length", b"%d" % len(answer)))
        head.append((b"Date", _date()))
        is_last = self._server.draining or 0 < self._server.limits.requests <= self._n_requests
        if is_last and b"connection" not in names:
            head.append((b"Connection", b"close"))
        data = connection.send(http1.Response(status_code=status, headers=head, reason=phrase(status).encode()))
        is_head = self.request is not None and self.request.method == b"HEAD"
        if answer and not is_head and not bodiless:
            data += connection.send(http1.Data(data=answer))
        try:
            return data + connection.send(http1.EndOfMessage())
        except LocalProtocolError:
            # A body of another length than its fields say: ours to mend, and the connection cannot go on.
            log.exception("answer of another length")
            return data

    def _environ(self, request: http1.Request, body: bytes) -> Environ:
        target = request.target
        if not target.startswith(b"/"):
            # The absolute form, RFC 9112 section 3.2.2; CONNECT and `*` are not for us.
            try:
                parts = urlsplit(target.decode("latin-1"))
            except ValueError:          # half an address in brackets
                raise _Refused(400, "the request's target is no address") from None
            if not parts.netloc:
                raise _Refused(400, "the request's target is no path")
            target = ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode("latin-1")
        path, _, query = target.partition(b"?")
        environ = self._server.base.copy()
        environ["REQUEST_METHOD"] = request.method.decode("latin-1")
        environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
        environ["QUERY_STRING"] = query.decode("latin-1")
        environ["REMOTE_ADDR"] = self.address
        environ["SERVER_PROTOCOL"] = f"HTTP/{request.http_version.decode('latin-1')}"
        environ["wsgi.input"] = BytesIO(body)
        environ["hotpath.body"] = body
        for name, value in request.headers:
            key = _UNPREFIXED.get(name)
            if key is None:
                # `a_b` would pose as `a-b`.
                if b"_" in name:
                    continue
                key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
            text = value.decode("latin-1")
            if key in environ:
                text = f"{cast(str, environ[key])}{'; ' if name == b'cookie' else ','}{text}"
            environ[key] = text
        environ["CONTENT_LENGTH"] = str(len(body))
        return environ


def _no_write(data: bytes) -> object:
    raise NotImplementedError("WSGI's write(): answer with an iterable")


# The second and its text: a Date is asked for thousands of times in one.
_last_date = (0, b"")


def _date() -> bytes:
    global _last_date
    now_s = int(time.time())
    if _last_date[0] != now_s:
        _last_date = (now_s, formatdate(now_s, usegmt=True).encode())
    return _last_date[1]

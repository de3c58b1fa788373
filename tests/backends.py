"""Backends that do exactly what a test's script says, and remember every byte they were sent.

A `Backend` is a TCP server in threads. What it does with a request is decided by the request's path: `on(path, script)`
installs a script, any other path gets a plain 200 that describes the request. h11 reads what arrives, so a proxy that
sends what h11 refuses is caught wherever it happens: the error is kept in `faults` and raised when the backend is left.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import h11

Script = Callable[["Exchange"], None]

# A script that is never released must not hang the test run for ever.
PATIENCE_S = 60.0

MAX_HEAD_BYTES = 128 * 1024


class CutShort(Exception):
    """The proxy closed or reset the connection before the request was complete."""


class Connection:
    """One accepted connection and all that came in on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.exchanges: list[Exchange] = []
        self.ended = threading.Event()  # the proxy closed, or we did

    def receive(self) -> bytes:
        """The next bytes; b"" at the end, however it came. Raises TimeoutError after PATIENCE_S."""
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        self.received += data
        return data


class Exchange:
    """One request as it arrived, and the means to answer it: well, badly or not at all."""

    def __init__(self, connection: Connection, reader: h11.Connection, request: h11.Request) -> None:
        self.connection = connection
        self.reader = reader
        self.method = request.method.decode("ascii")
        self.target = request.target.decode("ascii")
        self.version = request.http_version.decode("ascii")
        # As spelled on the wire, in order.
        self.fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw_items()]
        self.complete = False  # the whole body arrived
        self.cut = threading.Event()  # the body ended too early
        self.closed = False
        self._body = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def number(self) -> int:
        """Which request of its connection this is, from 1."""
        return self.connection.exchanges.index(self) + 1

    def values(self, name: str) -> list[str]:
        """The values of every field `name`, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The value of the field `name`, joined by ", " when repeated; None without one."""
        values = self.values(name)
        return ", ".join(values) if values else None

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises CutShort when the proxy gives up in the middle."""
        while not self.complete:
            try:
                event = self.reader.next_event()
            except h11.RemoteProtocolError:
                if self.reader.trailing_data[1]:
                    self.cut.set()
                    raise CutShort(self.target) from None
                raise
            if event is h11.NEED_DATA:
                try:
                    self.reader.receive_data(self.connection.receive())
                except h11.RemoteProtocolError:
                    self.cut.set()
                    raise CutShort(self.target) from None
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                assert isinstance(event, h11.EndOfMessage), event
                assert not list(event.headers), "trailers are not forwarded"
                self.complete = True

    def body(self) -> bytes:
        """The whole body. Raises CutShort as `pieces` does."""
        self._body += b"".join(self.pieces())
        return self._body

    def send(self, data: bytes) -> None:
        """Send exactly these bytes."""
        self.connection.sock.sendall(data)

    def answer(self, body: bytes = b"", *, status: int = 200, fields: Iterable[tuple[str, str]] = ()) -> None:
        """A well-formed answer with a Content-Length; reads the request's body first."""
        self.body()
        lines = [
            f"HTTP/1.1 {status} Scripted",
            *(f"{name}: {value}" for name, value in fields),
            f"Content-Length: {len(body)}",
        ]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if self.method == "HEAD" else body))

    def drip(self, data: bytes) -> None:
        """Send one byte at a time, each in its own segment."""
        for i in range(len(data)):
            self.send(data[i : i + 1])

    def close(self) -> None:
        """Close both directions; no further request is read."""
        self.closed = True
        with suppress(OSError):
            self.connection.sock.shutdown(socket.SHUT_RDWR)

    def half_close(self) -> None:
        """End our direction, keep listening to the other."""
        self.connection.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection by RST."""
        self.closed = True
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.sock.close()

    def pause(self, pause_s: float) -> None:
        """Do nothing for so long. Raises AssertionError when the proxy sends or ends something meanwhile."""
        self.connection.sock.settimeout(pause_s)
        try:
            data = self.connection.receive()
        except TimeoutError:
            return
        finally:
            self.connection.sock.settimeout(PATIENCE_S)
        raise AssertionError(f"the proxy sent {data!r} into the pause")

    def await_close(self) -> bytes:
        """Wait until the proxy ends its direction; what it sent before that. Raises TimeoutError."""
        self.closed = True
        rest = bytearray(self.reader.trailing_data[0])
        while data := self.connection.receive():
            rest += data
        return bytes(rest)


def describe(exchange: Exchange) -> None:
    """The default script: 200 with what was asked, as JSON."""
    body = exchange.body()
    seen = {
        "method": exchange.method,
        "target": exchange.target,
        "fields": exchange.fields,
        "body": body.decode("latin-1"),
    }
    exchange.answer(json.dumps(seen).encode(), fields=[("Content-Type", "application/json")])


class Backend:
    """A scripted, recording TCP server on a free port of 127.0.0.1."""

    def __init__(self, default: Script = describe) -> None:
        self.default = default
        self.connections: list[Connection] = []
        self.faults: list[Exception] = []
        self._scripts: dict[str, Script] = {}
        self._exchanges: list[Exchange] = []
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self.faults:
            raise self.faults[0]

    def stop(self) -> None:
        """Stop accepting and cut every connection: from here on, connects are refused."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def on(self, path: str, script: Script) -> None:
        """From now on requests for `path` (without its query) are answered by `script`."""
        self._scripts[path] = script

    def seen(self, path: str) -> list[Exchange]:
        """The requests for `path`, oldest first."""
        return [exchange for exchange in list(self._exchanges) if exchange.path == path]

    @property
    def n_seen(self) -> int:
        """How many requests came in, for any path."""
        return len(self._exchanges)

    def seen_since(self, n: int) -> list[Exchange]:
        """The requests for any path after the first `n`."""
        return self._exchanges[n:]

    def wait_seen(self, path: str, n: int = 1) -> list[Exchange]:
        """Wait until `n` requests for `path` have come in."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.seen(path)) >= n, PATIENCE_S):
                raise TimeoutError(f"{len(self.seen(path))} of {n} requests for {path}")
        return self.seen(path)

    def _accept(self) -> None:
        while True:
            try:
                sock, _peer = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        early = b""
        try:
            while (exchange := self._next(connection, early)) is not None:
                self._scripts.get(exchange.path, self.default)(exchange)
                if exchange.closed:
                    break
                exchange.body()
                early = exchange.reader.trailing_data[0]
        except (CutShort, OSError):
            pass  # the proxy gave up, or the test did: both are things that scripts provoke
        except Exception as error:  # a bad request, or a bug in a script: the test must see it
            self.faults.append(error)
        finally:
            connection.sock.close()
            connection.ended.set()

    def _next(self, connection: Connection, early: bytes) -> Exchange | None:
        """Read one request head; None when the connection ends between two requests."""
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        if early:
            reader.receive_data(early)
        while (event := reader.next_event()) is h11.NEED_DATA:
            try:
                data = connection.receive()
            except TimeoutError:
                # An idle connection of the proxy's pool: keep it until somebody closes it.
                continue
            if not data:
                return None  # between two requests, or the proxy gave up inside a head
            reader.receive_data(data)
        assert isinstance(event, h11.Request), event
        exchange = Exchange(connection, reader, event)
        with self._changed:
            connection.exchanges.append(exchange)
            self._exchanges.append(exchange)
            self._changed.notify_all()
        return exchange


class Gate:
    """A script that holds every request until `open`, then answers it with `body`."""

    def __init__(self, body: bytes = b"held") -> None:
        self.body = body
        self._opened = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.body()
        self._opened.wait(PATIENCE_S)
        exchange.answer(self.body)

    def open(self) -> None:
        """Let all held requests, and later ones, be answered."""
        self._opened.set()


def saying(data: bytes, *, then_close: bool = False) -> Script:
    """A script that reads the request and sends exactly `data`."""

    def script(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(data)
        if then_close:
            exchange.close()

    return script


@contextmanager
def refusing() -> Iterator[str]:
    """An address that refuses every connection and that nobody else can take meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, never listening
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def unanswering() -> Iterator[str]:
    """An address where a connect neither succeeds nor fails: its accept queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for filler in fillers:
                filler.close()

"""A raw HTTP/1.1 client: sends any bytes, reads one answer at a time, and lets h11 judge what comes back."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import h11

Fields = Iterable[tuple[str, str]]

# Longer than any deadline a test sets for the proxy, shorter than a human's patience.
PATIENCE_S = 60.0

MAX_HEAD_BYTES = 128 * 1024

BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")


@dataclass
class Answer:
    """One response, complete unless it travels inside a `CutShort`."""

    status: int
    version: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    interim: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """The values of every field `name`, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The value of the field `name`, joined by ", " when repeated; None without one."""
        values = self.values(name)
        return ", ".join(values) if values else None

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def says_close(self) -> bool:
        """Does a `Connection: close` stand in it?"""
        return "close" in [token.strip().lower() for token in (self.value("connection") or "").split(",")]


class CutShort(Exception):
    """The connection ended inside an answer, or before it; `answer` is what there was of it, None without a head."""

    def __init__(self, answer: Answer | None) -> None:
        super().__init__("nothing came" if answer is None else f"{answer.status} cut after {len(answer.body)} bytes")
        self.answer = answer


def request_bytes(
    method: str,
    target: str,
    fields: Fields = (),
    body: bytes | None = None,
    *,
    version: str = "1.1",
    host: str | None = "localhost",
) -> bytes:
    """A well-formed request; a `body` brings its Content-Length, unless `fields` say how it is framed."""
    fields = list(fields)
    names = {name.lower() for name, _ in fields}
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None and "host" not in names:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def chunked(*pieces: bytes) -> bytes:
    """The pieces as a chunked body, last chunk included."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Client:
    """One connection to `HOST:PORT`, optionally from a given loopback address."""

    def __init__(self, address: str, *, source: str | None = None, patience_s: float = PATIENCE_S) -> None:
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), patience_s, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._early = b""  # bytes behind the last answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send exactly these bytes. A peer that has already closed is no error here: its answer may wait to be read."""
        with suppress(ConnectionError):
            self.sock.sendall(data)

    def drip(self, data: bytes) -> None:
        """Send one byte at a time."""
        for i in range(len(data)):
            self.send(data[i : i + 1])

    def ask(
        self,
        method: str,
        target: str,
        fields: Fields = (),
        body: bytes | None = None,
        *,
        version: str = "1.1",
        host: str | None = "localhost",
    ) -> Answer:
        """Send one request and read its answer."""
        self.send(request_bytes(method, target, fields, body, version=version, host=host))
        return self.answer(method)

    def answer(self, method: str = "GET", *, upgrade: bool = False) -> Answer:
        """The next answer, to a request by `method`. Raises CutShort; h11.RemoteProtocolError when malformed."""
        answer = None
        interim = []
        try:
            for event in self._events(method, upgrade):
                if isinstance(event, h11.InformationalResponse | h11.Response):
                    fields = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers.raw_items()]
                    if event.status_code < 200 and event.status_code != 101:
                        interim.append((event.status_code, fields))
                    else:
                        answer = Answer(event.status_code, event.http_version.decode(), fields, interim=interim)
                        if answer.status == 101:
                            break
                elif isinstance(event, h11.Data):
                    assert answer is not None
                    answer.body += bytes(event.data)
        except EOFError:
            raise CutShort(answer) from None
        assert answer is not None
        return answer

    def events(self, method: str = "GET") -> Iterator[h11.Event]:
        """The next answer piece by piece: interim heads, the head, `h11.Data` as it arrives, the end."""
        return self._events(method, False)

    def receive(self, n: int = 65536) -> bytes:
        """Some raw bytes; b"" at the end of the connection, by FIN or by RST."""
        if self._early:
            early, self._early = self._early[:n], self._early[n:]
            return early
        try:
            return self.sock.recv(n)
        except ConnectionError:
            return b""

    def exactly(self, n: int) -> bytes:
        """The next `n` raw bytes, fewer only at the end of the connection."""
        data = b""
        while len(data) < n and (more := self.receive(n - len(data))):
            data += more
        return data

    def rest(self) -> bytes:
        """All raw bytes up to the end of the connection. Raises TimeoutError when it does not end."""
        return b"".join(iter(self.receive, b""))

    def _events(self, method: str, upgrade: bool) -> Iterator[h11.Event]:
        reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        asked = [("Host", "test"), *([("Connection", "upgrade"), ("Upgrade", "websocket")] if upgrade else [])]
        reader.send(h11.Request(method=method, target="/", headers=asked))
        reader.send(h11.EndOfMessage())
        raw = bytearray()
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                data = self.receive()
                raw += data
                try:
                    reader.receive_data(data)
                    event = reader.next_event() if not data else None
                except h11.RemoteProtocolError:
                    if data:
                        raise
                    raise EOFError from None
                if event is None:
                    continue
            if isinstance(event, h11.ConnectionClosed):
                raise EOFError
            if isinstance(event, h11.InformationalResponse | h11.Response):
                # h11 forgives a bare LF in a head; a proxy has no business writing one.
                head = bytes(raw).partition(b"\r\n\r\n")[0]
                assert not BARE_LINE_END.search(head), head
                raw = raw[len(head) + 4 :]
            last = isinstance(event, h11.EndOfMessage) or getattr(event, "status_code", 0) == 101
            if last:
                self._early = bytes(reader.trailing_data[0])
            yield event
            if last:
                return


def fetch(
    address: str,
    target: str,
    method: str = "GET",
    fields: Fields = (),
    body: bytes | None = None,
    *,
    host: str = "localhost",
    source: str | None = None,
) -> Answer:
    """One request on a connection of its own."""
    with Client(address, source=source) as client:
        return client.ask(method, target, fields, body, host=host)

"""A WebSocket client that can misbehave: any bytes out, frames in, checked only for what a server always owes."""
from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.waiting import DEADLINE_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
MASK = b"\x5a\x01\xc3\xff"

Fields = Sequence[tuple[str, str]]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="          # RFC 6455 section 1.3, with its answer
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE: Fields = (
    ("Host", "test"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13"))


def request(fields: Fields = UPGRADE, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A request head for /."""
    return "".join([f"{method} / {version}\r\n", *(f"{name}: {value}\r\n" for name, value in fields), "\r\n"]).encode()


def upgrade(**changes: str | None) -> list[tuple[str, str]]:
    """The fields of a good handshake, some given another value or, by None, left out; `_` in a name is `-`."""
    fields = dict(UPGRADE)
    for name, value in changes.items():
        key = next((each for each in fields if each.lower() == name.replace("_", "-").lower()), name.replace("_", "-"))
        if value is None:
            fields.pop(key, None)
        else:
            fields[key] = value
    return list(fields.items())


def masked(data: bytes, key: bytes = MASK) -> bytes:
    """The exclusive or of `data` with the key repeated."""
    whole = (key * (len(data) // 4 + 1))[:len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(data), "big")


def head(first: int, size: int, key: bytes | None = MASK) -> bytes:
    """A frame's head: its first byte as it is, the shortest form of `size`, and the mask unless None."""
    bit = 0 if key is None else 0x80
    if size < 126:
        length = bytes([bit | size])
    elif size < 0x10000:
        length = struct.pack(">BH", bit | 126, size)
    else:
        length = struct.pack(">BQ", bit | 127, size)
    return bytes([first]) + length + (key or b"")


def frame(opcode: int, payload: bytes = b"", bits: int = FIN) -> bytes:
    """A masked frame."""
    return head(bits | opcode, len(payload)) + masked(payload)


def text(words: str) -> bytes:
    """A text message in one frame."""
    return frame(TEXT, words.encode())


def close(code: int | None = None, reason: str = "") -> bytes:
    """A close frame; None: without a code."""
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason.encode())


def deflated(data: bytes) -> bytes:
    """`data` as the payload of a compressed message, on a context of its own (RFC 7692 section 7.2.1)."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]


@dataclass(frozen=True)
class Answer:
    """The head of an HTTP response."""

    status: int
    fields: dict[str, str] = field(default_factory=dict)    # by lower-case name


@dataclass(frozen=True)
class Frame:
    """One frame from the server."""

    bits: int           # FIN and the reserved ones
    opcode: int
    payload: bytes


class Closed(Exception):
    """The server ended the connection, where more was due."""


class Peer:
    """One connection; what was read beyond what was asked for waits in a buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(DEADLINE_S)
        self._buffer = bytearray()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_leniently(self, data: bytes) -> None:
        """Send what a server that has had enough may refuse to take."""
        with suppress(ConnectionError):
            self.sock.sendall(data)

    def _receive(self) -> None:
        try:
            piece = self.sock.recv(1 << 18)
        except ConnectionError as error:
            raise Closed(f"{error} after {bytes(self._buffer)!r}") from None
        if not piece:
            raise Closed(f"after {bytes(self._buffer)!r}")
        self._buffer += piece

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises Closed."""
        while len(self._buffer) < size:
            self._receive()
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def answer(self) -> Answer:
        """The next response head. Raises Closed."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._receive()
        first, *rest = self.take(end + 4)[:-4].decode("latin-1").split("\r\n")
        version, status = first.split(" ")[:2]
        assert version == "HTTP/1.1", first
        fields = {}
        for line in rest:
            name, _, value = line.partition(":")
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value.strip()
        return Answer(int(status), fields)

    def ask(self, fields: Fields = UPGRADE, **more: str) -> Answer:
        """Send a request head; its answer."""
        self.send(request(fields, **more))
        return self.answer()

    def frame(self) -> Frame:
        """The next frame, which a server never masks and always writes in the shortest form. Raises Closed."""
        first, second = self.take(2)
        size = second
        if second == 126:
            (size,) = struct.unpack(">H", self.take(2))
            assert size > 125
        elif second == 127:
            (size,) = struct.unpack(">Q", self.take(8))
            assert size > 0xFFFF
        assert second < 128, "a masked frame from a server"
        return Frame(first & 0xF0, first & 0x0F, self.take(size))

    def message(self) -> tuple[int, bytes]:
        """The next uncompressed message: opcode and payload. Raises Closed."""
        each = self.frame()
        opcode, payload = each.opcode, [each.payload]
        assert opcode in (TEXT, BINARY), each
        while not each.bits & FIN:
            each = self.frame()
            assert each.opcode == CONTINUATION, each
            payload.append(each.payload)
        return opcode, b"".join(payload)

    def closing(self) -> tuple[int | None, bytes]:
        """The code and reason of the close frame that must come next."""
        each = self.frame()
        assert (each.bits, each.opcode) == (FIN, CLOSE), each
        if not each.payload:
            return None, b""
        return struct.unpack(">H", each.payload[:2])[0], each.payload[2:]

    def ended(self) -> None:
        """Wait for the end of the connection, before which nothing may come."""
        try:
            piece = bytes(self._buffer) or self.sock.recv(100)
        except ConnectionError:
            return
        assert not piece, piece

    def refused(self, code: int) -> None:
        """The server closes with `code`, then ends the connection; messages it answered before are not looked at."""
        said, _ = self.closing()
        assert said == code
        self.send_leniently(close(code))
        self.ended()

    def goodbye(self) -> None:
        """Close as one should: the server still keeps to the protocol."""
        self.send(close(1000))
        assert self.closing()[0] == 1000
        self.ended()


def opened(sock: socket.socket, fields: Fields = UPGRADE) -> Peer:
    """Shake hands."""
    peer = Peer(sock)
    answer = peer.ask(fields)
    assert answer.status == 101, answer
    assert answer.fields["sec-websocket-accept"] == ACCEPT
    return peer

"""A raw WebSocket client: sends any bytes, in any cuts, and hides nothing of what comes back."""
from __future__ import annotations

import base64
import hashlib
import os
import select
import socket
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from tests.waiting import DEADLINE_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NAMES = {TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}

MASK = b"\x37\xfa\x21\x3d"      # of RFC 6455, section 5.7: no byte of it is zero, so a masked byte always differs
NO_MASK = b"\0\0\0\0"           # as legal as any: the payload goes out as it is

RSV1, RSV2, RSV3 = 4, 2, 1

MAX_HEAD_BYTES = 64 * 1024
RECEIVE_BYTES = 1 << 20

FLUSH_TAIL = b"\x00\x00\xff\xff"    # what RFC 7692, section 7.2.1 takes off the end of each message


class Frame(NamedTuple):
    """One frame as it stood on the wire, unmasked."""

    fin: bool
    rsv: int
    opcode: int
    payload: bytes


class Event(NamedTuple):
    """A whole message or a control frame: `kind` is text, binary, ping, pong or close; the payload is inflated."""

    kind: str
    payload: bytes


class Head(NamedTuple):
    """The answer to a handshake; names are in lower case."""

    status: int
    fields: list[tuple[str, str]]

    def value(self, name: str) -> str | None:
        """The values of the field `name`, joined by ", "; None without one."""
        values = [value for key, value in self.fields if key == name]
        return ", ".join(values) if values else None


class Ended(Exception):
    """The connection ended where more was due."""


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload XOR the repeated mask; one big integer is the fastest the standard library has."""
    n = len(payload)
    if not n or mask == NO_MASK:
        return payload
    pattern = (mask * (n // 4 + 1))[:n]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")).to_bytes(n, "little")


def frame_head(opcode: int, size: int, *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK) -> bytes:
    """The head of a frame that claims `size` bytes, mask included; `mask` None: an unmasked frame."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0 if mask is None else 0x80
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 1 << 16:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    return head + (mask or b"")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK) -> bytes:
    """One frame, ready to send."""
    head = frame_head(opcode, len(payload), fin=fin, rsv=rsv, mask=mask)
    return head + (payload if mask is None else masked(payload, mask))


def fragments(opcode: int, pieces: Iterable[bytes], *, rsv: int = 0, mask: bytes | None = MASK) -> Iterator[bytes]:
    """One message, a frame for each piece; `rsv` stands in the first."""
    pieces = list(pieces)
    for i, piece in enumerate(pieces):
        yield frame(CONTINUATION if i else opcode, piece, fin=i == len(pieces) - 1, rsv=0 if i else rsv, mask=mask)


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """What a close frame carries, whether or not the code or the reason is allowed."""
    return code.to_bytes(2, "big") + reason


def close_frame(code: int = 1000, reason: bytes = b"", *, mask: bytes | None = MASK) -> bytes:
    """A close frame with a code."""
    return frame(CLOSE, close_payload(code, reason), mask=mask)


def cut(data: bytes, size: int) -> list[bytes]:
    """The data in pieces of `size` bytes, the last one perhaps shorter; one empty piece when there is none."""
    return [data[i : i + size] for i in range(0, len(data), size)] or [b""]


def accept_of(key: str) -> str:
    """The Sec-WebSocket-Accept that answers `key`."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def handshake(target: str = "/", *fields: tuple[str, str], key: str = "", host: str = "test",
              drop: Iterable[str] = ()) -> bytes:
    """An opening handshake; `fields` come behind the usual ones, of which those named in `drop` stay away."""
    usual = [("Host", host), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
             ("Sec-WebSocket-Key", key or base64.b64encode(os.urandom(16)).decode()), ("Sec-WebSocket-Version", "13")]
    gone = {name.lower() for name in drop}
    lines = [f"{name}: {value}" for name, value in (*(f for f in usual if f[0].lower() not in gone), *fields)]
    return ("\r\n".join([f"GET {target} HTTP/1.1", *lines]) + "\r\n\r\n").encode("latin-1")


class Deflate:
    """permessage-deflate from the client's end, by the parameters that the server's answer names."""

    def __init__(self, agreed: str) -> None:
        name, *parameters = (part.strip() for part in agreed.split(";"))
        assert name == "permessage-deflate", agreed
        split = [parameter.partition("=") for parameter in parameters]
        self.parameters = {key.strip(): value.strip().strip('"') for key, _, value in split}
        assert len(self.parameters) == len(parameters), f"a parameter twice: {agreed}"
        known = {"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits",
                 "client_max_window_bits"}
        assert self.parameters.keys() <= known, agreed
        assert all(8 <= int(bits) <= 15 for key, bits in self.parameters.items() if key.endswith("_bits")), agreed
        self._deflater = self._new_deflater()
        self._inflater = self._new_inflater()

    def _new_deflater(self) -> zlib._Compress:
        # zlib cannot write a window of 8 bits, so this client never promises one. Level 1: the server is tested.
        return zlib.compressobj(1, zlib.DEFLATED, -int(self.parameters.get("client_max_window_bits", "15")))

    def _new_inflater(self) -> zlib._Decompress:
        # The window is exactly the agreed one: a server that looks further back than it promised fails here.
        return zlib.decompressobj(-int(self.parameters.get("server_max_window_bits", "15")))

    def deflate(self, payload: bytes) -> bytes:
        """The payload as one compressed message."""
        data = self._deflater.compress(payload) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        if "client_no_context_takeover" in self.parameters:
            self._deflater = self._new_deflater()
        return data[:-4]

    def inflate(self, payload: bytes) -> bytes:
        """What a compressed message says."""
        data = self._inflater.decompress(payload + FLUSH_TAIL)
        if "server_no_context_takeover" in self.parameters:
            self._inflater = self._new_inflater()
        return data


class Client:
    """One connection to `HOST:PORT`; every wait ends after `patience_s`."""

    def __init__(self, address: str, *, patience_s: float = DEADLINE_S) -> None:
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host.strip("[]"), int(port)), patience_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.patience_s = patience_s
        self.deflate: Deflate | None = None
        self.ended = False              # the peer's end of the connection is gone, by FIN or by RST
        self._received = bytearray()    # and not yet read
        self._parts: list[bytes] = []   # of the message under way
        self._first: Frame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self.sock.close()

    # Bytes

    def send(self, data: bytes) -> None:
        """Send exactly these bytes, receiving meanwhile. A peer that has gone is no error: what it said can be read."""
        rest = memoryview(data)
        deadline_s = time.monotonic() + self.patience_s
        while rest:
            try:
                rest = rest[self.sock.send(rest):]
            except BlockingIOError:
                self._wait(deadline_s, writable=True)
            except ConnectionError:
                return

    def drip(self, data: bytes, size: int = 1) -> None:
        """Send in pieces of `size` bytes, each in a packet of its own."""
        for piece in cut(data, size):
            self.send(piece)

    def exactly(self, n: int) -> bytes:
        """The next `n` bytes. Raises Ended when the connection has fewer left."""
        self._fill(n)
        data = bytes(memoryview(self._received)[:n])
        del self._received[:n]
        return data

    def rest(self) -> bytes:
        """All bytes up to the end of the connection. Raises TimeoutError when it does not end."""
        deadline_s = time.monotonic() + self.patience_s
        while not self.ended:
            self._wait(deadline_s)
        data = bytes(self._received)
        self._received.clear()
        return data

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nothing arrives, not even the end, in so many seconds."""
        return not self._received and not self.ended and not self._moves(select.POLLIN, seconds)

    def _moves(self, wanted: int, seconds: float) -> int:
        """What the socket is ready for in so many seconds; not by select, which knows 1,024 descriptors."""
        poll = select.poll()
        poll.register(self.sock, wanted)
        return sum(events for _, events in poll.poll(seconds * 1000))

    def _wait(self, deadline_s: float, *, writable: bool = False) -> None:
        wanted = (0 if self.ended else select.POLLIN) | (select.POLLOUT if writable else 0)
        events = self._moves(wanted, max(deadline_s - time.monotonic(), 0))
        if not events:
            raise TimeoutError(f"nothing moved; {len(self._received)} bytes unread: {bytes(self._received[:64])!r}")
        if events & ~select.POLLOUT and not self.ended:
            try:
                data = self.sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            self._received += data
            self.ended = not data

    def _fill(self, n: int) -> None:
        deadline_s = time.monotonic() + self.patience_s
        while len(self._received) < n:
            if self.ended:
                raise Ended(f"{n} bytes due, {bytes(self._received[:64])!r} left")
            self._wait(deadline_s)

    # The handshake

    def read_head(self) -> Head:
        """The head of an HTTP answer."""
        deadline_s = time.monotonic() + self.patience_s
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            assert len(self._received) < MAX_HEAD_BYTES
            if self.ended:
                raise Ended(f"inside a head: {bytes(self._received)!r}")
            self._wait(deadline_s)
        line, *lines = self.exactly(end + 4)[:-4].decode("latin-1").split("\r\n")
        split = [field.partition(":") for field in lines]
        return Head(int(line.split()[1]), [(name.lower(), value.strip()) for name, _, value in split])

    def open(self, target: str = "/", *fields: tuple[str, str], host: str = "test") -> Head:
        """Shake hands as a good client does; an extension that the answer names is in force from here."""
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(handshake(target, *fields, key=key, host=host))
        head = self.read_head()
        assert head.status == 101, head
        assert head.value("sec-websocket-accept") == accept_of(key), head
        assert (head.value("upgrade") or "").lower() == "websocket", head
        assert "upgrade" in (head.value("connection") or "").lower(), head
        if (agreed := head.value("sec-websocket-extensions")) is not None:
            self.deflate = Deflate(agreed)
        return head

    # Frames and messages

    def send_frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0,
                   mask: bytes | None = MASK) -> None:
        """Send one frame."""
        self.send(frame(opcode, payload, fin=fin, rsv=rsv, mask=mask))

    def send_close(self, code: int = 1000, reason: bytes = b"") -> None:
        """Send a close frame with a code."""
        self.send(close_frame(code, reason))

    def read_frame(self) -> Frame:
        """The next frame; what no server may send is an AssertionError."""
        first, second = self.exactly(2)
        size = second & 0x7F
        assert not second & 0x80, "a server must not mask"
        if size == 126:
            size = int.from_bytes(self.exactly(2), "big")
            assert size > 125, "a length must be minimal"
        elif size == 127:
            size = int.from_bytes(self.exactly(8), "big")
            assert size > 0xFFFF, "a length must be minimal"
        opcode = first & 0x0F
        assert opcode < CLOSE or (first & 0x80 and size < 126), "a control frame is short and whole"
        return Frame(bool(first & 0x80), first >> 4 & 7, opcode, self.exactly(size))

    def read(self) -> Event:
        """The next message or control frame."""
        while True:
            got = self.read_frame()
            assert got.rsv == 0 or (got.rsv == RSV1 and self.deflate and got.opcode in (TEXT, BINARY)), got
            if got.opcode >= CLOSE:
                return Event(NAMES[got.opcode], got.payload)
            assert (got.opcode == CONTINUATION) == (self._first is not None), f"out of order: {got.opcode}"
            self._first = self._first or got
            self._parts.append(got.payload)
            if got.fin:
                return self._whole()

    def _whole(self) -> Event:
        first, payload = self._first, b"".join(self._parts)
        assert first is not None
        self._first, self._parts = None, []
        if first.rsv == RSV1:
            assert self.deflate is not None
            payload = self.deflate.inflate(payload)
        return Event(NAMES[first.opcode], payload)

    def read_to_close(self) -> tuple[list[Event], bytes | None]:
        """What comes before a close frame, and its payload; None when the connection ends without one."""
        events: list[Event] = []
        with suppress(Ended):
            while (event := self.read()).kind != "close":
                events.append(event)
            return events, event.payload
        return events, None


def connect(address: str, target: str = "/", *fields: tuple[str, str], extensions: str | None = None,
            patience_s: float = DEADLINE_S) -> Client:
    """A client whose handshake is done; `extensions` are offered in one field."""
    offered = [("Sec-WebSocket-Extensions", extensions)] if extensions else []
    client = Client(address, patience_s=patience_s)
    try:
        client.open(target, *fields, *offered, host=address)
    except BaseException:
        client.close()
        raise
    return client


def close_code(payload: bytes | None) -> int | None:
    """The code that a close frame carries; None for an empty one, or none at all."""
    return int.from_bytes(payload[:2], "big") if payload else None

"""What tests of hostile or careless clients say again and again, on top of the raw client."""
from __future__ import annotations

import zlib
from collections.abc import Sequence

from tests.wsclient import CLOSE, TEXT, Client, Deflate, Head, accept_of, close_frame, frame

FIN = 0x80      # of a frame's first byte

Fields = Sequence[tuple[str, str]]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="          # RFC 6455 section 1.3
UPGRADE: Fields = (
    ("Host", "test"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13"))


def request(fields: Fields = UPGRADE, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A request head for / of just these fields."""
    return "".join([f"{method} / {version}\r\n", *(f"{name}: {value}\r\n" for name, value in fields), "\r\n"]).encode()


def upgrade(**changes: str | None) -> list[tuple[str, str]]:
    """The fields of a good handshake, some given another value or, by None, left out; `_` in a name is `-`."""
    fields = dict(UPGRADE)
    for name, value in changes.items():
        key = next((each for each in fields if each.lower() == name.replace("_", "-")), name.replace("_", "-"))
        if value is None:
            fields.pop(key, None)
        else:
            fields[key] = value
    return list(fields.items())


DEFLATE = upgrade(sec_websocket_extensions="permessage-deflate")


def text(words: str) -> bytes:
    """A text message in one frame."""
    return frame(TEXT, words.encode())


def deflated(data: bytes) -> bytes:
    """`data` as the payload of a compressed message that refers to none before it (RFC 7692 section 7.2.1)."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Peer(Client):
    """A client that says what must come next."""

    def read_head(self) -> Head:
        """The head of the answer; an extension that it agrees on is in force from here."""
        head = super().read_head()
        if head.status == 101 and (agreed := head.value("sec-websocket-extensions")) is not None:
            self.deflate = Deflate(agreed)
        return head

    def ask(self, fields: Fields = UPGRADE, **more: str) -> Head:
        """Send a request head; the head of its answer."""
        self.send(request(fields, **more))
        return self.read_head()

    def closing(self) -> int | None:
        """The code of the close frame that must come next; None: it has none."""
        each = self.read_frame()
        assert each[:3] == (True, 0, CLOSE), each
        return int.from_bytes(each.payload[:2], "big") if each.payload else None

    def is_over(self) -> None:
        """Wait for the end of the connection, before which nothing may come."""
        assert self.rest() == b""

    def refused(self, code: int) -> None:
        """The server closes with `code`, without a word before; then it ends the connection."""
        assert self.closing() == code
        self.send(close_frame(code))
        self.is_over()

    def goodbye(self) -> None:
        """Close as one should: the server still keeps to the protocol."""
        self.send(close_frame())
        assert self.closing() == 1000
        self.is_over()


def opened(address: str, fields: Fields = UPGRADE) -> Peer:
    """Shake hands with exactly these fields."""
    peer = Peer(address)
    head = peer.ask(fields)
    assert head.status == 101, head
    assert head.value("sec-websocket-accept") == accept_of(KEY)
    return peer

"""What an opening handshake is made of: tokens, header values, and the two errors."""
from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hotpath.core import errors
from hotpath.core.errors import LocalProtocolError, ProtocolError

if TYPE_CHECKING:
    from .events import Event

__all__ = ["ACCEPT_GUID", "LocalProtocolError", "ProtocolError", "RemoteProtocolError", "generate_accept_token",
           "generate_nonce", "normed_header_dict", "split_comma_header"]

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"   # RFC 6455 section 1.3
NONCE_BYTES = 16                                        # RFC 6455 section 4.1


class RemoteProtocolError(errors.RemoteProtocolError):
    """The peer broke the protocol; `event_hint` is the event to answer with, where an answer is due."""

    def __init__(self, message: str, event_hint: Event | None = None) -> None:
        """Keep the hint; the status it answers with is also the one for HTTP."""
        super().__init__(message, error_status_hint=getattr(event_hint, "status_code", 400))
        self.event_hint = event_hint


def normed_header_dict(h11_headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Each name once, the values of a repeated one joined by commas (RFC 9110 section 5.2)."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in h11_headers:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(all_of_it) for name, all_of_it in values.items()}


def split_comma_header(value: bytes) -> list[str]:
    """The elements of a list without quoted strings, in ASCII. UnicodeDecodeError (a ValueError) for anything else."""
    return [element.strip() for element in value.decode("ascii").split(",")]


def generate_nonce() -> bytes:
    """A fresh Sec-WebSocket-Key (RFC 6455 section 4.1)."""
    return base64.b64encode(os.urandom(NONCE_BYTES))


def generate_accept_token(token: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers the key `token` (RFC 6455 section 4.2.2)."""
    # SHA-1 because the RFC says so; it proves that the server understood, and protects nothing.
    return base64.b64encode(hashlib.sha1(token + ACCEPT_GUID, usedforsecurity=False).digest())

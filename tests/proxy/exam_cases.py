"""A case of the exam, and the words to write one in."""

from __future__ import annotations

from typing import NamedTuple

HOST = b"Host: exam\r\n"
CODED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


class Case(NamedTuple):
    """What a client sends, which complete requests reach the backend of it, and how it is refused then."""

    name: str
    data: bytes
    arrive: tuple[tuple[str, str, bytes], ...] = ()  # (method, target, body), as h11 reads them there
    refused: tuple[int, ...] = ()  # one of these, then the end of the connection (see UNDERSTOOD)


def bad(name: str, data: bytes, *status: int) -> Case:
    """Refused, 400 unless `status` says otherwise."""
    return Case(name, data, refused=status or (400,))


def good(name: str, data: bytes, method: str, target: str, body: bytes = b"") -> Case:
    """Forwarded."""
    return Case(name, data, arrive=((method, target, body),))


def line(first: bytes, fields: bytes = b"") -> bytes:
    """A request by its first line."""
    return first + b"\r\n" + HOST + fields + b"\r\n"


def get(fields: bytes, *, host: bytes = HOST) -> bytes:
    """A GET by its fields."""
    return b"GET /exam HTTP/1.1\r\n" + host + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"", *, method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    """A request with a body, by its fields."""
    return method + b" /exam HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n" + body


def coded(body: bytes) -> bytes:
    """A chunked request by its body."""
    return post(CODED, body)

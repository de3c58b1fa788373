"""Which header fields pass from one side to the other, and how they change."""
from __future__ import annotations

from collections.abc import Iterable

Fields = list[tuple[bytes, bytes]]

# Of one connection alone (RFC 9110 7.6.1), and the framing, which each side has its own of.
HOP = frozenset((b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
                 b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"expect", b"http2-settings"))
# Said by us, or ours.
REPLACED = frozenset((b"authorization", b"cookie", b"forwarded", b"x-forwarded-for", b"x-forwarded-host",
                      b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip"))
# The IDE's own; the name goes on with its port. Programs of a project neither see nor set it.
OUR_COOKIE = b"hotpath_ide"
# Trailers may not say what decided the message already (RFC 9110 6.5.1).
NO_TRAILER = HOP | REPLACED | frozenset(
    (b"host", b"set-cookie", b"content-encoding", b"content-type", b"content-range"))


def named(fields: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """What a Connection field declares to be of this connection."""
    return frozenset(option.strip().lower() for name, value in fields if name.lower() == b"connection"
                     for option in value.split(b","))


def value_of(fields: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """All values of a field, joined; None: it is not there."""
    values = [value for name, value in fields if name.lower() == wanted]
    return b", ".join(values) if values else None


def wants_upgrade(fields: Fields) -> bytes | None:
    """To what; None: to nothing."""
    return value_of(fields, b"upgrade") if b"upgrade" in named(fields) else None


def to_program(fields: Fields, *, client: bytes, host: bytes, upgrade: bytes | None) -> Fields:
    """Of a request. The body's framing: its length, or chunks if it had no length but a coding."""
    dropped = HOP | REPLACED | (named(fields) - {b"host"})
    passed = [(name, value) for name, value in fields if name.lower() not in dropped]
    cookie = foreign_cookies(value_of_cookies(fields))
    if cookie:
        passed.append((b"Cookie", cookie))
    passed += framing(fields)
    proto = value_of(fields, b"x-forwarded-proto")
    passed += [(b"X-Forwarded-For", client), (b"X-Forwarded-Host", host),
               (b"X-Forwarded-Proto", b"https" if proto == b"https" else b"http")]
    if upgrade is not None:
        passed += [(b"Connection", b"upgrade"), (b"Upgrade", upgrade)]
    return passed


def to_browser(fields: Fields, *, switching: bool = False) -> Fields:
    """Of a response."""
    dropped = HOP | named(fields)
    passed = [(name, value) for name, value in fields if name.lower() not in dropped
              and not (name.lower() == b"set-cookie" and is_ours(value))]
    upgrade = value_of(fields, b"upgrade")
    if switching and upgrade is not None:
        return [*passed, (b"Connection", b"upgrade"), (b"Upgrade", upgrade)]
    return passed + framing(fields, chunked=False)


def framing(fields: Fields, *, chunked: bool = True) -> Fields:
    """How long the body is. A response without a length is cut into chunks by whoever sends it, if the peer can."""
    if value_of(fields, b"transfer-encoding") is not None:
        return [(b"Transfer-Encoding", b"chunked")] if chunked else []
    length = value_of(fields, b"content-length")
    return [] if length is None else [(b"Content-Length", length.split(b",")[0].strip())]


def trailers(fields: Fields) -> Fields:
    """What may come behind a body."""
    return [(name, value) for name, value in fields if name.lower() not in NO_TRAILER]


def value_of_cookies(fields: Fields) -> bytes:
    """All of the Cookie fields; a browser sends one."""
    return b"; ".join(value for name, value in fields if name.lower() == b"cookie")


def foreign_cookies(cookies: bytes) -> bytes:
    """Without ours."""
    return b"; ".join(pair for one in cookies.split(b";") if (pair := one.strip()) and not is_ours(pair))


def is_ours(cookie: bytes) -> bool:
    """Whether a cookie of that name would be the IDE's own."""
    return cookie.partition(b"=")[0].strip().lower().startswith(OUR_COOKIE)

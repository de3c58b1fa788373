"""A request of HTTP/2 in the words of HTTP/1.1, and its answer the other way (RFC 9113 section 8)."""
from __future__ import annotations

import re
from collections.abc import Iterable

from hotpath.core.wire import http1

Fields = list[tuple[bytes, bytes]]

# Of one connection (section 8.2.2), and what HTTP/2 says otherwise.
NOT_FORWARDED = frozenset({
    b"connection", b"host", b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding",
    b"upgrade",
})
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
NOT_RETURNED = NOT_FORWARDED - {b"host"}


class Malformed(Exception):
    """A request that RFC 9113 8.1.1 calls malformed."""


def request_of(headers: Iterable[tuple[bytes, bytes]], *, ended: bool) -> http1.Request:
    """The HTTP/1.1 request that a block of header fields stands for. Raises Malformed, LocalProtocolError."""
    pseudo: dict[bytes, bytes] = {}
    fields: Fields = []
    cookies, host = [], None
    for name, value in headers:
        if CONTROL.search(value):       # h2 looks for CR, LF and NUL
            raise Malformed("control byte in a value")
        if name.startswith(b":"):
            pseudo[name] = value
        elif name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            host = value
        elif name not in NOT_FORWARDED:
            fields.append((name, value))
    lengths = [value for name, value in fields if name == b"content-length"]
    if len(lengths) > 1 or (ended and any(length.strip(b"0") for length in lengths)):
        raise Malformed("content-length")
    method = pseudo[b":method"]
    authority = pseudo.get(b":authority", host)
    if authority is None or (host is not None and host != authority):
        raise Malformed("no authority, or two")
    if b":protocol" in pseudo:      # RFC 8441, which we do not offer
        raise Malformed("protocol")
    if method == b"CONNECT":
        target = authority
    else:
        target = pseudo.get(b":path", b"")
        if not (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
            raise Malformed("path")
        if pseudo.get(b":scheme") != b"https":      # there is no HTTP/2 in the clear here
            raise Malformed("scheme")
    if cookies:     # section 8.2.3: crumbs become one field again
        fields.append((b"cookie", b"; ".join(cookies)))
    if not ended and not lengths:
        fields.append((b"transfer-encoding", b"chunked"))
    return http1.Request(
        method=method, target=target, headers=[(b"host", authority), *fields, (b"connection", b"close")])


def fields_of(response: http1.Response | http1.InformationalResponse) -> Fields:
    """The fields of an answer as HTTP/2 says them."""
    kept = [(name, value) for name, value in response.headers if name not in NOT_RETURNED]
    return [(b":status", b"%d" % response.status_code), *kept]

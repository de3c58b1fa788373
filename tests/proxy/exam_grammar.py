"""Requests by a grammar: section 4 of the contract a second time, as regular expressions, to hold parsers against."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
PCHAR = rb"(?:[!\"$&-.0-Z\[\]^-~]|%(?!00)[0-9A-Fa-f]{2})"  # of a path: not "#", "%", "/", "?", "\"
PATH = rb"(?:/" + PCHAR + rb"*)+"
QUERY = rb"(?:\?[!\"$-\[\]-~]*)?"
HOST_NAME = rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]{2,45}\])"
PORT = rb"(?::(?!0+(?![0-9]))[0-9]{1,5})?"
URI = rb"[hH][tT][tT][pP][sS]?://(?P<host>" + HOST_NAME + PORT + rb")(?:" + PATH + rb")?" + QUERY
FIELD = TOKEN + rb":" + VALUE + rb"\r\n"
LINE = rb"(?P<method>%b) (?P<target>%b|%b|\*) HTTP/1\.(?P<minor>[01])\r\n" % (TOKEN, PATH + QUERY, URI)
HEAD = re.compile(rb"(?:\r\n)?" + LINE + rb"(?P<fields>(?:" + FIELD + rb")*)\r\n")
QUOTED = rb'"(?:[\t\x20!\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
EXTENSION = rb";[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, QUOTED)
CHUNK = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,16})(?:%b(?:[ \t]*%b)*)?\r\n" % (EXTENSION, EXTENSION))
TRAILERS = re.compile(rb"(?:" + FIELD + rb")*\r\n")


def framing(head: re.Match[bytes]) -> str | int | None:
    """What frames the body: "chunked", or its length; None: refused."""
    named: dict[bytes, list[bytes]] = {b"host": [], b"content-length": [], b"transfer-encoding": []}
    for line in head["fields"].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        named.setdefault(name.lower(), []).append(value.strip(b" \t"))
    hosts, lengths, codings = named[b"host"], named[b"content-length"], named[b"transfer-encoding"]
    if len(hosts) > 1 or (not hosts and head["minor"] == b"1"):
        return None
    for host in hosts:
        if not re.fullmatch(HOST_NAME + PORT, host) or int((re.search(rb":([0-9]*)$", host) or {1: 1})[1]) > 65535:
            return None
        if (head["host"] or host).lower() != host.lower():
            return None
    if len(lengths) + len(codings) > 1:
        return None
    if codings:
        return "chunked" if codings[0].lower() == b"chunked" and head["minor"] == b"1" else None
    if lengths:
        return int(lengths[0]) if re.fullmatch(rb"[0-9]{1,20}", lengths[0]) and int(lengths[0]) < 2**63 else None
    return 0


class Request(NamedTuple):
    """One request of a stream."""

    method: str
    target: str  # as it is to be forwarded
    body: bytes
    size: int  # of all of it, on the wire
    complete: bool
    is_last: bool  # by its version and Connection


def by_grammar(data: bytes) -> Request | None:
    """The request that begins `data`; None: refused. Its head is whole."""
    head = HEAD.match(data)
    kind = head and framing(head)
    if head is None or kind is None or (head["target"] == b"*" and head["method"] != b"OPTIONS"):
        return None
    target = forwarded(head["target"])
    if target is None:
        return None
    if isinstance(kind, int):
        body, size, complete = data[head.end() : head.end() + kind], head.end() + kind, head.end() + kind <= len(data)
    else:
        chunks = unchunked(data, head.end())
        if chunks is None:
            return None
        body, size = chunks
        complete = True
    tokens = {
        token.strip(b" \t").lower()
        for line in head["fields"].split(b"\r\n")
        if line.lower().startswith(b"connection:")
        for token in line.partition(b":")[2].split(b",")
    }
    is_last = b"close" in tokens or (head["minor"] == b"0" and b"keep-alive" not in tokens)
    return Request(head["method"].decode(), target, body, size, complete, is_last)


def unchunked(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The payload of the chunked body at `at`, and where it ends; None: refused, or not all there."""
    payload = b""
    while True:
        line = CHUNK.match(data, at)
        if line is None or int(line["size"], 16) >= 2**63:
            return None
        at, size = line.end(), int(line["size"], 16)
        if size == 0:
            break
        payload += data[at : at + size]
        if data[at + size : at + size + 2] != b"\r\n":
            return None
        at += size + 2
    trailers = TRAILERS.match(data, at)
    return None if trailers is None else (payload, trailers.end())


# Escapes of what is unreserved: letters, digits and -._~ (RFC 3986 section 2.3).
NEEDLESS = re.compile(rb"%(?:2[dDeE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])")


def plain(segment: bytes) -> bytes:
    """Without escapes that nothing asks for (RFC 3986 section 6.2.2.2)."""
    return NEEDLESS.sub(lambda found: unquote_to_bytes(found[0]), segment)


def forwarded(target: bytes) -> str | None:
    """The target without scheme, host and dot segments (RFC 3986 section 5.2.4); None: it leads above the root."""
    if target == b"*":
        return "*"
    path, mark, query = re.sub(rb"^[a-zA-Z]+://[^/?]*", b"", target).partition(b"?")
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for i, segment in enumerate(segments):
        dots = segment.replace(b"%2e", b".").replace(b"%2E", b".")
        if dots == b".." and not kept:
            return None
        if dots == b"..":
            kept.pop()
        elif dots != b".":
            kept.append(plain(segment))
        if dots in (b".", b"..") and i == len(segments) - 1:
            kept.append(b"")
    return (b"/" + b"/".join(kept) + mark + query).decode()

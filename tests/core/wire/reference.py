"""What h11 makes of the same bytes. The differences that are meant are written here, one reason each."""
import re
from dataclasses import dataclass
from typing import Literal

import h11

from hotpath.core.wire.probe import Body, Broken, RequestHead, ResponseHead, parse_request, parse_response

Side = Literal["request", "response"]
HUGE = 2**30
WIDE = {"line": HUGE, "head": HUGE, "fields": 256}


@dataclass(frozen=True)
class Message:
    """A head and what came of its body; `complete`: its end was seen."""

    first: tuple[bytes, ...]
    fields: tuple[tuple[bytes, bytes], ...]
    payload: bytes
    complete: bool


class RefusedError(Exception):
    """Not HTTP, or not whole."""


class TrailerRefusedError(RefusedError):
    """h11 gives Content-Length and Transfer-Encoding a meaning in trailers; we check their form and drop them."""


def theirs(data: bytes, side: Side) -> Message:
    """The first message in `data` as h11 reads it; RefusedError when it does not."""
    connection = h11.Connection(h11.SERVER if side == "request" else h11.CLIENT, max_incomplete_event_size=HUGE)
    if side == "response":
        # h11 takes a 101 only as the answer to an upgrade.
        upgrade = [("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "x")]
        connection.send(h11.Request(method="GET", target="/", headers=upgrade))
        connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(data)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise RefusedError(str(error)) from None
    if isinstance(event, h11.Request):
        first = (event.method, event.target, event.http_version)
    elif isinstance(event, (h11.Response, h11.InformationalResponse)):
        first = (b"%d" % event.status_code, bytes(event.reason), event.http_version)
    else:
        raise RefusedError(repr(event))
    fields = tuple((bytes(name), bytes(value)) for name, value in event.headers.raw_items())
    if isinstance(event, h11.InformationalResponse):
        return Message(first, fields, b"", True)
    payload = b""
    try:
        while isinstance(event := connection.next_event(), h11.Data):
            payload += event.data
    except h11.RemoteProtocolError as error:
        in_trailers = any(name in str(error) for name in ("Content-Length", "Transfer-Encoding"))
        raise (TrailerRefusedError if in_trailers else RefusedError)(str(error)) from None
    return Message(first, fields, payload, isinstance(event, h11.EndOfMessage))


def ours(data: bytes, side: Side, *, strict: bool) -> Message:
    """The first message in `data` as our kernels read it; RefusedError when they do not."""
    parse = parse_request if side == "request" else parse_response
    head = parse(data, strict=strict, **WIDE)
    if head is None or isinstance(head, Broken):
        raise RefusedError(repr(head))
    body = Body(head.framing, length=head.content_length, strict=strict, max_trailers=HUGE)
    _, payload = body.feed(data[head.consumed:])
    if body.error:
        raise RefusedError(body.error)
    fields = tuple((field.name, unfolded(field.value) if field.folded else field.value) for field in head.fields)
    return Message(first_line(head), fields, payload, body.done)


def first_line(head: RequestHead | ResponseHead) -> tuple[bytes, ...]:
    version = b"%d.%d" % head.version
    if isinstance(head, RequestHead):
        return (head.method, head.target, version)
    return (b"%d" % head.status, head.reason, version)


def unfolded(value: bytes) -> bytes:
    """Each further line loses its blanks in front and is joined by one space: RFC 9112 section 5.2, as h11 does it."""
    first, *others = [line.removesuffix(b"\r") for line in value.split(b"\n")]
    return b"".join([first, *(b" " + line.lstrip(b" \t") for line in others)])


def as_h11_shows(message: Message) -> Message:
    """h11 lowers Transfer-Encoding, and shows of all equal lengths only the first field, as one number."""
    shown: list[tuple[bytes, bytes]] = []
    lengths = 0
    for name, value in message.fields:
        if name.lower() == b"transfer-encoding":
            shown.append((name, value.lower()))
        elif name.lower() == b"content-length":
            lengths += 1
            if lengths == 1:
                shown.append((name, value.split(b",")[0].strip()))
        else:
            shown.append((name, value))
    return Message(message.first, tuple(shown), message.payload, message.complete)


def tidied(data: bytes, side: Side) -> bytes:
    """Without what STRICT takes and h11 refuses: a CRLF in front of a request, blanks before a response's colon."""
    if side == "request":
        return data.removeprefix(b"\r\n")
    head, end, body = data.partition(b"\r\n\r\n")
    return re.sub(rb"(?m)^([^\s:]+)[ \t]+:", rb"\1:", head) + end + body


def we_alone_refuse_rightly(data: bytes, side: Side) -> bool:
    """Our H11 rules refuse it though h11 does not: a length or chunk size beyond 2**63-1, more than 256 fields."""
    parse = parse_request if side == "request" else parse_response
    head = parse(data, strict=False, **WIDE)
    if isinstance(head, Broken):
        return head.error == "too many fields" or (
            "Content-Length" in head.error and any(len(run) > 18 for run in runs_of_digits(data)))
    if head is None:
        return False
    body = Body(head.framing, length=head.content_length, strict=False, max_trailers=HUGE)
    body.feed(data[head.consumed:])
    return body.error == "chunk size beyond 2**63-1"


def runs_of_digits(data: bytes) -> list[bytes]:
    return bytes(byte if 0x30 <= byte <= 0x39 else 0x20 for byte in data).split()

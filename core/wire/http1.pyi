"""HTTP/1.1 for Python: h11's names, on the kernels of head.pyx and body.pyx.

`Connection` and the events are h11 0.16's, in both roles: the same events in the same order, the same states, errors
and status hints. Where we differ, we refuse more, or sooner:

- Events do not depend on how the bytes were cut. So `max_incomplete_event_size` bounds heads, trailers and the
  extensions of a chunk however they arrive; h11 lets through what arrives whole. `chunk_start` and `chunk_end` are
  always told.
- A head of more than 256 fields, and a length or chunk size beyond 2**63-1, are refused.
- A fault is reported when it is seen; h11 waits for the end of the head or the line.
- A reason with a line end or NUL is a LocalProtocolError; h11 sends it.
- `Data.data` is always bytes. Of a body, framing that was read is not in `trailing_data` any more.
- Error messages are our own. Events are no dataclasses: dataclasses.replace() and fields() do not take them.

scan_request and scan_response ask how far the kernels read these bytes.
"""
from typing_extensions import Buffer

from hotpath.core.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from hotpath.core.wire.h11.connection import Connection
from hotpath.core.wire.h11.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    Event,
    InformationalResponse,
    Request,
    Response,
)
from hotpath.core.wire.h11.sentinels import (
    CLIENT,
    CLOSED,
    DONE,
    ERROR,
    IDLE,
    MIGHT_SWITCH_PROTOCOL,
    MUST_CLOSE,
    NEED_DATA,
    PAUSED,
    SEND_BODY,
    SEND_RESPONSE,
    SERVER,
    SWITCHED_PROTOCOL,
)

__all__ = (
    "CLIENT",
    "CLOSED",
    "DONE",
    "ERROR",
    "IDLE",
    "MIGHT_SWITCH_PROTOCOL",
    "MUST_CLOSE",
    "NEED_DATA",
    "PAUSED",
    "SEND_BODY",
    "SEND_RESPONSE",
    "SERVER",
    "SWITCHED_PROTOCOL",
    "Connection",
    "ConnectionClosed",
    "Data",
    "EndOfMessage",
    "Event",
    "InformationalResponse",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "Request",
    "Response",
    "scan_request",
    "scan_response",
)

def scan_request(data: Buffer, strict: bool = True, repeat: int = 1) -> int:
    """Bytes of the request head that `data` begins with; -2: not whole yet, -1: broken."""

def scan_response(data: Buffer, strict: bool = True, repeat: int = 1) -> int:
    """As scan_request, for the head of a response to a GET."""

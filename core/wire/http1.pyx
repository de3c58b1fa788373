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
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

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
from hotpath.core.wire.head cimport H11, MAX_FIELDS, METHOD_GET, NEED_MORE, STRICT, Head, Limits, parse_request, parse_response

__all__ = (
    "CLIENT",
    "CLOSED",
    "Connection",
    "ConnectionClosed",
    "DONE",
    "Data",
    "ERROR",
    "EndOfMessage",
    "Event",
    "IDLE",
    "InformationalResponse",
    "LocalProtocolError",
    "MIGHT_SWITCH_PROTOCOL",
    "MUST_CLOSE",
    "NEED_DATA",
    "PAUSED",
    "ProtocolError",
    "RemoteProtocolError",
    "Request",
    "Response",
    "SEND_BODY",
    "SEND_RESPONSE",
    "SERVER",
    "SWITCHED_PROTOCOL",
    "scan_request",
    "scan_response",
)


cdef Limits as_wide_as_possible() noexcept nogil:
    cdef Limits limits
    limits.line = limits.head = 0x7fffffff
    limits.fields = MAX_FIELDS
    return limits


def scan_request(object data, bint strict=True, int repeat=1) -> int:
    """Bytes of the request head that `data` begins with; -2: not whole yet, -1: broken. Parses `repeat` times, for benchmarks.

    `data` is anything with a contiguous buffer. No limits but the parser's capacity of 256 fields.
    """
    return scan(data, strict, repeat, False)


def scan_response(object data, bint strict=True, int repeat=1) -> int:
    """As scan_request, for the head of a response to a GET."""
    return scan(data, strict, repeat, True)


cdef Py_ssize_t scan(object data, bint strict, int repeat, bint is_response) except? -1:
    cdef Limits limits = as_wide_as_possible()
    cdef int rules = STRICT if strict else H11
    cdef Py_buffer view
    cdef Py_ssize_t consumed = NEED_MORE
    cdef Head head
    cdef int i
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        for i in range(repeat):
            if is_response:
                consumed = parse_response(<const unsigned char*> view.buf, view.len, 0, &limits, rules, METHOD_GET, &head)
            else:
                consumed = parse_request(<const unsigned char*> view.buf, view.len, 0, &limits, rules, &head)
    PyBuffer_Release(&view)
    return consumed

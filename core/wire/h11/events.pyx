"""What happens on an HTTP/1.1 connection: one class per event, whose values never change.

What a caller makes is checked here; what the parser makes was checked while it was read. As in h11, events compare by value,
and those with headers or data can be neither hashed nor pickled.
"""
cimport cython

from hotpath.core.errors import LocalProtocolError
from hotpath.core.wire.h11.headers cimport NO_HEADERS, Headers, as_bytes, checked_headers, is_token, is_visible


cdef class Event:
    """Whatever next_event() answers and send() takes."""

    cdef tuple values(self):
        return ()

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self.values() == (<Event> other).values()


@cython.auto_pickle(False)
cdef class Request(Event):
    """The head of a request. `method` and `target` are str or bytes; `headers` Headers or pairs."""

    __match_args__ = ("method", "headers", "target", "http_version")

    def __init__(self, *, method, headers, target, http_version=b"1.1"):
        cdef int hosts = 0
        cdef tuple item
        self.headers = checked_headers(headers)
        self.method = as_bytes(method)
        self.target = as_bytes(target)
        self.http_version = as_bytes(http_version)
        # RFC 9112 section 3.2.
        for item in self.headers.full_items():
            hosts += <bytes> item[1] == b"host"
        if hosts == 0 and self.http_version == b"1.1":
            raise LocalProtocolError("a request needs a Host header")
        if hosts > 1:
            raise LocalProtocolError("more than one Host header")
        if not is_token(self.method):
            raise LocalProtocolError("illegal method characters")
        if not is_visible(self.target):
            raise LocalProtocolError("illegal target characters")

    cdef tuple values(self):
        return self.method, self.headers, self.target, self.http_version

    def __repr__(self) -> str:
        return (f"Request(method={self.method!r}, headers={self.headers!r}, target={self.target!r}, "
                f"http_version={self.http_version!r})")


@cython.auto_pickle(False)
cdef class ResponseBase(Event):
    """What both kinds of response hold."""

    __match_args__ = ("headers", "http_version", "reason", "status_code")

    cdef int take(self, object headers, object status_code, object http_version, object reason, int low, int high) except -1:
        self.headers = checked_headers(headers)
        self.reason = as_bytes(reason)
        self.http_version = as_bytes(http_version)
        if not isinstance(status_code, int):
            raise LocalProtocolError("status code must be an integer")
        if not low <= status_code < high:
            raise LocalProtocolError(f"the status code of {type(self).__name__} is from {low} to {high - 1}, not {status_code}")
        self.status_code = int(status_code)     # an HTTPStatus shows itself as a word
        # h11 sends it; what comes behind a line end would be a header of its own.
        if b"\r" in self.reason or b"\n" in self.reason or b"\0" in self.reason:
            raise LocalProtocolError(f"illegal reason {self.reason!r}")
        return 0

    cdef tuple values(self):
        return self.headers, self.http_version, self.reason, self.status_code

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(headers={self.headers!r}, http_version={self.http_version!r}, "
                f"reason={self.reason!r}, status_code={self.status_code!r})")


@cython.auto_pickle(False)
cdef class InformationalResponse(ResponseBase):
    """The head of an interim response: 100 to 199."""

    def __init__(self, *, headers, status_code, http_version=b"1.1", reason=b""):
        self.take(headers, status_code, http_version, reason, 100, 200)


@cython.auto_pickle(False)
cdef class Response(ResponseBase):
    """The head of a response: 200 to 999."""

    def __init__(self, *, headers, status_code, http_version=b"1.1", reason=b""):
        self.take(headers, status_code, http_version, reason, 200, 1000)


@cython.auto_pickle(False)
cdef class Data(Event):
    """A piece of a body. `chunk_start`, `chunk_end`: a chunk of what was received begins or ends with it.

    What was received is bytes. send() takes what is like bytes, send_with_data_passthrough() anything with a length.
    """

    __match_args__ = ("data", "chunk_start", "chunk_end")

    def __init__(self, data, bint chunk_start=False, bint chunk_end=False):
        self.data = data
        self.chunk_start = chunk_start
        self.chunk_end = chunk_end

    cdef tuple values(self):
        return self.data, self.chunk_start, self.chunk_end

    def __repr__(self) -> str:
        return f"Data(data={self.data!r}, chunk_start={self.chunk_start}, chunk_end={self.chunk_end})"


@cython.auto_pickle(False)
cdef class EndOfMessage(Event):
    """The body is whole. `headers`: its trailers, which only a chunked body can have."""

    __match_args__ = ("headers",)

    def __init__(self, *, headers=None):
        self.headers = NO_HEADERS if headers is None else checked_headers(headers)

    cdef tuple values(self):
        return (self.headers,)

    def __repr__(self) -> str:
        return f"EndOfMessage(headers={self.headers!r})"


@cython.auto_pickle(False)
cdef class ConnectionClosed(Event):
    """The sender has closed; it may still read."""

    __match_args__ = ()

    def __hash__(self) -> int:
        return hash(())

    def __eq__(self, other):
        return True if type(other) is type(self) else NotImplemented

    def __reduce__(self):
        return ConnectionClosed, ()

    def __repr__(self) -> str:
        return "ConnectionClosed()"

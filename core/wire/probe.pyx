"""What the HTTP/1.1 kernels answer, as Python values: for tests, tools and reading. Servers call the kernels themselves."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from hotpath.core.wire cimport body as body_kernel, head as head_kernel
from hotpath.core.wire.body cimport BODY_DONE, Piece, body_next, body_start
from hotpath.core.wire.head cimport (
    BROKEN,
    CONNECTION_CLOSE,
    CONNECTION_KEEP_ALIVE,
    CONNECTION_NOMINATES,
    CONNECTION_UPGRADE,
    FIELD_FOLDED,
    FIELD_UNDERSCORE,
    H11,
    METHOD_CONNECT,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_OTHER,
    N_NAMES,
    NEED_MORE,
    STRICT,
    Field,
    Limits,
    Span,
)

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeadField:
    """One field line. `known` is the kernel's number for the name, 0 for any other."""

    name: bytes
    value: bytes
    known: int
    underscore: bool
    folded: bool


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A whole request head; `consumed` bytes, with its empty line."""

    consumed: int
    method: bytes
    method_id: int
    target: bytes
    form: str
    path: bytes
    query: bytes | None
    host: bytes
    path_is_plain: bool
    version: tuple[int, int]
    framing: str
    content_length: int
    connection: frozenset[str]
    keep_alive: bool
    expects_continue: bool
    expects_other: bool
    upgrades_websocket: bool
    fields: tuple[HeadField, ...]
    first: dict[int, int]


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A whole response head; `consumed` bytes, with its empty line."""

    consumed: int
    status: int
    reason: bytes
    version: tuple[int, int]
    framing: str
    content_length: int
    connection: frozenset[str]
    keep_alive: bool
    upgrades_websocket: bool
    fields: tuple[HeadField, ...]
    first: dict[int, int]


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer broke the protocol or a limit; `status` is what to answer."""

    status: int
    error: str


FORMS = ("origin", "absolute", "authority", "asterisk")
FRAMINGS = ("none", "length", "chunked", "until-close")


cdef bytes text(const unsigned char* data, Span span):
    return data[span.at:span.at + span.size]


cdef tuple fields_of(const unsigned char* data, const head_kernel.Head* head):
    cdef list fields = []
    cdef const Field* field
    cdef int i
    for i in range(head.n_fields):
        field = &head.fields[i]
        fields.append(HeadField(
            name=data[field.name_at:field.name_at + field.name_size],
            value=data[field.value_at:field.value_at + field.value_size],
            known=field.known,
            underscore=field.flags & FIELD_UNDERSCORE != 0,
            folded=field.flags & FIELD_FOLDED != 0,
        ))
    return tuple(fields)


cdef dict what_both_have(const unsigned char* data, Py_ssize_t consumed, const head_kernel.Head* head):
    bits = (("close", CONNECTION_CLOSE), ("keep-alive", CONNECTION_KEEP_ALIVE),
            ("upgrade", CONNECTION_UPGRADE), ("nominates", CONNECTION_NOMINATES))
    return {
        "consumed": consumed,
        "version": (head.major, head.minor),
        "framing": FRAMINGS[head.framing],
        "content_length": head.content_length,
        "connection": frozenset([name for name, bit in bits if head.connection & bit]),
        "keep_alive": head.keep_alive != 0,
        "upgrades_websocket": head.upgrades_websocket != 0,
        "fields": fields_of(data, head),
        "first": {name: head.first[<int> name] - 1 for name in range(N_NAMES) if head.first[<int> name]},
    }


cdef Limits limits_of(object line, object size, object fields):
    cdef Limits limits
    limits.line, limits.head, limits.fields = line, size, fields
    return limits


def parse_request(
    object data, *, bint strict=True, size_t seen=0, unsigned int line=8192, unsigned int head=32768, unsigned int fields=100
) -> RequestHead | Broken | None:
    """The request head that `data` begins with; None: not whole yet.

    `seen` is the size given at the last None; `line` and `head` are limits in bytes, `fields` in field lines.
    """
    cdef head_kernel.Head parsed
    cdef Limits limits = limits_of(line, head, fields)
    cdef Py_buffer view
    cdef const unsigned char* bytes_
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        bytes_ = <const unsigned char*> view.buf
        consumed = head_kernel.parse_request(bytes_, view.len, seen, &limits, STRICT if strict else H11, &parsed)
        if consumed == NEED_MORE:
            return None
        if consumed == BROKEN:
            return Broken(parsed.error_status, parsed.error.decode())
        return RequestHead(
            method=text(bytes_, parsed.method),
            method_id=parsed.method_id,
            target=text(bytes_, parsed.target),
            form=FORMS[parsed.form],
            path=text(bytes_, parsed.path),
            query=text(bytes_, parsed.query) if parsed.has_query else None,
            host=text(bytes_, parsed.host),
            path_is_plain=parsed.path_is_plain != 0,
            expects_continue=parsed.expects_continue != 0,
            expects_other=parsed.expects_other != 0,
            **what_both_have(bytes_, consumed, &parsed),
        )
    finally:
        PyBuffer_Release(&view)


def parse_response(
    object data, *, bytes method=b"GET", bint strict=True, size_t seen=0, unsigned int line=8192, unsigned int head=32768,
    unsigned int fields=100,
) -> ResponseHead | Broken | None:
    """The head of the response to a `method` request that `data` begins with; None: not whole yet. Limits as in parse_request."""
    cdef head_kernel.Head parsed
    cdef Limits limits = limits_of(line, head, fields)
    cdef Py_buffer view
    cdef const unsigned char* bytes_
    method_id = {b"GET": METHOD_GET, b"HEAD": METHOD_HEAD, b"CONNECT": METHOD_CONNECT}.get(method, METHOD_OTHER)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        bytes_ = <const unsigned char*> view.buf
        consumed = head_kernel.parse_response(
            bytes_, view.len, seen, &limits, STRICT if strict else H11, method_id, &parsed)
        if consumed == NEED_MORE:
            return None
        if consumed == BROKEN:
            return Broken(parsed.error_status, parsed.error.decode())
        return ResponseHead(
            status=parsed.status,
            reason=text(bytes_, parsed.reason),
            **what_both_have(bytes_, consumed, &parsed),
        )
    finally:
        PyBuffer_Release(&view)


@cython.auto_pickle(False)      # it holds a pointer to static text
cdef class Body:
    """A body as it comes in: give it bytes, get payload."""

    cdef body_kernel.Body state

    def __init__(self, str framing, *, long long length=0, bint strict=True, unsigned int max_trailers=32768) -> None:
        """`framing` and `length` are those of a parsed head: none, length, chunked or until-close, else ValueError."""
        body_start(&self.state, FRAMINGS.index(framing), length, STRICT if strict else H11, max_trailers)

    @property
    def done(self) -> bool:
        """The body is complete; what follows is the next message."""
        return self.state.phase == BODY_DONE

    @property
    def error(self) -> str | None:
        """What the peer did wrong; None while nothing."""
        return None if self.state.error == NULL else self.state.error.decode()

    def feed(self, object data) -> tuple[int, bytes]:
        """Take bytes until the body is done or broken: how many were taken, and the payload among them."""
        cdef Py_buffer view
        cdef Piece piece
        cdef Py_ssize_t at = 0, consumed
        cdef const unsigned char* bytes_
        cdef list payload = []
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        bytes_ = <const unsigned char*> view.buf
        while at < view.len:
            consumed = body_next(&self.state, bytes_ + at, view.len - at, &piece)
            if consumed <= 0:
                break
            payload.append(bytes_[at + piece.data.at:at + piece.data.at + piece.data.size])
            at += consumed
        PyBuffer_Release(&view)
        return at, b"".join(payload)


def reason_phrase(int status) -> str:
    """The usual reason phrase of a status (RFC 9110 section 15); "" for an unknown one."""
    return head_kernel.reason_phrase(status).decode()

"""What a handler answers with: checked and encoded when it is made, so that one made once can be sent a million times."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from hotpath.core.errors import LocalProtocolError

import os
import re
from collections.abc import Mapping

import msgspec

cdef dict TYPE_LINES = {}       # content type: its line; what does not repeat is not kept
cdef dict BEGINNINGS = {}       # name of a field that may be set: "Name: "; as many as of those
cdef enum:
    MAX_TYPE_LINES = 256
    MAX_LINES_BYTES = 60000     # of all fields: no client takes more, and a head fits loop_t.scratch

# RFC 9110 sections 5.1 and 5.5. A value without CR, LF or NUL cannot end its line: no response is split.
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# They frame the message and end the connection: ours to say.
OURS = frozenset(("connection", "content-length", "date", "keep-alive", "proxy-connection", "trailer", "transfer-encoding"))


def field_line(name: str, value: str) -> bytes:
    """`Name: value` and its CRLF. Raises LocalProtocolError for what would be another field, or none."""
    if NAME.fullmatch(name) is None:
        raise LocalProtocolError(f"{name!r} is not a field name")
    if VALUE.fullmatch(value) is None:
        raise LocalProtocolError(f"the value of {name} holds a control character, or more than Latin-1: {value!r}")
    return f"{name}: {value}\r\n".encode("latin-1")


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


# Whether these bytes are printable ASCII: then they need no other check, and no encoding.
cdef bint is_printable(const char* at, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        if not 0x20 <= <unsigned char>at[i] < 0x7F:
            return False
    return True


cdef bytes quick_line(str name, str value):
    """As field_line, for a name that was checked before and a printable value; None: ask field_line."""
    cdef bytes beginning = BEGINNINGS.get(name)
    cdef Py_ssize_t n_name, n_value
    cdef const char* at
    cdef char* out
    cdef bytes line
    if beginning is None or not value.isascii():
        return None
    at = PyUnicode_AsUTF8AndSize(value, &n_value)
    if not is_printable(at, n_value):
        return None
    n_name = PyBytes_GET_SIZE(beginning)
    line = PyBytes_FromStringAndSize(NULL, n_name + n_value + 2)
    out = PyBytes_AS_STRING(line)
    memcpy(out, PyBytes_AS_STRING(beginning), n_name)
    memcpy(out + n_name, at, n_value)
    out[n_name + n_value], out[n_name + n_value + 1] = c"\r", c"\n"
    return line


cdef bytes type_line(str content_type):
    cdef bytes line = TYPE_LINES.get(content_type)
    if line is None:
        line = field_line("Content-Type", content_type)
        if len(TYPE_LINES) < MAX_TYPE_LINES:
            TYPE_LINES[content_type] = line
    return line


cdef class Response:
    """A status, fields and a body: bytes, a str (sent as UTF-8), or an iterable of these that is sent piece by piece.

    `headers`: a mapping, or (name, value) pairs where one comes more than once. `content_type` is guessed for bytes and str.
    An iterable leaves in chunks, to HTTP/1.0 until the close, or framed by a Content-Length in `headers`; its `close()` is
    called when it has one. Raises LocalProtocolError for a field that would break the message, ValueError for a status.
    """

    def __init__(self, object body=b"", int status=200, object headers=(), str content_type=None):
        cdef list lines = []
        if not 200 <= status <= 599:
            raise ValueError(f"status {status}: a final status is 200 to 599")
        self.status = status
        self.body = body
        self.length = -1
        self.bodiless = status == 204 or status == 304
        if type(body) is bytes:
            self.content = <bytes>body
            if content_type is None and self.content:
                content_type = "application/octet-stream"
        elif isinstance(body, str):
            self.content = (<str>body).encode()
            if content_type is None:
                content_type = "text/plain; charset=utf-8"
        elif body is None:
            self.content = b""
        elif isinstance(body, (bytes, bytearray, memoryview)):
            self.content = bytes(body)
            if content_type is None:
                content_type = "application/octet-stream"
        elif not hasattr(body, "__iter__"):
            raise TypeError(f"a body is bytes, str or an iterable of them, not {type(body).__name__}")
        if content_type is not None:
            lines.append(type_line(content_type))
        if headers:
            # A tuple first: to ask an abstract class takes longer than to write the fields.
            for name, value in headers.items() if type(headers) is not tuple and isinstance(headers, Mapping) else headers:
                self.take_field(name, value, lines)
        if self.bodiless and self.content is not None and self.content:
            raise LocalProtocolError(f"a response of status {status} has no body")
        self.lines = b"".join(lines) if len(lines) != 1 else lines[0]
        if len(self.lines) > MAX_LINES_BYTES:
            raise LocalProtocolError(f"the fields are longer than {MAX_LINES_BYTES} bytes")

    def take_field(self, str name, object value, list lines) -> None:
        cdef bytes line
        value = str(value)
        line = quick_line(name, value)
        if line is not None:
            lines.append(line)
            return
        lower = name.lower()
        if lower in OURS:
            if lower == "content-length" and self.content is None and re.fullmatch("[0-9]{1,18}", value):
                self.length = int(value)
                return
            if lower == "connection" and value.lower() == "close":
                self.closes = True
                return
            raise LocalProtocolError(f"{name} is the server's to say")
        lines.append(field_line(name, value))
        if len(BEGINNINGS) < MAX_TYPE_LINES:
            BEGINNINGS[name] = f"{name}: ".encode()

    def add_header(self, str name, object value) -> None:
        """One more field, behind those it has."""
        cdef list lines = []
        self.take_field(name, value, lines)
        if len(self.lines) + sum(map(len, lines)) > MAX_LINES_BYTES:
            raise LocalProtocolError(f"the fields are longer than {MAX_LINES_BYTES} bytes")
        self.lines += b"".join(lines)

    @property
    def headers(self) -> list:
        """(name, value) of each field it brings, Content-Type among them; the server adds framing and Date."""
        return [tuple(line.split(": ", 1)) for line in self.lines.decode("latin-1").split("\r\n") if line]

    @staticmethod
    def json(object value, int status=200, object headers=()) -> Response:
        """`value` as application/json: what msgspec encodes, so dataclasses, Structs and dates too."""
        return Response(msgspec.json.encode(value), status, headers, "application/json")


cdef class FileResponse(Response):
    """`size` bytes from `offset` of an open file, sent by the kernel. Owns `fd`; -1: there is nothing to send."""

    def __cinit__(self, *args, **options):
        self.fd = -1

    def __init__(self, int fd, int64_t offset, int64_t size, int status=200, object headers=(), str content_type=None):
        Response.__init__(self, b"", status, headers, content_type)
        self.fd, self.offset, self.size = fd, offset, size

    def __dealloc__(self):
        if self.fd >= 0:
            os.close(self.fd)

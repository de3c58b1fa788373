"""Events as the bytes that go out: heads and chunks, each put together in one piece."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from hotpath.core.errors import LocalProtocolError
from hotpath.core.wire.h11.events cimport Request, ResponseBase
from hotpath.core.wire.h11.headers cimport Headers


cdef bytes request_head(Request request):
    if request.http_version != b"1.1":
        raise LocalProtocolError("only HTTP/1.1 is sent")
    return head_bytes(request.method, b" ", request.target, b" HTTP/1.1\r\n", request.headers)


# A reason is optional, the blank before it is not: RFC 9112 section 4.
cdef bytes response_head(ResponseBase response):
    cdef char[4] digits
    if response.http_version != b"1.1":
        raise LocalProtocolError("only HTTP/1.1 is sent")
    digits[0] = <char> (c"0" + response.status_code // 100)
    digits[1] = <char> (c"0" + response.status_code // 10 % 10)
    digits[2] = <char> (c"0" + response.status_code % 10)
    digits[3] = c" "
    return head_bytes(b"HTTP/1.1 ", digits[:4], response.reason, b"\r\n", response.headers)


cdef bytes last_chunk(Headers trailers):
    return head_bytes(b"0\r\n", b"", b"", b"", trailers)


# The first line in four parts, then the fields: Host first, as RFC 9110 section 7.2 wishes.
cdef bytes head_bytes(bytes first, bytes second, bytes third, bytes fourth, Headers headers):
    cdef list items = headers.full_items()
    cdef tuple item
    cdef char* p
    cdef bytes made
    cdef Py_ssize_t size = len(first) + len(second) + len(third) + len(fourth) + 2
    for item in items:
        size += PyBytes_GET_SIZE(<bytes> item[0]) + PyBytes_GET_SIZE(<bytes> item[2]) + 4
    made = PyBytes_FromStringAndSize(NULL, size)
    p = put(put(put(put(PyBytes_AS_STRING(made), first), second), third), fourth)
    for item in items:
        if <bytes> item[1] == b"host":
            p = put_field(p, <bytes> item[0], <bytes> item[2])
    for item in items:
        if <bytes> item[1] != b"host":
            p = put_field(p, <bytes> item[0], <bytes> item[2])
    memcpy(p, b"\r\n", 2)
    return made


cdef char* put(char* p, bytes text) noexcept:
    memcpy(p, PyBytes_AS_STRING(text), <size_t> PyBytes_GET_SIZE(text))
    return p + PyBytes_GET_SIZE(text)


cdef char* put_field(char* p, bytes name, bytes value) noexcept:
    p = put(p, name)
    memcpy(p, b": ", 2)
    p = put(p + 2, value)
    memcpy(p, b"\r\n", 2)
    return p + 2


cdef bytes chunk_size_line(Py_ssize_t size):
    cdef char[20] line
    return line[:write_size_line(line, size)]


cdef bytes chunk(bytes data):
    cdef char[20] line
    cdef int n = write_size_line(line, PyBytes_GET_SIZE(data))
    cdef bytes made = PyBytes_FromStringAndSize(NULL, n + PyBytes_GET_SIZE(data) + 2)
    cdef char* p = PyBytes_AS_STRING(made)
    memcpy(p, line, <size_t> n)
    p = put(p + n, data)
    memcpy(p, b"\r\n", 2)
    return made


# At most 16 digits, CR and LF. Returns how many bytes.
cdef int write_size_line(char* line, Py_ssize_t size) noexcept nogil:
    cdef const char* digits = b"0123456789abcdef"
    cdef int n = 1, i
    while size >> 4 * n:
        n += 1
    for i in range(n):
        line[i] = digits[size >> 4 * (n - 1 - i) & 15]
    line[n] = c"\r"
    line[n + 1] = c"\n"
    return n + 2

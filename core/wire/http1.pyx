"""HTTP/1.1 for Python: how far do the kernels of head.pyx read these bytes?"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from hotpath.core.wire.head cimport H11, MAX_FIELDS, METHOD_GET, NEED_MORE, STRICT, Head, Limits, parse_request, parse_response


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

# cython: language_level=3
"""A filter that writes each byte as two hexadecimal digits and holds bytes back; compiled by test_stream_filter.py."""
from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove

from hotpath.core.net.stream cimport (
    STREAM_FAILED, STREAM_NOTHING, SEND_LATER, SEND_MORE, SEND_NOW, How, Stream, filter_t, socket_recv, socket_send, stream_t,
    stream_try, stream_unfilter)

cdef enum:
    WIRE_BYTES = 4096


cdef struct hex_t:
    filter_t filter             # first
    uint8_t kept[WIRE_BYTES]    # received, not handed out
    size_t n_kept
    size_t most                 # bytes that one recv hands out

cdef int n_open = 0


cdef uint8_t value_of(uint8_t digit) noexcept nogil:
    return digit - c"0" if digit <= c"9" else digit - c"a" + 10

cdef Py_ssize_t hex_recv(stream_t* stream, uint8_t* data, size_t size) noexcept nogil:
    cdef hex_t* hex = <hex_t*>stream.filter
    cdef Py_ssize_t got
    cdef size_t i, n
    if hex.n_kept < 2:
        got = socket_recv(stream, hex.kept + hex.n_kept, WIRE_BYTES - hex.n_kept)
        if got == 0:
            if hex.n_kept:
                return STREAM_FAILED        # half a byte: cut short
            stream.ended = True
            return 0
        if got < 0:
            stream.readable = False
            return got
        hex.n_kept += got
    n = min(min(size, hex.most), hex.n_kept // 2)
    if n == 0:
        stream.readable = stream.arrived
        return STREAM_NOTHING if not stream.arrived else hex_recv(stream, data, size)
    for i in range(n):
        data[i] = value_of(hex.kept[2 * i]) << 4 | value_of(hex.kept[2 * i + 1])
    hex.n_kept -= 2 * n
    memmove(hex.kept, hex.kept + 2 * n, hex.n_kept)
    stream.readable = stream.arrived or hex.n_kept >= 2
    return <Py_ssize_t>n

cdef Py_ssize_t hex_send(stream_t* stream, const uint8_t* data, size_t size, How how) noexcept nogil:
    cdef uint8_t wire[WIRE_BYTES]
    cdef const char* digits = "0123456789abcdef"
    cdef size_t i, n
    cdef Py_ssize_t left = stream.n_unsent
    while size:
        n = min(size, <size_t>(WIRE_BYTES // 2))
        for i in range(n):
            wire[2 * i] = <uint8_t>digits[data[i] >> 4]
            wire[2 * i + 1] = <uint8_t>digits[data[i] & 15]
        data += n
        size -= n
        left = socket_send(stream, wire, 2 * n, SEND_MORE if size and how == SEND_NOW else how)
        if left < 0:
            return left
    return left

cdef void hex_shut(stream_t* stream) noexcept nogil:
    socket_send(stream, b"!", 1, SEND_LATER)

cdef void hex_close(stream_t* stream) noexcept nogil:
    global n_open
    free(stream.filter)
    n_open -= 1


def put_filter(Stream stream, size_t most):
    """Put one on `stream`, which hands out at most `most` bytes at a time."""
    global n_open
    cdef hex_t* hex = <hex_t*>calloc(1, sizeof(hex_t))
    hex.filter.recv, hex.filter.send, hex.filter.shut, hex.filter.close = hex_recv, hex_send, hex_shut, hex_close
    hex.most = most
    stream.c.stream.filter = &hex.filter
    n_open += 1

def take_filter(Stream stream):
    """Take it off again."""
    stream_unfilter(&stream.c.stream)

def try_once(Stream stream, bytes data):
    """stream_try."""
    return stream_try(&stream.c.stream, data, <size_t>len(data))

def count_open():
    """Filters that are on a stream."""
    return n_open

def size_of_stream():
    return sizeof(stream_t)

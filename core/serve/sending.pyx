"""Bodies that may be more than the client takes at once: the producer waits for a slow reader."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from hotpath.core.net.epoll cimport SCRATCH_BYTES
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_send, stream_sendfile
from hotpath.core.serve.answer cimport put
from hotpath.core.serve.connection cimport WAITS_NOT, WAITS_TURN, connection_arm, connection_lost, connection_t
from hotpath.core.tasks.task cimport give_way

import logging

from hotpath.core.errors import Cancelled, LocalProtocolError

log = logging.getLogger(__name__)

cdef enum:
    SLICE_BYTES = 262144        # offered to the kernel at once; what it does not take is copied
    TURN_BYTES = 1 << 20        # of one client before the others have their turn
    FILE_BYTES = 1 << 20        # of a file per call
    FRAMING_BYTES = 32          # a size line, and CRLF behind the data


# Sends, then waits if that was more than the client takes.
cdef int push(Exchange exchange, const uint8_t* data, size_t size, bint more) except -1:
    cdef connection_t* connection = exchange.connection
    cdef size_t before
    cdef Py_ssize_t left
    if connection.stream.source.fd < 0:
        raise Cancelled
    before = connection.stream.n_unsent
    left = stream_send(&connection.stream, data, size, more)
    if left == STREAM_FAILED:
        connection_lost(connection)
        raise Cancelled
    connection.server.counts.bytes_sent[0] += size
    if left and (before == 0 or <size_t>left < before + size):      # else nothing was taken, and its time runs on
        connection_arm(connection, connection.server.limits.send_ms)
    if left > connection.server.limits.high_water:
        exchange.await_room()
    return pass_turn(exchange, size)


cdef int pass_turn(Exchange exchange, size_t size) except -1:
    exchange.given += <uint32_t>min(size, <size_t>TURN_BYTES)
    if exchange.given >= TURN_BYTES:
        exchange.given = 0
        exchange.connection.waits = WAITS_TURN
        try:
            give_way()
        finally:
            exchange.connection.waits = WAITS_NOT
        if exchange.connection.stream.source.fd < 0:
            raise Cancelled
    return 0


cdef int send_content(Exchange exchange, bytes content) except -1:
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(content)
    cdef size_t left = PyBytes_GET_SIZE(content), size
    while left:
        size = min(left, <size_t>SLICE_BYTES)
        push(exchange, data, size, left > size)
        exchange.body_sent += <int64_t>size
        data += size
        left -= size
    return 0


# Room for framing is before and behind the data in scratch, so that a piece leaves in one send.
cdef int send_chunk(Exchange exchange, bytes piece) except -1:
    cdef uint8_t* scratch = exchange.connection.server.loop.scratch
    cdef size_t size = PyBytes_GET_SIZE(piece)
    cdef const char* digits = "0123456789abcdef"
    cdef uint8_t line[20]
    cdef size_t rest = size
    cdef int at = 18
    line[18] = c"\r"
    line[19] = c"\n"
    while True:
        at -= 1
        line[at] = <uint8_t>digits[rest & 15]
        rest >>= 4
        if rest == 0:
            break
    cdef uint8_t* out = put(scratch, &line[at], 20 - at)
    if size <= SCRATCH_BYTES - FRAMING_BYTES:
        out = put(out, PyBytes_AS_STRING(piece), size)
        out = put(out, b"\r\n", 2)
        push(exchange, scratch, out - scratch, False)
        exchange.body_sent += <int64_t>size
        return 0
    push(exchange, scratch, out - scratch, True)
    send_content(exchange, piece)
    push(exchange, <const uint8_t*>b"\r\n", 2, False)
    return 0


cdef int send_pieces(Exchange exchange, Response response, bint chunked) except -1:
    cdef int64_t left = response.length
    cdef bytes piece
    for item in response.body:
        # memoryview: bytes(3) would be three zeros.
        piece = (<str>item).encode() if isinstance(item, str) else item if type(item) is bytes else bytes(memoryview(item))
        if not piece:
            continue
        if response.length >= 0:
            left -= len(piece)
            if left < 0:
                raise LocalProtocolError(f"the body is longer than its Content-Length {response.length}")
        if chunked:
            send_chunk(exchange, piece)
        else:
            send_content(exchange, piece)
    if left > 0:
        raise LocalProtocolError(f"the body is shorter than its Content-Length {response.length}")
    if chunked:
        push(exchange, <const uint8_t*>b"0\r\n\r\n", 5, False)
    return 0


cdef int send_file(Exchange exchange, FileResponse response) except -1:
    cdef connection_t* connection = exchange.connection
    cdef int64_t offset = response.offset, left = response.size
    cdef Py_ssize_t n
    while left:
        if connection.stream.source.fd < 0:
            raise Cancelled
        if connection.stream.n_unsent:
            exchange.await_room()
            continue
        n = stream_sendfile(&connection.stream, response.fd, &offset, <size_t>min(left, <int64_t>FILE_BYTES))
        if n == STREAM_NOTHING:
            exchange.await_room()
            continue
        if n <= 0:                          # it broke, or the file shrank: the client must see that something is missing
            connection_lost(connection)
            raise Cancelled
        left -= n
        exchange.body_sent += n
        connection.server.counts.bytes_sent[0] += <uint64_t>n
        pass_turn(exchange, n)
    return 0

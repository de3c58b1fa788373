"""Frames on their way to a client: queued, sent together, and given up when it takes too little."""
from libc.stdint cimport int64_t, uint8_t

from hotpath.core.net.epoll cimport loop_defer
from hotpath.core.net.stream cimport STREAM_FAILED, stream_put, stream_send, stream_send_both
from hotpath.core.serve.connection cimport REJECTED_SLOW_READER, connection_lost, connection_t
from hotpath.core.wire.ws.frame cimport MAX_FRAME_HEAD, write_frame_head

cdef enum:
    GATHER_BYTES = 16384        # from here on a send of its own is cheaper than a copy


cdef bint socket_put(socket_t* socket, const uint8_t* frame, size_t size) noexcept nogil:
    cdef connection_t* connection = socket.connection
    cdef Py_ssize_t left
    if connection == NULL or socket.phase >= CLOSE_SENT or connection.stream.source.fd < 0:
        return False
    left = connection.stream.n_unsent
    if left and (left + size > socket.options.max_unsent or socket_is_stale(socket)):
        return socket_cut_off(socket)
    return add(socket, frame, size) and count(socket, size)


cdef bint socket_put_frame(socket_t* socket, uint8_t first, const uint8_t* data, size_t size) noexcept nogil:
    cdef connection_t* connection = socket.connection
    cdef uint8_t head[MAX_FRAME_HEAD]
    cdef Py_ssize_t left, n = write_frame_head(head, first, size, NULL)
    if connection.stream.source.fd < 0:
        return False
    if socket_is_stale(socket):
        return socket_cut_off(socket)
    if size >= GATHER_BYTES:
        return is_kept(connection, stream_send_both(&connection.stream, head, n, data, size)) and count(socket, n + size)
    if stream_put(&connection.stream, head, n) == STREAM_FAILED:
        connection_lost(connection)
        return False
    return add(socket, data, size) and count(socket, n + size)


cdef bint add(socket_t* socket, const uint8_t* data, size_t size) noexcept nogil:
    cdef connection_t* connection = socket.connection
    if connection.stream.n_unsent + size < GATHER_BYTES:
        return is_kept(connection, stream_put(&connection.stream, data, size))
    return is_kept(connection, stream_send(&connection.stream, data, size, False))


cdef bint is_kept(connection_t* connection, Py_ssize_t left) noexcept nogil:
    """What did not leave at once is sent at the end of the turn; what the kernel does not take even then, is timed from there."""
    if left == STREAM_FAILED:
        connection_lost(connection)
        return False
    if left:
        loop_defer(connection.server.loop, &connection.flushing)
    return True


cdef bint count(socket_t* socket, size_t size) noexcept nogil:
    socket.total_put += size
    socket.connection.server.counts.bytes_sent[0] += size
    return True


cdef bint socket_cut_off(socket_t* socket) noexcept nogil:
    socket.connection.server.counts.rejected[<int>REJECTED_SLOW_READER] += 1
    connection_lost(socket.connection)
    return False


cdef bint socket_is_stale(socket_t* socket) noexcept nogil:
    """Has some byte waited longer than allowed? One mark at a time is followed through the queue, so up to twice as long."""
    cdef connection_t* connection = socket.connection
    cdef int64_t now_ms = connection.server.loop.now_ms
    if connection.stream.n_unsent == 0:
        socket.marked_ms = 0
    elif socket.marked_ms == 0 or socket.total_put >= socket.mark + connection.stream.n_unsent:
        socket.mark, socket.marked_ms = socket.total_put, now_ms
    return socket.marked_ms != 0 and socket.options.age_ms != 0 and now_ms - socket.marked_ms > socket.options.age_ms

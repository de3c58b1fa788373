"""A connected socket: reads that know when it is empty, writes that never block and never get lost."""
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport UINT32_MAX
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport buffer_give, buffer_take
from hotpath.core.net.linux cimport *
from hotpath.core.net.epoll cimport loop_add, loop_arm, loop_close, loop_disarm

cdef enum:
    PIECE_BYTES = 65000         # of what is kept unsent: fits the largest pooled buffer
    LINGER_MS = 2000            # proxy and RFC 9112 9.6: long enough for our answer to cross the world and be acknowledged
    DISCARD_BYTES = 65536       # a client that still sends after our FIN is not worth reading longer


cdef int stream_open(stream_t* stream, loop_t* loop, int fd, uint8_t rank, bint connected,
                     void (*on_events)(Source*, uint32_t) noexcept nogil) noexcept nogil:
    stream.source.on_events = on_events
    stream.source.fd = fd
    stream.source.rank = rank
    stream.loop = loop
    stream.unsent = stream.unsent_last = NULL
    stream.n_unsent = stream.linger_ms = stream.n_discarded = 0
    stream.readable = stream.ended = stream.hung = stream.shut = False
    stream.writable = stream.opened = connected
    return loop_add(loop, &stream.source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | <uint32_t>EPOLLET)


cdef void stream_note(stream_t* stream, uint32_t events) noexcept nogil:
    if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        stream.hung = stream.readable = True
    elif events & EPOLLOUT:
        stream.opened = True
    if events & EPOLLIN:
        stream.readable = True
    if events & EPOLLOUT:
        stream.writable = True


cdef Py_ssize_t stream_recv(stream_t* stream, uint8_t* data, size_t size) noexcept nogil:
    cdef Py_ssize_t n
    if stream.ended:
        return 0
    if not stream.readable:
        return STREAM_NOTHING
    while True:
        n = recv(stream.source.fd, data, size, MSG_DONTWAIT)
        if n > 0:
            # Whatever arrives after a short read is a new edge. A hang-up seen already brings none: read to the end.
            if <size_t>n < size and not stream.hung:
                stream.readable = False
            return n
        if n == 0:
            stream.ended = True
            return 0
        if errno == EAGAIN:
            stream.readable = False
            return STREAM_NOTHING
        if errno != EINTR:
            return STREAM_FAILED


# Bytes the kernel took, at most `size`, or STREAM_FAILED. Less than `size`: its buffer is full, an edge will come.
cdef Py_ssize_t send_some(stream_t* stream, const uint8_t* data, size_t size, bint more) noexcept nogil:
    cdef Py_ssize_t n
    while True:
        n = send(stream.source.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT | (MSG_MORE if more else 0))
        if n < 0 and errno == EINTR:
            continue
        if n < 0 and errno == EAGAIN:
            n = 0
        if n < 0:
            return STREAM_FAILED
        if <size_t>n < size:
            stream.writable = False
        return n


cdef Py_ssize_t stream_put(stream_t* stream, const uint8_t* data, size_t size) noexcept nogil:
    cdef Buffer* buffer = stream.unsent_last
    cdef size_t piece
    if size > UINT32_MAX - stream.n_unsent:
        return STREAM_FAILED
    stream.n_unsent += <uint32_t>size
    while size > 0:
        if buffer == NULL or buffer.end == buffer.capacity:
            buffer = buffer_take(stream.loop, min(size, <size_t>PIECE_BYTES))
            if buffer == NULL:
                return STREAM_FAILED
            if stream.unsent == NULL:
                stream.unsent = buffer
            else:
                stream.unsent_last.next = buffer
            stream.unsent_last = buffer
        piece = min(size, <size_t>(buffer.capacity - buffer.end))
        memcpy(buffer.data + buffer.end, data, piece)
        buffer.end += <uint32_t>piece
        data += piece
        size -= piece
    return stream.n_unsent


cdef Py_ssize_t flush(stream_t* stream, bint more) noexcept nogil:
    cdef Buffer* buffer
    cdef Py_ssize_t n
    while stream.unsent != NULL and stream.writable:
        buffer = stream.unsent
        n = send_some(stream, buffer.data + buffer.start, buffer.end - buffer.start, more or buffer.next != NULL)
        if n < 0:
            return STREAM_FAILED
        buffer.start += <uint32_t>n
        stream.n_unsent -= <uint32_t>n
        if buffer.start == buffer.end:
            stream.unsent = buffer.next
            buffer.next = NULL
            buffer_give(stream.loop, buffer)
    if stream.unsent == NULL:
        stream.unsent_last = NULL
        if stream.shut == SHUT_WANTED:
            stream.shut = SHUT_SENT
            shutdown(stream.source.fd, SHUT_WR)
    return stream.n_unsent


cdef Py_ssize_t stream_flush(stream_t* stream) noexcept nogil:
    return flush(stream, False)


cdef Py_ssize_t stream_send(stream_t* stream, const uint8_t* data, size_t size, bint more) noexcept nogil:
    cdef Py_ssize_t n = 0
    if stream.shut:
        return STREAM_FAILED
    if stream.unsent != NULL and flush(stream, True) < 0:
        return STREAM_FAILED
    if stream.unsent == NULL and stream.writable and size > 0:
        n = send_some(stream, data, size, more)
        if n < 0 or <size_t>n == size:
            return min(n, 0)
    return stream_put(stream, data + n, size - n)


cdef Py_ssize_t stream_sendfile(stream_t* stream, int file_fd, int64_t* offset, size_t size) noexcept nogil:
    cdef Py_ssize_t n
    if stream.unsent != NULL or not stream.writable:
        return STREAM_NOTHING
    while True:
        # It knows no MSG_NOSIGNAL; Python ignores SIGPIPE.
        n = sendfile(stream.source.fd, file_fd, <off_t*>offset, size)
        if n >= 0:
            return n
        if errno == EAGAIN:
            stream.writable = False
            return STREAM_NOTHING
        if errno != EINTR:
            return STREAM_FAILED


cdef int stream_error(stream_t* stream) noexcept nogil:
    cdef int error = 0
    cdef socklen_t size = sizeof(error)
    if getsockopt(stream.source.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0:
        return errno
    return error


cdef bint stream_is_quiet(stream_t* stream) noexcept nogil:
    cdef uint8_t byte
    return recv(stream.source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 and errno == EAGAIN


cdef void stream_shut(stream_t* stream) noexcept nogil:
    if not stream.shut:
        stream.shut = SHUT_WANTED
        flush(stream, False)    # a failure shows again on the next read


cdef void stream_close(stream_t* stream) noexcept nogil:
    buffer_give(stream.loop, stream.unsent)
    stream.unsent = stream.unsent_last = NULL
    stream.n_unsent = 0
    loop_disarm(stream.loop, &stream.deadline)
    loop_close(stream.loop, &stream.source)


# True: gone.
cdef bint linger_on(stream_t* stream) noexcept nogil:
    cdef uint8_t waste[4096]
    cdef Py_ssize_t n = 1
    cdef uint32_t before = stream.n_unsent
    if flush(stream, False) < 0:
        return True
    if stream.n_unsent != before:
        loop_arm(stream.loop, &stream.deadline, stream.loop.now_ms + stream.linger_ms)
    while n > 0:
        n = stream_recv(stream, waste, sizeof(waste))
        if n > 0:
            stream.n_discarded += <uint32_t>n
            if stream.n_discarded > DISCARD_BYTES:
                return True
    return n == STREAM_FAILED or (n == 0 and stream.n_unsent == 0)


cdef void linger_end(stream_t* stream) noexcept nogil:
    stream_close(stream)
    stream.on_gone(stream)


cdef void on_linger_events(Source* source, uint32_t events) noexcept nogil:
    cdef stream_t* stream = <stream_t*>source
    stream_note(stream, events)
    if linger_on(stream):
        linger_end(stream)


cdef void on_linger_due(Deadline* deadline) noexcept nogil:
    cdef stream_t model         # for where the deadline stands in it
    linger_end(<stream_t*>(<size_t>deadline - (<size_t>&model.deadline - <size_t>&model)))


cdef void stream_linger_for(stream_t* stream, uint32_t linger_ms, void (*on_gone)(stream_t*) noexcept nogil) noexcept nogil:
    stream.on_gone = on_gone
    stream.linger_ms = linger_ms
    stream.source.on_events = on_linger_events
    stream.deadline.on_due = on_linger_due
    loop_arm(stream.loop, &stream.deadline, stream.loop.now_ms + linger_ms)
    stream_shut(stream)
    if linger_on(stream):
        linger_end(stream)


cdef void stream_linger(stream_t* stream, void (*on_gone)(stream_t*) noexcept nogil) noexcept nogil:
    stream_linger_for(stream, LINGER_MS, on_gone)

"""A connected socket: reads that know when it is empty, writes that never block and never get lost."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, EIO, ENOMEM, EPIPE, errno
from libc.stdint cimport UINT32_MAX
from libc.string cimport memcpy, memset

from hotpath.core.net.buffer cimport buffer_give, buffer_take
from hotpath.core.net.linux cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_PEEK,
    SHUT_WR, SO_ERROR, SOL_SOCKET, getsockopt, off_t, iovec, msghdr, pread, recv, send, sendfile, sendmsg, shutdown, socklen_t, write)
from hotpath.core.net.epoll cimport (
    INBOX_BYTES, RANK_CLIENT, RANK_UPSTREAM, loop_add, loop_arm, loop_call, loop_close, loop_defer, loop_disarm)

import logging
import os
import socket

log = logging.getLogger(__name__)

cdef enum:
    PIECE_BYTES = 65000         # of what is kept unsent: fits the largest pooled buffer
    LINGER_MS = 2000            # long enough for our answer to cross the world and be acknowledged
    DISCARD_BYTES = 65536       # a client that still sends after our FIN is not worth reading longer
    GATHER_BYTES = 16384        # small writes of a turn are copied to leave together; from here on copying costs more than a call
    READ_BUDGET_BYTES = 262144  # of one stream in one turn: a fast sender must not starve the others
    FILE_BUDGET_BYTES = 1 << 20  # of one file in one turn
    FILTERED_BYTES = 32768      # of a file per call when a filter must see it: two TLS records


cdef int stream_open(stream_t* stream, loop_t* loop, int fd, uint8_t rank, bint connected,
                     void (*on_events)(Source*, uint32_t) noexcept nogil) noexcept nogil:
    stream.source.on_events = on_events
    stream.source.fd = fd
    stream.source.rank = rank
    stream.source.sole = loop.never_forks
    stream.loop = loop
    stream.unsent = stream.unsent_last = NULL
    stream.n_unsent = stream.linger_ms = stream.n_discarded = 0
    stream.readable = stream.ended = stream.hung = stream.shut = stream.arrived = False
    stream.writable = stream.opened = connected
    stream.filter = NULL
    return loop_add(loop, &stream.source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | <uint32_t>EPOLLET)


cdef void stream_note(stream_t* stream, uint32_t events) noexcept nogil:
    if events & EPOLLIN:
        stream.readable = stream.arrived = True
    if events & EPOLLOUT:
        stream.writable = True
        if not events & (EPOLLHUP | EPOLLERR):
            stream.opened = True
    if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        stream.hung = stream.readable = stream.arrived = True


# `waits` is the flag to clear when the socket is empty.
cdef Py_ssize_t recv_some(stream_t* stream, uint8_t* data, size_t size, uint8_t* waits) noexcept nogil:
    cdef Py_ssize_t n
    while True:
        n = recv(stream.source.fd, data, size, MSG_DONTWAIT)
        if n > 0:
            # Whatever arrives after a short read is a new edge. A hang-up seen already brings none: read to the end.
            if <size_t>n < size and not stream.hung:
                waits[0] = False
            return n
        if n == 0:
            return 0
        if errno == EAGAIN:
            waits[0] = False
            return STREAM_NOTHING
        if errno != EINTR:
            return STREAM_FAILED


cdef Py_ssize_t stream_recv(stream_t* stream, uint8_t* data, size_t size) noexcept nogil:
    cdef Py_ssize_t n
    if stream.ended:
        return 0
    if not stream.readable:
        return STREAM_NOTHING
    if stream.filter != NULL:
        return stream.filter.recv(stream, data, size)
    n = recv_some(stream, data, size, &stream.readable)
    if n == 0:
        stream.ended = True
    return n


cdef Py_ssize_t socket_recv(stream_t* stream, uint8_t* data, size_t size) noexcept nogil:
    return recv_some(stream, data, size, &stream.arrived) if stream.arrived else STREAM_NOTHING


cdef Py_ssize_t failed(int error) noexcept nogil:
    global errno
    errno = error
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
            stream.hung = stream.readable = stream.arrived = True   # what the peer said before it left may still be read
            return STREAM_FAILED
        if <size_t>n < size:
            stream.writable = False
        return n


cdef Py_ssize_t stream_try(stream_t* stream, const uint8_t* data, size_t size) noexcept nogil:
    if stream.filter != NULL:
        return try_filter(stream, data, size, SEND_NOW)
    return send_some(stream, data, size, False) if stream.writable else 0


# What is encrypted cannot be taken back.
cdef Py_ssize_t try_filter(stream_t* stream, const uint8_t* data, size_t size, How how) noexcept nogil:
    if not stream.writable or stream.unsent != NULL:
        return 0
    return <Py_ssize_t>size if stream.filter.send(stream, data, size, how) >= 0 else STREAM_FAILED


cdef Py_ssize_t stream_try_parts(stream_t* stream, iovec* parts, size_t n_parts, size_t size) noexcept nogil:
    cdef msghdr message
    cdef Py_ssize_t n = -1
    if not stream.writable:
        return 0
    if stream.filter != NULL:
        return try_filter_parts(stream, parts, n_parts, size)
    memset(&message, 0, sizeof(message))
    message.msg_iov, message.msg_iovlen = parts, n_parts
    while n < 0:
        n = sendmsg(stream.source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        if n < 0 and errno == EAGAIN:
            n = 0
        elif n < 0 and errno != EINTR:
            stream.hung = stream.readable = stream.arrived = True       # as in send_some
            return STREAM_FAILED
    if <size_t>n < size:
        stream.writable = False
    return n


cdef Py_ssize_t try_filter_parts(stream_t* stream, iovec* parts, size_t n_parts, size_t size) noexcept nogil:
    cdef size_t i
    if stream.unsent != NULL:
        return 0
    for i in range(n_parts):
        if stream.filter.send(stream, <uint8_t*>parts[i].iov_base, parts[i].iov_len, SEND_LATER) < 0:
            return STREAM_FAILED
    return <Py_ssize_t>size if flush(stream, False) >= 0 else STREAM_FAILED


cdef Py_ssize_t stream_put(stream_t* stream, const uint8_t* data, size_t size) noexcept nogil:
    return put(stream, data, size) if stream.filter == NULL else stream.filter.send(stream, data, size, SEND_LATER)


# Into `unsent`.
cdef Py_ssize_t put(stream_t* stream, const uint8_t* data, size_t size) noexcept nogil:
    cdef Buffer* buffer = stream.unsent_last
    cdef size_t piece
    if size > UINT32_MAX - stream.n_unsent:
        return failed(ENOMEM)
    stream.n_unsent += <uint32_t>size
    while size > 0:
        if buffer == NULL or buffer.end == buffer.capacity:
            buffer = buffer_take(stream.loop, min(size, <size_t>PIECE_BYTES))
            if buffer == NULL:
                return failed(ENOMEM)
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


cdef Py_ssize_t stream_send_both(stream_t* stream, const uint8_t* head, size_t head_size, const uint8_t* data,
                                 size_t size) noexcept nogil:
    cdef iovec parts[2]
    cdef Py_ssize_t n
    if stream.shut:
        return failed(EPIPE)
    if stream.filter != NULL:
        if stream.filter.send(stream, head, head_size, SEND_MORE) < 0:
            return STREAM_FAILED
        return stream.filter.send(stream, data, size, SEND_NOW)
    if stream.unsent != NULL and flush(stream, True) < 0:
        return STREAM_FAILED
    if stream.unsent != NULL or not stream.writable:
        return put(stream, data, size) if put(stream, head, head_size) >= 0 else STREAM_FAILED
    parts[0].iov_base, parts[0].iov_len = <void*>head, head_size
    parts[1].iov_base, parts[1].iov_len = <void*>data, size
    n = stream_try_parts(stream, parts, 2, head_size + size)
    if n < 0 or <size_t>n == head_size + size:
        return min(n, 0)
    if <size_t>n < head_size:
        if put(stream, head + n, head_size - n) < 0:
            return STREAM_FAILED
        n = <Py_ssize_t>head_size
    return put(stream, data + (n - head_size), size - (n - head_size))


cdef Py_ssize_t stream_send(stream_t* stream, const uint8_t* data, size_t size, bint more) noexcept nogil:
    if stream.shut:
        return failed(EPIPE)
    if stream.filter != NULL:
        return stream.filter.send(stream, data, size, SEND_MORE if more else SEND_NOW)
    return send_all(stream, data, size, more)


cdef Py_ssize_t socket_send(stream_t* stream, const uint8_t* data, size_t size, How how) noexcept nogil:
    return put(stream, data, size) if how == SEND_LATER else send_all(stream, data, size, how == SEND_MORE)


cdef Py_ssize_t send_all(stream_t* stream, const uint8_t* data, size_t size, bint more) noexcept nogil:
    cdef Py_ssize_t n = 0
    if stream.unsent != NULL and flush(stream, True) < 0:
        return STREAM_FAILED
    if stream.unsent == NULL and stream.writable and size > 0:
        n = send_some(stream, data, size, more)
        if n < 0 or <size_t>n == size:
            return min(n, 0)
    return put(stream, data + n, size - n)


# A filter must see the bytes.
cdef Py_ssize_t send_piece(stream_t* stream, int file_fd, int64_t* offset, size_t size) noexcept nogil:
    cdef uint8_t piece[FILTERED_BYTES]
    cdef Py_ssize_t n = -1
    while n < 0:
        n = pread(file_fd, piece, min(size, sizeof(piece)), offset[0])
        if n < 0 and errno != EINTR:
            return STREAM_FAILED
    if n > 0 and stream.filter.send(stream, piece, n, SEND_NOW) < 0:
        return STREAM_FAILED
    offset[0] += n
    return n


cdef Py_ssize_t stream_sendfile(stream_t* stream, int file_fd, int64_t* offset, size_t size) noexcept nogil:
    cdef Py_ssize_t n
    if stream.unsent != NULL or not stream.writable:
        return STREAM_NOTHING
    if stream.filter != NULL:
        return send_piece(stream, file_fd, offset, size)
    while True:
        # It knows no MSG_NOSIGNAL; Python ignores SIGPIPE.
        n = sendfile(stream.source.fd, file_fd, <off_t*>offset, size)
        if n >= 0:
            return n
        if errno == EAGAIN:
            stream.writable = False
            return STREAM_NOTHING
        if errno != EINTR:
            stream.hung = stream.readable = stream.arrived = True
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
        if stream.filter != NULL:
            stream.filter.shut(stream)
        stream.shut = SHUT_WANTED
        flush(stream, False)    # a failure shows again on the next read


cdef void stream_unfilter(stream_t* stream) noexcept nogil:
    if stream.filter != NULL:
        stream.filter.close(stream)
        stream.filter = NULL


cdef void stream_close(stream_t* stream) noexcept nogil:
    stream_unfilter(stream)
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
    stream_unfilter(stream)     # what still comes is discarded as it is
    if linger_on(stream):
        linger_end(stream)


cdef void stream_linger(stream_t* stream, void (*on_gone)(stream_t*) noexcept nogil) noexcept nogil:
    stream_linger_for(stream, LINGER_MS, on_gone)


# Sends what waits: bytes, then the file. Nothing here needs Python; what Python must hear is noted.
cdef void push(face_t* face) noexcept nogil:
    cdef Py_ssize_t n = 1
    cdef int64_t budget = FILE_BUDGET_BYTES
    if face.stream.n_unsent > 0 and stream_flush(&face.stream) < 0:
        face.error = errno
    while face.file_left > 0 and budget > 0 and n > 0:
        n = stream_sendfile(&face.stream, face.file_fd, &face.file_offset, <size_t>min(face.file_left, budget))
        if n > 0:
            face.file_left -= n
            budget -= n
        elif n != STREAM_NOTHING:
            face.error = EIO if n == 0 else errno   # the file was shorter than its announced size
    if (face.error or budget <= 0 or (face.stream.ended and face.stream.shut == SHUT_SENT)
            or (face.above and face.stream.n_unsent <= face.low_water and face.file_left == 0)):
        loop_call(face.stream.loop, &face.callback)


cdef void on_face_events(Source* source, uint32_t events) noexcept nogil:
    cdef face_t* face = <face_t*>source
    stream_note(&face.stream, events)
    if face.opening or (face.stream.readable and not face.paused):
        loop_call(face.stream.loop, &face.callback)
    if face.stream.writable and not face.opening:
        push(face)


cdef void flush_face(Deferred* deferred) noexcept nogil:
    cdef face_t model           # for where `flushing` stands in it
    cdef face_t* face = <face_t*>(<size_t>deferred - (<size_t>&model.flushing - <size_t>&model))
    if face.stream.source.fd >= 0 and not face.closing and not face.opening:
        push(face)


cdef void on_face_gone(stream_t* stream) noexcept nogil:
    loop_call(stream.loop, &(<face_t*>stream).callback)


cdef int run_face(Callback* callback) except -1:
    cdef Stream self = <Stream>callback.owner
    cdef face_t* face = &self.c
    cdef int error
    if face.stream.source.fd < 0:
        return self.tell_closed()
    if face.closing:
        return 0                # lingering: C does the rest
    if face.opening and not self.open():
        return 0
    push(face)
    if face.stream.readable and not face.paused:
        self.read_some()        # before an error of sending: the peer may have said why it left
    if face.error and not face.closing:
        return self.fail(face.error)
    if face.above and face.stream.n_unsent <= face.low_water and face.file_left == 0 and not face.closing:
        face.above = False
        self.told(self.on_drain, (self,))
    if face.told_end and not face.closing:
        error = stream_error(&face.stream)      # nothing is read behind the end that could tell of a reset
        if error:
            return self.fail(error)
        if face.stream.shut == SHUT_SENT:
            self.close()
    return 0


# A cycle through the loop is broken there; `loop` must live until our memory has left it.
@cython.no_gc_clear
cdef class Stream:
    """A connected socket on a loop, which keeps it alive until it is closed.

    Set what is wanted of `on_data(stream, data)`, `on_end(stream)`, `on_drain(stream)`, `on_open(stream)` and
    `on_close(stream, error)`; `owner` is yours. A callback that raises is logged, and its stream closed.
    """

    def __cinit__(self):
        self.c.stream.source.fd = -1

    def __init__(self, Loop loop, sock, *, bint connected=True):
        """Take `sock` over, a connected stream socket; `connected=False`: `on_open` tells when a connect succeeded."""
        if self.loop is not None:
            raise RuntimeError("a stream is made once")
        sock.setblocking(False)
        self.attach(loop, sock.fileno(), connected)
        sock.detach()

    def __dealloc__(self):
        if self.c.stream.source.fd >= 0:
            stream_close(&self.c.stream)

    cdef int attach(self, Loop loop, int fd, bint connected) except -1:
        cdef int result
        if loop.closed:
            raise RuntimeError("the loop is closed")
        result = stream_open(&self.c.stream, &loop.c, fd, RANK_CLIENT if connected else RANK_UPSTREAM, connected,
                             on_face_events)
        if result < 0:
            self.c.stream.source.fd = -1
            raise OSError(-result, os.strerror(-result))
        self.loop = loop
        self.c.opening = not connected
        self.c.callback.run = run_face
        self.c.callback.owner = <void*>self
        self.c.flushing.run = flush_face
        self.c.high_water = 65536
        self.c.low_water = 16384
        loop.streams.add(self)
        return 0

    @property
    def closed(self) -> bool:
        """No socket any more; `on_close` was told or is about to be."""
        return self.c.stream.source.fd < 0

    @property
    def n_unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self.c.stream.n_unsent + self.c.file_left

    @property
    def peer(self) -> object:
        """The other side's address, as `socket.getpeername` gives it. Raises OSError once the peer is gone."""
        borrowed = socket.socket(fileno=self.fileno())
        try:
            return borrowed.getpeername()
        finally:
            borrowed.detach()

    def fileno(self) -> int:
        """The socket's descriptor, still the stream's; -1 once closed."""
        return self.c.stream.source.fd

    def set_water(self, *, uint32_t high, uint32_t low) -> None:
        """`write` answers False above `high` bytes unsent; `on_drain` is then told at `low` or below."""
        if low > high:
            raise ValueError(f"low {low} is above high {high}")
        self.c.high_water, self.c.low_water = high, low

    def write(self, data) -> bool:
        """Send all of `data`, a bytes-like object. False: above high water, so wait for `on_drain`; or closed.

        Small writes of one turn leave together at its end. Raises RuntimeError behind `shut` or during `sendfile`.
        """
        cdef Py_buffer view
        if self.c.stream.source.fd < 0 or self.c.closing:
            return False
        if self.c.stream.shut or self.c.file_left > 0:
            raise RuntimeError("write after shut" if self.c.stream.shut else "write during sendfile")
        if PyBytes_CheckExact(data):
            return write_face(&self.c, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return write_face(&self.c, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def sendfile(self, int file_fd, *, int64_t offset, int64_t size) -> bool:
        """Send `size` bytes of a file behind what was written. False: it goes on; `on_drain` tells the end.

        `file_fd` must stay open until then. A file that is shorter closes the stream with EIO.
        """
        if self.c.stream.source.fd < 0 or self.c.closing:
            return False
        if self.c.stream.shut or self.c.file_left > 0:
            raise RuntimeError("sendfile after shut" if self.c.stream.shut else "sendfile during sendfile")
        self.c.file_fd, self.c.file_offset, self.c.file_left = file_fd, offset, size
        if not self.c.opening:
            push(&self.c)
        self.c.above = self.c.file_left > 0
        return not self.c.above

    def pause(self) -> None:
        """Tell no data until `resume`; the kernel's buffer fills, and the peer has to wait."""
        self.c.paused = True

    def resume(self) -> None:
        """Tell data again, also what came meanwhile."""
        self.c.paused = False
        if self.c.stream.source.fd >= 0 and self.c.stream.readable:
            loop_call(&self.loop.c, &self.c.callback)

    def shut(self) -> None:
        """Half-close: FIN behind what is unsent. Reading goes on; the stream closes when the peer ends too."""
        if self.c.stream.source.fd >= 0 and not self.c.closing:
            stream_shut(&self.c.stream)
            if self.c.told_end:
                loop_call(&self.loop.c, &self.c.callback)

    def is_quiet(self) -> bool:
        """Alive, with nothing to read: a connection at rest that can be used again."""
        return self.c.stream.source.fd >= 0 and stream_is_quiet(&self.c.stream)

    def close(self, double linger_s=0) -> None:
        """End it; `on_close` follows from the loop, once. No other callback does.

        At 0 the kernel is offered what is unsent once, and input not yet read makes it reset the connection. Else what is
        unsent is sent, then FIN, and input discarded, while the peer does something within `linger_s` (64 KiB at most).
        Closing again at 0 cuts a linger short.
        """
        if self.c.stream.source.fd < 0 or (self.c.closing and linger_s > 0):
            return
        self.c.file_left = 0
        self.c.closing = True
        if linger_s > 0:
            stream_linger_for(&self.c.stream, <uint32_t>(min(linger_s, 3600.0) * 1000), on_face_gone)
            return
        stream_flush(&self.c.stream)
        stream_close(&self.c.stream)
        loop_call(&self.loop.c, &self.c.callback)

    # False: still connecting, or failed to.
    cdef bint open(self) except -1:
        cdef int error
        if not self.c.stream.opened and not self.c.stream.hung:
            return False
        error = self.c.error or stream_error(&self.c.stream)   # a write may have taken the socket's error already
        if error:
            self.fail(error)
            return False
        self.c.opening = False
        self.told(self.on_open, (self,))
        return not self.c.closing

    cdef int told(self, object fn, tuple args) except -1:
        if fn is None:
            return 0
        try:
            fn(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            log.exception("callback=%r raised: its stream is closed", fn)
            self.close()
        return 0

    cdef int read_some(self) except -1:
        cdef Py_ssize_t n, budget = READ_BUDGET_BYTES
        cdef stream_t* stream = &self.c.stream
        while self.on_data is not None and not self.c.paused and stream.source.fd >= 0 and not self.c.closing:
            if budget <= 0:
                loop_call(&self.loop.c, &self.c.callback)
                return 0
            n = stream_recv(stream, self.loop.c.inbox, INBOX_BYTES)
            if n > 0:
                budget -= n
                self.told(self.on_data, (self, PyBytes_FromStringAndSize(<char*>self.loop.c.inbox, n)))
            elif n == STREAM_FAILED:
                return self.fail(errno)
            elif n == 0 and not self.c.told_end:
                self.c.told_end = True
                if self.on_end is None:
                    self.close()
                else:
                    self.told(self.on_end, (self,))
                return 0
            else:
                return 0
        return 0

    cdef int fail(self, int error) except -1:
        self.c.error = error
        self.c.closing = True
        stream_close(&self.c.stream)
        return self.tell_closed()

    cdef int tell_closed(self) except -1:
        if self.c.flushing.queued or self.c.callback.queued:    # the loop still points into our memory: next turn
            loop_call(&self.loop.c, &self.c.callback)
            return 0
        if self not in self.loop.streams:
            return 0
        self.loop.streams.remove(self)
        if self.gauge != NULL:
            self.gauge[0] -= 1
        fn = self.on_close
        self.on_open = self.on_data = self.on_end = self.on_drain = self.on_close = None
        return self.told(fn, (self, OSError(self.c.error, os.strerror(self.c.error)) if self.c.error else None))


cdef bint write_face(face_t* face, const uint8_t* data, size_t size) noexcept nogil:
    cdef Py_ssize_t n
    if face.stream.n_unsent + size < GATHER_BYTES:
        n = stream_put(&face.stream, data, size)
        loop_defer(face.stream.loop, &face.flushing)
    else:
        n = stream_send(&face.stream, data, size, False)
    if n < 0:
        face.error = errno
        loop_call(face.stream.loop, &face.callback)
        return False
    if n > face.high_water:
        face.above = True
    return not face.above

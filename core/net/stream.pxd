"""A connected socket: reads that know when it is empty, writes that never block and never get lost."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport Callback, Deadline, Deferred, Source, loop_t
from hotpath.core.net.linux cimport iovec
from hotpath.core.net.loop cimport Loop

cdef enum:
    STREAM_FAILED = -1          # reset, or any other socket error: close it
    STREAM_NOTHING = -2         # nothing waits; an edge will come
    SHUT_WANTED = 1
    SHUT_SENT = 2

# How a filter sends.
cdef enum How:
    SEND_NOW = 0
    SEND_MORE                   # another send follows in this turn (MSG_MORE)
    SEND_LATER                  # into `unsent`, for the next flush

cdef struct stream_t

# What stands between the socket and whoever reads and writes: TLS. It turns bytes into other bytes, and reaches the socket through
# socket_recv and socket_send below; what it holds back of the peer's it announces by stream.readable.
cdef struct filter_t:
    Py_ssize_t (*recv)(stream_t* stream, uint8_t* data, size_t size) noexcept nogil         # as stream_recv; the stream is readable
    Py_ssize_t (*send)(stream_t* stream, const uint8_t* data, size_t size, How how) noexcept nogil     # as stream_send, stream_put
    void (*shut)(stream_t* stream) noexcept nogil       # our last bytes go to `unsent`; once
    void (*close)(stream_t* stream) noexcept nogil      # frees it; sends nothing
    void* owner                 # the filter's own

cdef struct stream_t:
    Source source               # first: a Source* is a stream_t*
    Deadline deadline           # the owner's
    loop_t* loop                # borrowed: outlives the stream
    filter_t* filter            # owned; NULL: what is read and written are the socket's bytes
    Buffer* unsent              # owned chain, oldest first: accepted from the caller, not yet taken by the kernel
    Buffer* unsent_last         # borrowed: the chain's end
    uint32_t n_unsent           # bytes in it
    uint8_t readable            # an edge came and recv has not said "empty" since (edge-triggered: no second edge comes)
    uint8_t writable            # the kernel takes bytes
    uint8_t ended               # the peer's FIN was read
    uint8_t hung                # EPOLLRDHUP, EPOLLHUP or EPOLLERR was seen: a short read is not "empty"
    uint8_t shut                # our FIN: 0, SHUT_WANTED until what is unsent has left, SHUT_SENT
    uint8_t opened              # connected (an accepted socket is at once)
    uint8_t arrived             # as `readable`, of the socket alone: a filter may hold bytes when the socket has none
    uint32_t linger_ms          # stream_linger: how long the peer may take nothing
    uint32_t n_discarded        # stream_linger: bytes
    void (*on_gone)(stream_t* stream) noexcept nogil   # stream_linger's end: fd is closed, free the owner

# Registers `fd` once, edge-triggered, for IN | OUT | RDHUP. 0 or -errno (the fd stays the caller's).
# on_events must call stream_note first. Sets every member but the deadline, which must be disarmed, and on_gone.
cdef int stream_open(stream_t* stream, loop_t* loop, int fd, uint8_t rank, bint connected,
                     void (*on_events)(Source*, uint32_t) noexcept nogil) noexcept nogil
# Turns epoll's bits into the flags above.
cdef void stream_note(stream_t* stream, uint32_t events) noexcept nogil

# One recv. > 0: bytes read; 0: the peer's FIN (once, then always); STREAM_NOTHING without a system call while not readable.
cdef Py_ssize_t stream_recv(stream_t* stream, uint8_t* data, size_t size) noexcept nogil

# Takes all of it: one send, the rest is copied to `unsent` and leaves on the next writable edge (stream_flush).
# Bytes still unsent afterwards (0: all left), or STREAM_FAILED. `more`: another send follows in this turn (MSG_MORE).
cdef Py_ssize_t stream_send(stream_t* stream, const uint8_t* data, size_t size, bint more) noexcept nogil
# Bytes that the kernel took of these parts in one call, or STREAM_FAILED; nothing is kept of the rest. Less than all: an edge will
# come. For whoever keeps a queue of its own, while `unsent` is empty. (A filter takes all or nothing.)
cdef Py_ssize_t stream_try(stream_t* stream, const uint8_t* data, size_t size) noexcept nogil
cdef Py_ssize_t stream_try_parts(stream_t* stream, iovec* parts, size_t n_parts, size_t size) noexcept nogil
# As stream_send, of a head and what it heads, in one call.
cdef Py_ssize_t stream_send_both(stream_t* stream, const uint8_t* head, size_t head_size, const uint8_t* data, size_t size) noexcept nogil
# As stream_send, but nothing leaves before the next stream_flush or stream_send: small pieces of one turn share a packet.
cdef Py_ssize_t stream_put(stream_t* stream, const uint8_t* data, size_t size) noexcept nogil
cdef Py_ssize_t stream_flush(stream_t* stream) noexcept nogil                      # as above, of what is kept
# > 0 bytes of the file sent, 0: end of file, STREAM_NOTHING: wait for the writable edge, STREAM_FAILED.
cdef Py_ssize_t stream_sendfile(stream_t* stream, int file_fd, int64_t* offset, size_t size) noexcept nogil

# The socket's own bytes, for a filter: as stream_recv (0: the peer's FIN, at any time), as stream_send and stream_put.
cdef Py_ssize_t socket_recv(stream_t* stream, uint8_t* data, size_t size) noexcept nogil
cdef Py_ssize_t socket_send(stream_t* stream, const uint8_t* data, size_t size, How how) noexcept nogil
# Without its filter the stream goes on with the socket's bytes.
cdef void stream_unfilter(stream_t* stream) noexcept nogil

cdef int stream_error(stream_t* stream) noexcept nogil                             # SO_ERROR: after a connect
cdef bint stream_is_quiet(stream_t* stream) noexcept nogil                         # MSG_PEEK says: alive, nothing to read
cdef void stream_shut(stream_t* stream) noexcept nogil                             # FIN once nothing is unsent
cdef void stream_close(stream_t* stream) noexcept nogil                            # at once; gives buffers back, disarms
# Lingering close (RFC 9112 9.6): sends what is unsent, FIN, discards up to 64 KiB or until 2 s pass in which the peer takes
# nothing, then closes and calls on_gone. That may be before this returns: make it the last thing done with the stream.
cdef void stream_linger(stream_t* stream, void (*on_gone)(stream_t*) noexcept nogil) noexcept nogil
cdef void stream_linger_for(stream_t* stream, uint32_t linger_ms, void (*on_gone)(stream_t*) noexcept nogil) noexcept nogil

# A stream_t and what the Python object adds to it: all that C handlers touch.
cdef struct face_t:
    stream_t stream             # first
    Callback callback           # something to tell
    Deferred flushing           # at the end of the turn: small writes leave together
    uint32_t high_water         # bytes unsent above which write answers False
    uint32_t low_water          # bytes unsent at which on_drain is told
    int error                   # errno of a failed send, not yet told
    int file_fd                 # borrowed until file_left is 0
    int64_t file_offset
    int64_t file_left           # bytes of sendfile still to go
    uint8_t opening             # a connect is under way
    uint8_t paused
    uint8_t above               # on_drain is owed
    uint8_t closing             # close was called
    uint8_t told_end            # on_end was

cdef class Stream:
    cdef face_t c
    cdef readonly Loop loop
    cdef public object on_open
    cdef public object on_data
    cdef public object on_end
    cdef public object on_drain
    cdef public object on_close
    cdef public object owner
    cdef object listener        # the Listener that counts us in `gauge`, and keeps that alive
    cdef int64_t* gauge         # borrowed; NULL: nobody counts

    # Takes over `fd` (non-blocking). Raises OSError; the fd then stays the caller's.
    cdef int attach(self, Loop loop, int fd, bint connected) except -1
    cdef bint open(self) except -1
    cdef int told(self, object fn, tuple args) except -1
    cdef int read_some(self) except -1
    cdef int fail(self, int error) except -1
    cdef int tell_closed(self) except -1

"""Accepting: which worker takes the next connection?"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from hotpath.core.net.linux cimport sockaddr_storage
from hotpath.core.net.epoll cimport Callback, Deadline, Source, loop_t
from hotpath.core.net.loop cimport Loop
from hotpath.core.net.stream cimport Stream

cdef struct listener_t:
    Source source               # first
    Deadline deadline           # EMFILE: accepting pauses 100 ms. Too many of our own: looked at again at the next tick
    uint32_t allowance          # connections it may take although full, at the next look: nobody else seems to
    loop_t* loop                # borrowed
    # The owner takes `fd` (non-blocking, close-on-exec, TCP_NODELAY set on TCP) and counts it in `gauges`.
    void (*on_accept)(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil
    void* owner                 # borrowed, for on_accept
    int64_t* gauges             # borrowed shared memory: open connections, one cell per worker `stride` apart; NULL: no balancing
    uint32_t stride             # in int64_t
    int64_t* accepting          # borrowed shared memory, as gauges: 1 while that worker accepts; NULL: taken for granted
    uint32_t accepting_stride
    uint32_t n_workers
    uint32_t worker             # ours
    uint32_t limit              # open connections of this worker at which it pauses (needs gauges); 0: none
    void (*on_failed)(listener_t* listener, int error) noexcept nogil   # or NULL: out of descriptors or memory
    Source nudge                # its fd: owned, of an eventfd that all workers of this socket share; -1: none. See `leave` in accept.pyx
    uint8_t paused
    uint8_t failed              # its last try did, and it pauses: a nudge does not end that
    uint64_t n_failed           # accept errors (EMFILE, ENFILE, ENOBUFS, ENOMEM)

# Takes over the listening `fd` (non-blocking): level-triggered with EPOLLEXCLUSIVE, at most 16 accepts per wake. 0 or -errno.
# The owner has set on_accept, owner, on_failed, gauges, stride, accepting, accepting_stride, n_workers, worker, limit and nudge.fd.
cdef int listener_open(listener_t* listener, loop_t* loop, int fd) noexcept nogil
# Drain: accepts until EAGAIN, leaves the epoll set, closes our copy of the socket.
cdef void listener_drain(listener_t* listener) noexcept nogil
# True when this worker has more than min(others) + max(4, mean/8) connections: the next one is somebody else's.
cdef bint listener_is_full(listener_t* listener) noexcept nogil

cdef struct door_t:
    listener_t listener         # first
    Callback callback           # accepted sockets wait, or a failure does
    int error                   # errno of the last failure, not yet logged

cdef class Listener:
    cdef door_t c
    cdef readonly Loop loop
    cdef object on_stream
    cdef list accepted          # fds
    cdef int64_t[::1] gauges    # keeps listener_t.gauges alive
    cdef int64_t[::1] accepting
    cdef int64_t quiet_until_ms  # failures are logged once a second

    cdef void drop_nudge(self) noexcept
    cdef Stream stream_of(self, int fd)

"""Accepting: which worker takes the next connection?

Workers share one listening socket, and the kernel wakes the worker that registered last whenever it sleeps: left alone,
one takes nearly all. So a worker that has clearly more connections than another leaves the queue before it sleeps, unless it is
the last one there.
"""
cimport cython
from libc.errno cimport EAGAIN, EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, errno
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memset

from hotpath.core.net.linux cimport (
    EPOLLET, EPOLLEXCLUSIVE, EPOLLIN, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_NONBLOCK, TCP_NODELAY, accept4, setsockopt, sockaddr,
    sockaddr_storage, socklen_t, write)
from hotpath.core.net.epoll cimport RANK_ACCEPT, loop_add, loop_arm, loop_call, loop_close, loop_disarm, loop_remove
from hotpath.core.net.stream cimport Stream
from hotpath.core.net.wheel cimport TICK_MS

import logging
import os

log = logging.getLogger(__name__)

cdef enum:
    BATCH = 16                  # accepts per wake: the others are awake by then and want theirs
    MAX_ALLOWANCE = 1024        # of connections at one look, when nobody else takes any
    MAX_DRAINED = 65536         # the longest backlog there is; other workers empty the queue with us
    FAILED_PAUSE_MS = 100       # descriptors come back when connections end, not sooner because we ask
    LOG_PAUSE_MS = 1000
    MARGIN = 4                  # connections; below it, evening out costs more than it brings

cdef extern from *:
    """
    #define WORD_LOAD(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
    #define WORD_STORE(word, value) __atomic_store_n(word, value, __ATOMIC_SEQ_CST)
    """
    int64_t WORD_LOAD(int64_t* word) noexcept nogil
    void WORD_STORE(int64_t* word, int64_t value) noexcept nogil

cdef enum:                      # what ended a run of accepts
    TOOK_ALL                    # EAGAIN: the queue is empty
    TOOK_ENOUGH                 # as many as were asked for
    TOOK_SHARE                  # the next one is somebody else's
    OUT_OF_MEANS                # no descriptors, no memory
    IS_CLOSED                   # on_accept closed the listener, or the socket does not listen any more


cdef bint is_at_limit(listener_t* listener) noexcept nogil:
    return (listener.gauges != NULL and listener.limit > 0
            and listener.gauges[listener.worker * listener.stride] >= listener.limit)


cdef bint listener_is_full(listener_t* listener) noexcept nogil:
    cdef int64_t above, least = INT64_MAX, total = 0, count
    cdef uint32_t worker
    if listener.gauges == NULL:
        return False
    if is_at_limit(listener):
        return True
    if listener.n_workers < 2:
        return False
    for worker in range(listener.n_workers):
        count = listener.gauges[worker * listener.stride]
        total += count
        if worker != listener.worker and count < least:
            least = count
    above = listener.gauges[listener.worker * listener.stride] - least
    return above > MARGIN and above * 8 * listener.n_workers > total


# Looks at its share only behind an accept: the wake-up was given to us alone, and declining would leave it to nobody.
cdef int take(listener_t* listener, uint32_t n_most, bint share_only) noexcept nogil:
    cdef sockaddr_storage peer
    cdef socklen_t size
    cdef uint32_t _
    cdef int fd
    if is_at_limit(listener):
        return TOOK_SHARE
    for _ in range(n_most):
        peer.ss_family = 0
        size = sizeof(peer)
        fd = accept4(listener.source.fd, <sockaddr*>&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd >= 0:
            listener.on_accept(listener, fd, &peer)
            if listener.source.fd < 0:
                return IS_CLOSED
            if is_at_limit(listener) or (share_only and listener_is_full(listener)):
                return TOOK_SHARE
        elif errno == EAGAIN:
            return TOOK_ALL
        elif errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM:
            listener.n_failed += 1
            if listener.on_failed != NULL:
                listener.on_failed(listener, errno)
            return OUT_OF_MEANS
        elif errno == EBADF or errno == EINVAL or errno == ENOTSOCK:
            return IS_CLOSED
        # Anything else is the fate of one connection (accept(2), "Error handling"): the next may be fine.
    return TOOK_ENOUGH


cdef void say(listener_t* listener, bint accepts) noexcept nogil:
    if listener.accepting != NULL:
        WORD_STORE(&listener.accepting[listener.worker * listener.accepting_stride], accepts)


cdef bint others_accept(listener_t* listener) noexcept nogil:
    cdef uint32_t worker
    if listener.accepting == NULL:
        return True
    for worker in range(listener.n_workers):
        if worker != listener.worker and WORD_LOAD(&listener.accepting[worker * listener.accepting_stride]):
            return True
    return False


cdef void look_again(listener_t* listener, int64_t in_ms) noexcept nogil:
    if not listener.paused:
        listener.paused = True
        say(listener, False)
        loop_remove(listener.loop, &listener.source)
    loop_arm(listener.loop, &listener.deadline, listener.loop.now_ms + in_ms)


# The wake-up was ours alone (EPOLLEXCLUSIVE), and connections still wait: the others sleep, so one write wakes them.
cdef void wake_others(listener_t* listener) noexcept nogil:
    cdef uint64_t one = 1
    if listener.nudge.fd >= 0:
        write(listener.nudge.fd, &one, sizeof(one))


cdef void leave(listener_t* listener) noexcept nogil:
    # First out, then look: of two that leave at once, one sees that nobody would be left, and stays. What waits wakes it again.
    say(listener, False)
    if not is_at_limit(listener) and not others_accept(listener):
        say(listener, True)
        return
    look_again(listener, TICK_MS)
    wake_others(listener)


cdef void accept_some(listener_t* listener) noexcept nogil:
    cdef int outcome = take(listener, BATCH, True)
    if outcome == TOOK_SHARE:
        leave(listener)
    elif outcome == OUT_OF_MEANS or (outcome == IS_CLOSED and listener.source.fd >= 0):
        listener.failed = True
        look_again(listener, FAILED_PAUSE_MS)
        wake_others(listener)


cdef void on_connections(Source* source, uint32_t events) noexcept nogil:
    accept_some(<listener_t*>source)


cdef int join(listener_t* listener) noexcept nogil:
    cdef int result = loop_add(listener.loop, &listener.source, EPOLLIN | EPOLLEXCLUSIVE)
    listener.paused = result < 0
    listener.failed = False
    say(listener, not listener.paused)
    return result


# Had the others taken their share, nothing would wait by now. If something does, one of them is stuck or dead, or a
# wake-up was lost: we take it, and twice as many at each look for as long as that lasts.
cdef void on_pause_over(Deadline* deadline) noexcept nogil:
    cdef listener_t model       # for where the deadline stands in it
    cdef listener_t* listener = <listener_t*>(<size_t>deadline - (<size_t>&model.deadline - <size_t>&model))
    cdef int outcome
    if not listener_is_full(listener) or (not is_at_limit(listener) and not others_accept(listener)):
        listener.allowance = 1
        if join(listener) < 0:
            look_again(listener, FAILED_PAUSE_MS)
        return
    outcome = take(listener, listener.allowance, False)
    if outcome == TOOK_ENOUGH:
        listener.allowance = min(listener.allowance * 2, <uint32_t>MAX_ALLOWANCE)
    elif outcome == TOOK_ALL:
        listener.allowance = 1
    listener.failed = outcome == OUT_OF_MEANS
    if listener.source.fd >= 0:
        look_again(listener, FAILED_PAUSE_MS if listener.failed else TICK_MS)


# Edge-triggered and never read: every write is an edge for every worker, our own included.
cdef void on_nudge(Source* source, uint32_t events) noexcept nogil:
    cdef listener_t model       # for where the source stands in it
    cdef listener_t* listener = <listener_t*>(<size_t>source - (<size_t>&model.nudge - <size_t>&model))
    if listener.source.fd < 0 or listener.failed or listener_is_full(listener):
        return
    if listener.paused:
        loop_disarm(listener.loop, &listener.deadline)
        listener.allowance = 1
        if join(listener) < 0:
            look_again(listener, FAILED_PAUSE_MS)
            return
    accept_some(listener)


cdef int listener_open(listener_t* listener, loop_t* loop, int fd) noexcept nogil:
    cdef int one = 1, result
    listener.source.on_events = on_connections
    listener.source.fd = fd
    listener.source.rank = RANK_ACCEPT
    memset(&listener.deadline, 0, sizeof(Deadline))
    listener.deadline.on_due = on_pause_over
    listener.allowance = 1
    listener.loop = loop
    listener.n_failed = 0
    # Accepted sockets inherit it, which saves a call for each; a unix socket refuses, and needs none.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    if listener.nudge.fd >= 0:
        listener.nudge.on_events = on_nudge
        listener.nudge.rank = RANK_ACCEPT
        result = loop_add(loop, &listener.nudge, EPOLLIN | <uint32_t>EPOLLET)
        if result < 0:
            return result
    return join(listener)


cdef void listener_drain(listener_t* listener) noexcept nogil:
    if listener.source.fd < 0:
        return
    # We leave first: a wake-up that still came to us is honoured by the accepts behind it, and none comes after.
    if not listener.paused:
        loop_remove(listener.loop, &listener.source)
        listener.paused = True
    say(listener, False)
    loop_disarm(listener.loop, &listener.deadline)
    if listener.nudge.fd >= 0:
        loop_close(listener.loop, &listener.nudge)
    listener.limit = 0
    take(listener, MAX_DRAINED, False)
    loop_close(listener.loop, &listener.source)


cdef void on_door_accept(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil:
    if listener.gauges != NULL:
        listener.gauges[listener.worker * listener.stride] += 1
    with gil:
        (<Listener>listener.owner).accepted.append(fd)
    loop_call(listener.loop, &(<door_t*>listener).callback)


cdef void on_door_failed(listener_t* listener, int error) noexcept nogil:
    (<door_t*>listener).error = error
    loop_call(listener.loop, &(<door_t*>listener).callback)


cdef int run_door(Callback* callback) except -1:
    cdef Listener self = <Listener>callback.owner
    cdef Stream stream
    if self.c.error and self.loop.c.now_ms >= self.quiet_until_ms:
        self.quiet_until_ms = self.loop.c.now_ms + LOG_PAUSE_MS
        log.warning("accepting paused: error=%r failures=%d", os.strerror(self.c.error), self.c.listener.n_failed)
    self.c.error = 0
    while self.accepted:
        stream = self.stream_of(self.accepted.pop(0))
        if stream is not None:
            stream.told(self.on_stream, (stream,))
    if self.c.listener.source.fd < 0 and not self.c.callback.queued:    # else the loop still points at us
        self.loop.streams.discard(self)
    return 0


@cython.no_gc_clear             # as Stream: `loop` must live until our memory has left it
cdef class Listener:
    """Accepts on a listening socket and hands over each connection as a `Stream`; made by `Loop.listen`."""

    def __cinit__(self):
        self.c.listener.source.fd = self.c.listener.nudge.fd = -1

    def __init__(self, Loop loop, sock, on_stream, *, int64_t[::1] gauges=None, int64_t[::1] accepting=None, int workers=1,
                 int worker=0, int limit=0, int nudge=-1):
        """Accept on `sock`, which stays the caller's, until `close` or `drain`.

        `gauges`: int64 memory shared by `workers` processes, one equal share each, in whose first cell worker number
        `worker` counts its open streams; the one with clearly more than another leaves new connections to it. At `limit`
        open streams (0: none) it accepts no more. `nudge`: an eventfd (non-blocking, from before the fork; it stays the
        caller's) by which a worker that leaves connections to the others wakes them. `accepting`: as `gauges`, says who accepts, so that
        the last one never leaves. Raises OSError, ValueError for numbers that do not fit.
        """
        cdef int result, fd
        if self.loop is not None:
            raise RuntimeError("a listener is made once")
        if loop.closed:
            raise RuntimeError("the loop is closed")
        if not 0 <= worker < workers or limit < 0:
            raise ValueError(f"worker {worker} of {workers}, limit {limit}")
        if gauges is not None and (len(gauges) == 0 or len(gauges) % workers):
            raise ValueError(f"{len(gauges)} gauges for {workers} workers")
        if accepting is not None and (len(accepting) == 0 or len(accepting) % workers):
            raise ValueError(f"{len(accepting)} cells to say who accepts for {workers} workers")
        if gauges is None and (workers > 1 or limit):
            raise ValueError("several workers, or a limit, need gauges")
        self.loop, self.on_stream, self.accepted, self.gauges, self.accepting = loop, on_stream, [], gauges, accepting
        self.c.callback.run = run_door
        self.c.callback.owner = <void*>self
        self.c.listener.owner = <void*>self
        self.c.listener.on_accept = on_door_accept
        self.c.listener.on_failed = on_door_failed
        self.c.listener.gauges = NULL if gauges is None else &gauges[0]
        self.c.listener.stride = 0 if gauges is None else len(gauges) // workers
        self.c.listener.accepting = NULL if accepting is None else &accepting[0]
        self.c.listener.accepting_stride = 0 if accepting is None else len(accepting) // workers
        self.c.listener.n_workers, self.c.listener.worker, self.c.listener.limit = workers, worker, limit
        if nudge >= 0:
            self.c.listener.nudge.fd = os.dup(nudge)
        fd = os.dup(sock.fileno())
        os.set_blocking(fd, False)
        result = listener_open(&self.c.listener, &loop.c, fd)
        if result < 0:
            self.c.listener.source.fd = -1
            os.close(fd)
            self.drop_nudge()
            raise OSError(-result, os.strerror(-result))
        loop.streams.add(self)

    def __dealloc__(self):
        if self.c.listener.source.fd >= 0:
            loop_disarm(self.c.listener.loop, &self.c.listener.deadline)
            loop_close(self.c.listener.loop, &self.c.listener.source)
        self.drop_nudge()

    cdef void drop_nudge(self) noexcept:
        if self.c.listener.nudge.fd >= 0:
            loop_close(&self.loop.c, &self.c.listener.nudge)

    cdef Stream stream_of(self, int fd):
        cdef Stream stream = Stream.__new__(Stream)
        try:
            stream.attach(self.loop, fd, True)
        except OSError as error:        # epoll is out of memory: the connection is lost, not the listener
            log.warning("accepted connection dropped: error=%s", error)
            os.close(fd)
            if self.c.listener.gauges != NULL:
                self.c.listener.gauges[self.c.listener.worker * self.c.listener.stride] -= 1
            return None
        if self.c.listener.gauges != NULL:
            stream.gauge = &self.c.listener.gauges[self.c.listener.worker * self.c.listener.stride]
            stream.listener = self
        return stream

    @property
    def closed(self) -> bool:
        """It accepts no more."""
        return self.c.listener.source.fd < 0

    @property
    def n_failed(self) -> int:
        """Accepts that failed for want of descriptors or memory."""
        return self.c.listener.n_failed

    def drain(self) -> None:
        """Accept what already waits, then close: nobody who connected is turned away."""
        if self.c.listener.source.fd >= 0:
            listener_drain(&self.c.listener)
            loop_call(&self.loop.c, &self.c.callback)

    def close(self) -> None:
        """Stop accepting at once. What was accepted before is still handed over."""
        if self.c.listener.source.fd >= 0:
            say(&self.c.listener, False)
            loop_disarm(&self.loop.c, &self.c.listener.deadline)
            loop_close(&self.loop.c, &self.c.listener.source)
            self.drop_nudge()
            loop_call(&self.loop.c, &self.c.callback)

"""One epoll loop: what is ready, what is due, what was put off to the end of the turn.

A turn: wait; the C handlers, by rank; the due deadlines; what was deferred. None of it needs the GIL. What wants Python
is noted, and ends `loop_turn`: loop.pyx then takes the GIL, once, and runs all of it.
"""
from libc.errno cimport EINTR, ENOMEM, errno
from libc.stdint cimport INT64_MAX
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, clockid_t, timespec

from hotpath.core.net.buffer cimport pool_free, pool_make
from hotpath.core.net.linux cimport (
    EFD_CLOEXEC, EFD_NONBLOCK, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLIN, O_CLOEXEC,
    O_NONBLOCK, close, epoll_create1, epoll_ctl, epoll_event, epoll_wait, eventfd, pipe2, read)
from hotpath.core.net.wheel cimport wheel_advance, wheel_free, wheel_make

cdef enum:
    MAX_EVENTS = 256            # of one batch: bounds how long a timer can wait for its turn
    MAX_WAIT_MS = 3_600_000     # what is due later is looked at once an hour


cdef int64_t clock_us(clockid_t clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t>now.tv_sec * 1_000_000 + now.tv_nsec // 1000


cdef void loop_read_clocks(loop_t* loop) noexcept nogil:
    loop.now_us = clock_us(CLOCK_MONOTONIC)
    loop.now_ms = loop.now_us // 1000
    loop.unix_us = clock_us(CLOCK_REALTIME)


cdef int control(loop_t* loop, int operation, Source* source, uint32_t events) noexcept nogil:
    cdef epoll_event event
    event.events = events
    event.data.ptr = source
    return -errno if epoll_ctl(loop.epoll_fd, operation, source.fd, &event) < 0 else 0


cdef int loop_add(loop_t* loop, Source* source, uint32_t events) noexcept nogil:
    return control(loop, EPOLL_CTL_ADD, source, events)


cdef int loop_modify(loop_t* loop, Source* source, uint32_t events) noexcept nogil:
    return control(loop, EPOLL_CTL_MOD, source, events)


# The batch may hold an event of a source that a handler before it closed; by then its memory may serve another socket.
cdef void strike_out(loop_t* loop, Source* source) noexcept nogil:
    cdef int i
    for i in range(loop.n_events):
        if loop.events[i].data.ptr == source:
            loop.events[i].data.ptr = NULL


cdef int loop_remove(loop_t* loop, Source* source) noexcept nogil:
    strike_out(loop, source)
    return control(loop, EPOLL_CTL_DEL, source, 0)


cdef void loop_close(loop_t* loop, Source* source) noexcept nogil:
    if source.fd < 0:
        return
    strike_out(loop, source)
    # A forked child may hold the same socket open, and then closing our descriptor would leave it in the epoll set.
    if not source.sole:
        control(loop, EPOLL_CTL_DEL, source, 0)
    close(source.fd)
    source.fd = -1


cdef void loop_defer(loop_t* loop, Deferred* deferred) noexcept nogil:
    if deferred.queued:
        return
    deferred.queued = True
    deferred.next = NULL
    loop.deferred_end[0] = deferred
    loop.deferred_end = &deferred.next


cdef void loop_call(loop_t* loop, Callback* callback) noexcept nogil:
    if callback.queued:
        return
    callback.queued = True
    callback.next = NULL
    loop.callbacks_end[0] = callback
    loop.callbacks_end = &callback.next


cdef void run_deferred(loop_t* loop) noexcept nogil:
    cdef Deferred* deferred
    while loop.deferred != NULL:
        deferred = loop.deferred
        loop.deferred = deferred.next
        if loop.deferred == NULL:
            loop.deferred_end = &loop.deferred
        deferred.queued = False
        deferred.run(deferred)


cdef bint python_waits(loop_t* loop) noexcept nogil:
    return (loop.python_due or loop.callbacks != NULL or loop.noted != 0 or loop.stopping
            or loop.timer_us <= loop.now_us)


cdef int wait_ms(loop_t* loop) noexcept nogil:
    cdef int64_t due_us = loop.timer_us
    if python_waits(loop):
        return 0
    if loop.wheel.next_ms != INT64_MAX:
        due_us = min(due_us, loop.wheel.next_ms * 1000)
    if due_us == INT64_MAX:
        return -1
    # Rounded up: waking early would be a turn for nothing.
    return <int>max(0, min(MAX_WAIT_MS, (due_us - loop.now_us + 999) // 1000))


cdef void handle_events(loop_t* loop) noexcept nogil:
    cdef int rank, i
    cdef Source* source
    for rank in range(RANK_ACCEPT + 1):
        for i in range(loop.n_events):
            source = <Source*>loop.events[i].data.ptr
            if source != NULL and source.rank == rank:
                source.on_events(source, loop.events[i].events)
    loop.n_events = 0


cdef void turn_once(loop_t* loop) noexcept nogil:
    loop.busy_us = 0
    loop.n_events = epoll_wait(loop.epoll_fd, loop.events, MAX_EVENTS, wait_ms(loop))
    if loop.n_events < 0 and errno == EINTR:    # by a signal, or behind a SIGSTOP: something may have come meanwhile
        loop.n_events = epoll_wait(loop.epoll_fd, loop.events, MAX_EVENTS, 0)
    if loop.n_events < 0:
        loop.error = 0 if errno == EINTR else errno
        loop.n_events = 0
    loop_read_clocks(loop)
    loop.busy_us = loop.now_us
    handle_events(loop)
    wheel_advance(loop.wheel, loop.now_ms)  # after the events: what came in time has disarmed its deadline
    run_deferred(loop)


cdef void loop_turn(loop_t* loop) noexcept nogil:
    run_deferred(loop)                      # by the last Python callbacks
    while True:
        turn_once(loop)
        if loop.error or python_waits(loop):
            return


cdef void on_wake(Source* source, uint32_t events) noexcept nogil:
    cdef uint64_t count
    if read(source.fd, &count, sizeof(count)) > 0:
        (<Waker*>source).loop.python_due = True


cdef void on_signals(Source* source, uint32_t events) noexcept nogil:
    cdef uint8_t numbers[64]
    cdef Py_ssize_t i, n = read(source.fd, numbers, sizeof(numbers))
    for i in range(n):
        if 0 < numbers[i] <= 64:
            (<Waker*>source).loop.noted |= <uint64_t>1 << (numbers[i] - 1)


cdef int add_waker(loop_t* loop, Waker* waker, int fd, void (*on_events)(Source*, uint32_t) noexcept nogil) noexcept nogil:
    waker.loop = loop
    waker.source.fd = fd
    waker.source.on_events = on_events
    return loop_add(loop, &waker.source, EPOLLIN)


cdef void set_empty(loop_t* loop) noexcept nogil:
    memset(loop, 0, sizeof(loop_t))
    loop.epoll_fd = loop.wake_fd = loop.signal_fd = -1
    loop.deferred_end = &loop.deferred
    loop.callbacks_end = &loop.callbacks
    loop.timer_us = INT64_MAX


cdef int loop_init(loop_t* loop) noexcept nogil:
    cdef int pipe_fds[2]
    cdef uint8_t* inbox = <uint8_t*>malloc(HEADROOM_BYTES + INBOX_BYTES)
    set_empty(loop)
    loop.inbox = NULL if inbox == NULL else inbox + HEADROOM_BYTES
    loop.scratch = <uint8_t*>malloc(SCRATCH_BYTES)
    loop.events = <epoll_event*>malloc(MAX_EVENTS * sizeof(epoll_event))
    loop.wheel = wheel_make()
    loop.pool = pool_make()
    if loop.inbox == NULL or loop.scratch == NULL or loop.events == NULL or loop.wheel == NULL or loop.pool == NULL:
        return -ENOMEM
    loop_read_clocks(loop)
    loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
    loop.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    if loop.epoll_fd < 0 or loop.wake_fd < 0 or pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) < 0:
        return -errno
    loop.signal_fd = pipe_fds[1]
    loop.signals.source.fd = pipe_fds[0]    # loop_free closes both, whatever fails below
    return add_waker(loop, &loop.wake, loop.wake_fd, on_wake) or add_waker(loop, &loop.signals, pipe_fds[0], on_signals)


cdef void loop_free(loop_t* loop) noexcept nogil:
    if loop.epoll_fd >= 0:
        close(loop.epoll_fd)
    if loop.wake_fd >= 0:
        close(loop.wake_fd)
    if loop.signal_fd >= 0:
        close(loop.signal_fd)
        close(loop.signals.source.fd)
    if loop.inbox != NULL:
        free(loop.inbox - HEADROOM_BYTES)
    free(loop.scratch)
    free(loop.events)
    wheel_free(loop.wheel)
    pool_free(loop.pool)
    set_empty(loop)

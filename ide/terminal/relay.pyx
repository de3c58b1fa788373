"""A program's terminal between its descriptor and the seats of its clients, as C callbacks on the loop.

What the program writes is read straight into the ring; then each seat is told, and takes from there what its window allows. No chunk
becomes a Python object. Reading stops while every client is a window behind, and the program then waits as it would for any slow
terminal; with no client it goes on, and the oldest output is overwritten.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset
from posix.time cimport CLOCK_MONOTONIC

from hotpath.core.net.epoll cimport (
    RANK_CLIENT, RANK_UPSTREAM, loop_add, loop_arm, loop_call, loop_close, loop_disarm, loop_modify, loop_remove)
from hotpath.core.net.linux cimport (
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, TFD_CLOEXEC, TFD_NONBLOCK, close, itimerspec, read, timerfd_create, timerfd_settime, write)
from hotpath.core.net.loop cimport Loop, running_loop
from hotpath.ide.terminal.ring cimport (
    ring_add, ring_close, ring_line, ring_open, ring_put, ring_space, ring_start, view_ack, view_begin, view_is_behind)

import logging

log = logging.getLogger(__name__)

cdef enum:
    READ_BYTES = 65536          # of one program in one turn; its terminal gives no more than 4 KiB at once
    TELL_BYTES = 65536          # output that is told without waiting for more: it fills a frame
    TELL_US = 2000              # what comes within so long shares a frame, unless it may be an echo
    REST_US = 500               # between two looks at a program that writes driblets: its terminal holds what comes meanwhile
    REST_BYTES = 16384          # of a turn; who writes more fills its terminal in that time
    QUEUE_BYTES = 1 << 20       # of input, then its clients are not read
    QUEUE_LOW_BYTES = 1 << 19   # and here they are again
    QUEUE_FIRST_BYTES = 4096
    QUIET_MS = 200              # behind the program's end: what it left in the background may still hold its terminal open
    LINGER_MS = 2000            # for the last clients of a relay that is closed
    MAX_SIDE = 1000             # columns, rows


# ----------------------------------------------------------------------------------------------- what epoll is asked for

cdef void ask(relay_t* relay) noexcept nogil:
    """Level-triggered: what one turn leaves brings us back in the next. Asked for nothing, epoll would still tell of a hang-up, for
    ever: then it is not asked at all."""
    cdef uint32_t wanted = 0
    if relay.source.fd < 0:
        return
    if not relay.ended:
        wanted = (0 if relay.paused or relay.resting else <uint32_t>EPOLLIN) | (<uint32_t>EPOLLOUT if relay.queue_end > relay.queue_start else 0)
    if wanted == relay.events:
        return
    if wanted == 0:
        loop_remove(relay.loop, &relay.source)
    elif relay.events == 0:
        if loop_add(relay.loop, &relay.source, wanted) < 0:
            return
    else:
        loop_modify(relay.loop, &relay.source, wanted)
    relay.events = wanted


cdef void review(relay_t* relay) noexcept nogil:
    """Pause, or go on. While a client's input is not read, it cannot say what it shows; and a program that waits for its output to
    leave takes no input. So nothing is paused then: both would wait for ever."""
    cdef seat_t* seat = relay.seats
    cdef bint paused = False
    while seat != NULL:
        if seat.attached:
            paused = not seat.stalled and view_is_behind(&seat.view, &relay.ring, most_read(relay))
            if not paused:
                break
        seat = seat.next
    relay.paused = paused
    ask(relay)


cdef size_t most_read(const relay_t* relay) noexcept nogil:
    return min(<size_t>READ_BYTES, relay.ring.room // 4)


# ---------------------------------------------------------------------------------------------------------------- output

cdef void tell_all(relay_t* relay) noexcept nogil:
    cdef seat_t* seat = relay.seats
    relay.told, relay.told_us = relay.ring.end, relay.loop.now_us
    relay.answering = False
    while seat != NULL:
        if seat.attached:
            seat.tell(seat)
        seat = seat.next


cdef void tell_waiting(relay_t* relay) noexcept nogil:
    """Who has not yet said where it begins."""
    cdef seat_t* seat = relay.seats
    while seat != NULL:
        if not seat.attached:
            seat.tell(seat)
        seat = seat.next


cdef void pace(relay_t* relay) noexcept nogil:
    """Tell of new output now, or together with what comes within TELL_US of the last time."""
    cdef int64_t wait_us = relay.told_us + TELL_US - relay.loop.now_us
    cdef uint64_t untold = relay.ring.end - relay.told
    if untold == 0:
        return
    if relay.leader == NULL:
        relay.told = relay.ring.end
        return
    if relay.answering or wait_us <= 0 or untold >= TELL_BYTES or untold >= relay.ring.room // 4:
        tell_all(relay)
        return
    if not relay.armed and not set_timer(relay, wait_us):
        tell_all(relay)


cdef bint set_timer(relay_t* relay, int64_t wait_us) noexcept nogil:
    """False: there is none."""
    cdef itimerspec when
    if relay.timer.fd < 0:
        relay.timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if relay.timer.fd < 0 or loop_add(relay.loop, &relay.timer, EPOLLIN) < 0:
            loop_close(relay.loop, &relay.timer)
            return False
    memset(&when, 0, sizeof(when))
    when.it_value.tv_nsec = <long>wait_us * 1000
    timerfd_settime(relay.timer.fd, 0, &when, NULL)
    relay.armed = True
    return True


cdef void rest(relay_t* relay, size_t n, int64_t before_us) noexcept nogil:
    """A program that writes a few bytes at a time would wake us for each of them. Nobody waits so little time: not for long output, and
    an echo is not kept waiting."""
    if (0 < n < REST_BYTES and relay.read_us - before_us < TELL_US and not (relay.answering or relay.paused or relay.ended)
            and set_timer(relay, REST_US)):
        relay.resting = True
        ask(relay)


cdef void on_timer(Source* source, uint32_t events) noexcept nogil:
    cdef relay_t* relay = <relay_t*>(<char*>source - (<size_t>&(<relay_t*><size_t>4096).timer - 4096))
    cdef uint64_t n
    read(source.fd, &n, sizeof(n))
    relay.armed = False
    if relay.resting:
        wake(relay)
        look(relay)
    elif relay.ring.end != relay.told:
        tell_all(relay)


cdef void wake(relay_t* relay) noexcept nogil:
    relay.resting = False
    ask(relay)


cdef void look(relay_t* relay) noexcept nogil:
    """There may be output."""
    cdef int64_t before_us = relay.read_us
    cdef size_t n = read_some(relay)
    pace(relay)
    rest(relay, n, before_us)


cdef size_t read_some(relay_t* relay) noexcept nogil:
    cdef size_t space
    cdef Py_ssize_t n
    cdef int64_t budget = READ_BYTES
    while budget > 0 and not relay.paused and not relay.ended:
        data = ring_space(&relay.ring, &space)
        n = read(relay.source.fd, data, min(space, most_read(relay)))
        if n > 0:
            ring_add(&relay.ring, <size_t>n)
            relay.read_us = relay.loop.now_us
            budget -= n
            if relay.exited:
                loop_arm(relay.loop, &relay.deadline, relay.loop.now_ms + QUIET_MS)
            if relay.ring.end - relay.told >= min(<uint64_t>TELL_BYTES, <uint64_t>relay.ring.room // 4):
                pace(relay)
            review(relay)
        elif n < 0 and errno == EINTR:
            continue
        elif n < 0 and errno == EAGAIN:
            break
        else:
            end(relay)          # EOF, or a terminal's EIO: nobody has its other side open any more
    return <size_t>(READ_BYTES - budget)


cdef void end(relay_t* relay) noexcept nogil:
    """No output comes any more. The descriptor stays open as long as the program runs: closing it would hang up on it."""
    if relay.ended:
        return
    relay.ended = True
    drop_queue(relay)
    ask(relay)
    if relay.exited:
        finish(relay)


cdef void finish(relay_t* relay) noexcept nogil:
    """Output and program have ended."""
    loop_disarm(relay.loop, &relay.deadline)
    loop_close(relay.loop, &relay.source)
    relay.events = 0
    tell_all(relay)
    note(relay, NEWS_DONE)


cdef void note(relay_t* relay, uint8_t news) noexcept nogil:
    relay.news |= news
    loop_call(relay.loop, &relay.callback)


cdef void on_due(Deadline* deadline) noexcept nogil:
    cdef relay_t* relay = <relay_t*>(<char*>deadline - (<size_t>&(<relay_t*><size_t>4096).deadline - 4096))
    if relay.gone:
        relay.forced = True
        tell_all(relay)
    elif relay.paused:          # there may be more
        loop_arm(relay.loop, deadline, relay.loop.now_ms + QUIET_MS)
    else:
        end(relay)


cdef void on_events(Source* source, uint32_t events) noexcept nogil:
    cdef relay_t* relay = <relay_t*>source
    if events & EPOLLOUT:
        write_queue(relay)
    if relay.paused or relay.resting:
        if events & (EPOLLHUP | EPOLLERR):
            drop_queue(relay)   # nobody reads it any more; what is left of the output is read later
            ask(relay)
    elif events & (EPOLLIN | EPOLLHUP | EPOLLERR):
        look(relay)


# ----------------------------------------------------------------------------------------------------------------- input

cdef size_t write_some(relay_t* relay, const uint8_t* data, size_t size) noexcept nogil:
    """How much of it the program's terminal took; all, when it never will any."""
    cdef size_t taken = 0
    cdef Py_ssize_t n
    while taken < size:
        n = write(relay.source.fd, data + taken, size - taken)
        if n > 0:
            taken += <size_t>n
        elif n < 0 and errno == EINTR:
            continue
        elif n == 0 or errno == EAGAIN:
            break
        else:
            return size
    return taken


cdef void write_queue(relay_t* relay) noexcept nogil:
    relay.queue_start += write_some(relay, relay.queue + relay.queue_start, relay.queue_end - relay.queue_start)
    if relay.queue_start == relay.queue_end:
        drop_queue(relay)
        ask(relay)
    else:
        wake_stalled(relay)


cdef void drop_queue(relay_t* relay) noexcept nogil:
    free(relay.queue)           # idle, it owns none
    relay.queue = NULL
    relay.queue_start = relay.queue_end = relay.queue_room = 0
    wake_stalled(relay)


cdef void wake_stalled(relay_t* relay) noexcept nogil:
    cdef seat_t* seat = relay.seats
    if relay.queue_end - relay.queue_start > QUEUE_LOW_BYTES:
        return
    while seat != NULL:
        if seat.stalled:
            seat.stalled = False
            seat.go_on(seat)
        seat = seat.next


cdef bint append(relay_t* relay, const uint8_t* data, size_t size) noexcept nogil:
    """False: no memory."""
    cdef size_t room = relay.queue_room
    cdef uint8_t* larger
    if relay.queue_start and relay.queue_end + size > room:
        memmove(relay.queue, relay.queue + relay.queue_start, relay.queue_end - relay.queue_start)
        relay.queue_end -= relay.queue_start
        relay.queue_start = 0
    if relay.queue_end + size > room:
        room = max(2 * room, relay.queue_end + size, <size_t>QUEUE_FIRST_BYTES)
        larger = <uint8_t*>realloc(relay.queue, room)
        if larger == NULL:
            return False
        relay.queue, relay.queue_room = larger, room
    memcpy(relay.queue + relay.queue_end, data, size)
    relay.queue_end += size
    return True


cdef bint relay_input(seat_t* seat, const uint8_t* data, size_t size) noexcept nogil:
    cdef relay_t* relay = seat.relay
    cdef size_t taken = 0
    relay.input_us = relay.loop.now_us
    if relay.ended or relay.gone or relay.source.fd < 0:
        return True
    relay.answering = True
    if relay.resting:
        wake(relay)
    if relay.queue_end == relay.queue_start:
        taken = write_some(relay, data, size)
    if taken == size:
        return True
    if not append(relay, data + taken, size - taken):
        return False
    if relay.queue_end - relay.queue_start >= QUEUE_BYTES:
        seat.stalled = True
    review(relay)
    return True


# ----------------------------------------------------------------------------------------------------------------- seats

cdef void relay_sit(relay_t* relay, seat_t* seat) noexcept nogil:
    cdef seat_t* last = relay.seats
    seat.relay = relay
    seat.view.window = relay.window
    if last == NULL:
        relay.seats = seat
        return
    while last.next != NULL:
        last = last.next
    last.next, seat.previous = seat, last


cdef void relay_leave(seat_t* seat) noexcept nogil:
    cdef relay_t* relay = seat.relay
    if relay == NULL:
        return
    if seat.previous != NULL:
        seat.previous.next = seat.next
    else:
        relay.seats = seat.next
    if seat.next != NULL:
        seat.next.previous = seat.previous
    seat.relay, seat.attached = NULL, False
    if relay.leader == seat:
        lead(relay)
    if relay.gone and relay.seats == NULL:
        note(relay, NEWS_EMPTY)
    review(relay)


cdef void lead(relay_t* relay) noexcept nogil:
    """The first of those attached leads."""
    cdef seat_t* seat = relay.seats
    while seat != NULL and not seat.attached:
        seat = seat.next
    relay.leader = seat
    if seat != NULL:
        seat.owed |= OWES_LEAD
        set_size(seat)
        seat.tell(seat)


cdef void set_size(seat_t* leader) noexcept nogil:
    """The terminal is as large as where the leader sees it."""
    cdef relay_t* relay = leader.relay
    cdef seat_t* seat = relay.seats
    if leader.cols == 0 or (leader.cols == relay.cols and leader.rows == relay.rows):
        return
    relay.cols, relay.rows = leader.cols, leader.rows
    note(relay, NEWS_SIZE)
    while seat != NULL:
        if seat != leader and seat.attached:
            seat.owed |= OWES_SIZE
            seat.tell(seat)
        seat = seat.next


cdef void relay_resize(seat_t* seat, uint16_t cols, uint16_t rows) noexcept nogil:
    if not (0 < cols <= MAX_SIDE and 0 < rows <= MAX_SIDE):
        return
    seat.cols, seat.rows = cols, rows
    if seat == seat.relay.leader:
        set_size(seat)


cdef void relay_attach(seat_t* seat, uint64_t offset, uint16_t cols, uint16_t rows) noexcept nogil:
    cdef relay_t* relay = seat.relay
    seat.attached = True
    seat.owed = OWES_START | OWES_LEAD
    seat.reset = not ring_start(&relay.ring) <= offset <= relay.ring.end
    view_begin(&seat.view, ring_line(&relay.ring, ring_start(&relay.ring)) if seat.reset else offset)
    relay_resize(seat, cols, rows)
    if relay.leader == NULL:
        relay.leader = seat
        set_size(seat)
    seat.tell(seat)
    review(relay)


cdef void relay_start(seat_t* seat) noexcept nogil:
    cdef relay_t* relay = seat.relay
    if seat.view.sent < ring_start(&relay.ring):
        seat.reset = True
        view_begin(&seat.view, ring_line(&relay.ring, ring_start(&relay.ring)))


cdef bint relay_ack(seat_t* seat, uint64_t offset) noexcept nogil:
    cdef bint was_held = seat.view.held
    if not view_ack(&seat.view, offset):
        return False
    if was_held and not seat.view.held:
        seat.tell(seat)
    if seat.relay.paused:
        review(seat.relay)
    return True


cdef bint relay_is_over(const seat_t* seat) noexcept nogil:
    cdef const relay_t* relay = seat.relay
    return relay.forced or (relay.exited and relay.ended and seat.view.sent == relay.ring.end)


# -------------------------------------------------------------------------------------------------------- Python's side

cdef int attend(Callback* callback) except -1:
    return (<Relay>callback.owner).attend()


cdef class Relay:
    """The terminal of one program. Made in the loop's thread, used there only, and closed there.

    Takes over `fd` (non-blocking: a terminal's master, or a stream socket) and begins with the output `early`. Keeps the last
    `ring` bytes; a client is sent `window` bytes beyond what it shows. Called in the loop, and must not wait:

        on_size(cols, rows)     the clients see it in another size
        on_done()               `finish` was called, and all output is read
    """

    def __cinit__(self):
        self.c.source.fd = self.c.timer.fd = -1

    def __init__(self, int fd, const uint8_t[::1] early, uint16_t cols, uint16_t rows, *, size_t ring, uint32_t window, on_size, on_done):
        cdef int failed
        if self.held or running_loop() == NULL:
            raise RuntimeError("a relay is made once, in a loop")
        if ring < 4096 or window < 4096:
            raise ValueError(f"ring {ring}, window {window}: at least 4096")
        if not ring_open(&self.c.ring, ring):
            raise MemoryError
        self.loop = <object>running_loop()
        self.on_size, self.on_done = on_size, on_done
        self.c.loop = &(<Loop>self.loop).c
        self.c.source.on_events, self.c.source.rank = on_events, RANK_UPSTREAM
        self.c.timer.on_events, self.c.timer.rank = on_timer, RANK_CLIENT
        self.c.deadline.on_due = on_due
        self.c.callback.run, self.c.callback.owner = attend, <void*>self
        self.c.cols, self.c.rows, self.c.window = cols, rows, window
        self.c.input_us = self.c.loop.now_us
        if early.shape[0]:
            ring_put(&self.c.ring, &early[0], <size_t>early.shape[0])
        self.c.source.fd = fd
        failed = loop_add(self.c.loop, &self.c.source, EPOLLIN)
        if failed < 0:
            self.c.source.fd = -1           # still the caller's
            raise OSError(-failed, f"descriptor {fd}")
        self.c.events = EPOLLIN
        Py_INCREF(self)
        self.held = True

    def __dealloc__(self):
        ring_close(&self.c.ring)
        free(self.c.queue)

    cdef int attend(self) except -1:
        cdef uint8_t news = self.c.news
        self.c.news = 0
        try:
            if news & NEWS_SIZE and not self.c.gone:
                self.on_size(self.c.cols, self.c.rows)
            if news & NEWS_DONE:
                self.on_done()
        except Exception:
            log.exception("terminal's owner failed")
        if self.c.gone and self.c.seats == NULL and self.held and not self.c.callback.queued:
            self.held = False
            loop_disarm(self.c.loop, &self.c.deadline)
            loop_close(self.c.loop, &self.c.timer)
            self.on_size = self.on_done = None
            Py_DECREF(self)                 # whoever called us holds another
        return 0

    def finish(self, int status) -> None:
        """The program has ended, with this exit status or -signal. Calling again does nothing."""
        if self.c.exited:
            return
        self.c.exited, self.c.status = True, status
        if self.c.ended:
            finish(&self.c)
        else:
            loop_arm(self.c.loop, &self.c.deadline, self.c.loop.now_ms + QUIET_MS)

    def close(self) -> None:
        """Nobody may come any more; who is there gets the rest, for a while, and then its end. Closing again does nothing."""
        if self.c.gone:
            return
        if not (self.c.exited and self.c.ended):
            raise RuntimeError("the program has not ended")
        self.c.gone = True
        tell_all(&self.c)
        tell_waiting(&self.c)
        loop_arm(self.c.loop, &self.c.deadline, self.c.loop.now_ms + LINGER_MS)
        note(&self.c, NEWS_EMPTY)

    def end(self) -> None:
        """Whatever else its terminal would say is not waited for."""
        end(&self.c)

    @property
    def offset(self) -> int:
        """Bytes of output so far."""
        return self.c.ring.end

    @property
    def size(self) -> tuple:
        """Columns and rows."""
        return self.c.cols, self.c.rows

    @property
    def paused(self) -> bool:
        """Whether the program has to wait for the clients."""
        return bool(self.c.paused)

    @property
    def closed(self) -> bool:
        """Nobody may come any more."""
        return bool(self.c.gone)

    @property
    def last_input_s(self) -> float:
        """When there was input, on the monotonic clock; its beginning counts."""
        return self.c.input_us / 1e6

    @property
    def clients(self) -> int:
        """How many are attached."""
        cdef seat_t* seat = self.c.seats
        n = 0
        while seat != NULL:
            n += seat.attached
            seat = seat.next
        return n

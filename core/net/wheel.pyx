"""A coarse wheel of deadlines: which of thousands are due, when almost none ever is?

A connection pushes its deadline later with every request. So a push is one store, and the wheel finds out only when
the slot comes up: the deadline is then filed again, at most once per slot instead of once per request.
"""
from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free

from collections.abc import Callable


cdef Wheel* wheel_make() noexcept nogil:
    cdef Wheel* wheel = <Wheel*>calloc(1, sizeof(Wheel))
    if wheel != NULL:
        wheel.next_ms = INT64_MAX
    return wheel


cdef void wheel_free(Wheel* wheel) noexcept nogil:
    free(wheel)


cdef void link(Wheel* wheel, Deadline** head, Deadline* deadline) noexcept nogil:
    deadline.next = head[0]
    deadline.link = head
    if deadline.next != NULL:
        deadline.next.link = &deadline.next
    head[0] = deadline
    wheel.n_linked += 1


cdef void wheel_unlink(Wheel* wheel, Deadline* deadline) noexcept nogil:
    deadline.due_ms = 0
    if deadline.link == NULL:
        return
    deadline.link[0] = deadline.next
    if deadline.next != NULL:
        deadline.next.link = deadline.link
    deadline.link = NULL
    wheel.n_linked -= 1


cdef void wheel_file(Wheel* wheel, Deadline* deadline, int64_t due_ms, int64_t now_ms) noexcept nogil:
    cdef int64_t tick = (due_ms + TICK_MS - 1) >> TICK_BITS
    wheel_unlink(wheel, deadline)
    if wheel.n_linked == 0:
        wheel.tick = now_ms >> TICK_BITS    # nobody turned an empty wheel
    if tick <= wheel.tick:
        tick = wheel.tick + 1
    elif tick >= wheel.tick + SLOTS:
        tick = wheel.tick + SLOTS - 1
    deadline.due_ms = due_ms
    deadline.filed_ms = min(due_ms, tick << TICK_BITS)
    link(wheel, &wheel.slots[tick & (SLOTS - 1)], deadline)
    wheel.next_ms = min(wheel.next_ms, tick << TICK_BITS)


# All slots up to `now_tick` are emptied before the first handler runs: a handler may file into any slot, and the slot
# farthest ahead is one that was due a moment ago.
cdef void collect(Wheel* wheel, int64_t now_tick) noexcept nogil:
    cdef int64_t tick = wheel.tick + 1
    cdef Deadline** head
    cdef Deadline** end = &wheel.due
    if tick < now_tick - SLOTS + 1:
        tick = now_tick - SLOTS + 1         # one round is every slot
    while end[0] != NULL:
        end = &end[0].next
    while tick <= now_tick:
        head = &wheel.slots[tick & (SLOTS - 1)]
        if head[0] != NULL:
            end[0] = head[0]
            head[0].link = end
            head[0] = NULL
            while end[0] != NULL:
                end = &end[0].next
        tick += 1
    wheel.tick = now_tick


cdef int64_t next_filled_ms(Wheel* wheel) noexcept nogil:
    cdef int64_t tick
    if wheel.n_linked > 0:
        for tick in range(wheel.tick + 1, wheel.tick + SLOTS):
            if wheel.slots[tick & (SLOTS - 1)] != NULL:
                return tick << TICK_BITS
    return INT64_MAX


cdef void wheel_advance(Wheel* wheel, int64_t now_ms) noexcept nogil:
    cdef Deadline* deadline
    cdef int64_t due_ms
    if now_ms < wheel.next_ms:
        wheel.tick = now_ms >> TICK_BITS    # the slots passed over are empty
        return
    collect(wheel, now_ms >> TICK_BITS)
    # Always the head of the list: a handler may have taken any other one out of it.
    while wheel.due != NULL:
        deadline = wheel.due
        due_ms = deadline.due_ms
        wheel_unlink(wheel, deadline)
        if due_ms > now_ms:
            wheel_file(wheel, deadline, due_ms, now_ms)
        else:
            deadline.on_due(deadline)
    wheel.next_ms = next_filled_ms(wheel)


cdef struct Probe:
    Deadline deadline           # first
    int key
    void* turner                # borrowed: the WheelProbe


cdef void probe_due(Deadline* deadline) noexcept nogil:
    cdef Probe* probe = <Probe*>deadline
    with gil:
        (<WheelProbe>probe.turner).tell(probe.key)


cdef class WheelProbe:
    """`n` deadlines, 0 … n - 1, on a wheel that is turned by hand: for tests, which cannot wait out real time.

    `on_due(key)` runs as each comes due, and may arm and disarm.
    """

    cdef Wheel* wheel           # owned
    cdef Probe* probes          # owned; n of them
    cdef int n
    cdef int64_t now_ms
    cdef object on_due
    cdef object raised          # the first exception out of on_due

    def __cinit__(self, int n, on_due: Callable[[int], object], *, int64_t now_ms=0):
        cdef int i
        self.n = n
        self.now_ms = now_ms
        self.on_due = on_due
        self.wheel = wheel_make()
        self.probes = <Probe*>calloc(n, sizeof(Probe))
        if self.wheel == NULL or self.probes == NULL:
            raise MemoryError
        for i in range(n):
            self.probes[i].deadline.on_due = probe_due
            self.probes[i].key = i
            self.probes[i].turner = <void*>self

    def __dealloc__(self):
        wheel_free(self.wheel)
        free(self.probes)

    cdef Deadline* deadline(self, int key) except NULL:
        if not 0 <= key < self.n:
            raise IndexError(key)
        return &self.probes[key].deadline

    cdef int tell(self, int key) noexcept:
        try:
            self.on_due(key)
        except Exception as error:
            self.raised = self.raised or error
        return 0

    def arm(self, int key, int64_t due_ms) -> None:
        """As `loop_arm`."""
        cdef Deadline* deadline = self.deadline(key)
        if deadline_is_pushed(deadline, due_ms):
            return
        wheel_file(self.wheel, deadline, due_ms, self.now_ms)

    def disarm(self, int key) -> None:
        """As `loop_disarm`."""
        wheel_unlink(self.wheel, self.deadline(key))

    def advance(self, int64_t now_ms) -> None:
        """It is `now_ms`; re-raises what a callback raised."""
        self.now_ms = now_ms
        wheel_advance(self.wheel, now_ms)
        if self.raised is not None:
            error, self.raised = self.raised, None
            raise error

    def next_ms(self) -> int | None:
        """When the loop must look again; None: it may sleep for ever."""
        return None if self.wheel.next_ms == INT64_MAX else self.wheel.next_ms

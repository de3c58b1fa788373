"""A watchdog: what has blocked the loop for longer than a quarter of a second?

A thread looks at the loop's own note of when it last woke, 20 times a second, or 4 while it rests, and without the GIL:
so it costs the loop one store per turn, and sees also what blocks while it holds the GIL. It counts its own looks, not the
clock between them: a process that was stopped, or a machine that slept, has looked at nothing meanwhile and is not to blame.
"""
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock)
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from hotpath.core.net.loop cimport Loop
from hotpath.core.tasks.task cimport Scheduler

import logging
import sys
import threading
import traceback

log = logging.getLogger(__name__)

cdef extern from "Python.h" nogil:
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long timeout_us, int interrupted)

cdef enum:
    LOOK_US = 50_000            # between two looks: what blocks is reported 50 to 100 ms after its time,
    REST_US = 250_000           # and up to 250 ms later when the loop had rested: a server without work costs next to nothing


cdef int64_t clock_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1_000_000 + now.tv_nsec // 1000


cdef class Watchdog:
    """Watches one loop until `stop`; logs what blocks it: the stack while it does, then for how long it did.

    Make it in the thread that runs the loop, and after a fork.
    """

    cdef Loop loop
    cdef int64_t blocked_us
    cdef PyThread_type_lock stopped     # owned; held until `stop`
    cdef object thread
    cdef object loop_thread             # the identity of the thread that runs the loop
    cdef int64_t first_us               # when the blockage that was reported began; 0: none is under way

    def __cinit__(self):
        self.stopped = PyThread_allocate_lock()
        if self.stopped == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.stopped, NOWAIT_LOCK)

    def __dealloc__(self):
        if self.stopped != NULL:
            PyThread_free_lock(self.stopped)

    def __init__(self, Loop loop, *, blocked_s: float = 0.25) -> None:
        if blocked_s <= 0:
            raise ValueError(f"blocked_s {blocked_s}: more than 0")
        self.loop = loop
        self.blocked_us = int(blocked_s * 1e6)
        self.loop_thread = threading.get_ident()
        self.thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Watch no longer. Stopping twice does nothing."""
        if self.thread is not None:
            thread, self.thread = self.thread, None
            PyThread_release_lock(self.stopped)
            thread.join()

    def _watch(self) -> None:
        cdef bint going = True
        while going:
            with nogil:
                going = self.look(self.blocked_us)
            if going:
                self.report()
                with nogil:
                    going = self.look(-1)
                if going:
                    log.warning("loop=free blocked_ms=%d", self.elapsed_ms())

    # Returns once the loop has been at one thing for `blocked_us` of our looks; -1: once it is no longer at what
    # was reported. False: `stop`.
    cdef bint look(self, int64_t blocked_us) noexcept nogil:
        cdef volatile int64_t* busy_us = &self.loop.c.busy_us
        cdef int64_t since_us = self.first_us, counted_us = 0, now_us, before_us = clock_us()
        while True:
            if PyThread_acquire_lock_timed(self.stopped, REST_US if busy_us[0] == 0 and blocked_us > 0 else LOOK_US, 0):
                return False
            now_us = clock_us()
            if blocked_us < 0:
                if busy_us[0] != since_us:
                    return True
            elif busy_us[0] == 0 or busy_us[0] != since_us:
                since_us = busy_us[0]
                counted_us = 0 if since_us == 0 else min(LOOK_US, max(0, now_us - since_us))
            else:
                counted_us += min(2 * LOOK_US, now_us - before_us)
                if counted_us >= blocked_us:
                    self.first_us = since_us
                    return True
            before_us = now_us

    cdef int report(self) except -1:
        cdef Scheduler scheduler = self.loop.tasks
        task = "-" if scheduler is None or scheduler.current is None else scheduler.current.name
        frame = sys._current_frames().get(self.loop_thread)
        if frame is None or self.loop.c.busy_us != self.first_us:
            # What held the GIL all the time let us run only now.
            log.warning("loop=blocked blocked_ms=%d, and no stack: it held the GIL", self.elapsed_ms())
        else:
            log.warning("loop=blocked task=%s since_ms=%d\n%s", task, self.elapsed_ms(),
                        "".join(traceback.format_stack(frame)).rstrip())
        return 0

    cdef int64_t elapsed_ms(self) noexcept nogil:
        return (clock_us() - self.first_us) // 1000

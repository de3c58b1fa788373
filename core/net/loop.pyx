"""The loop as a Python object: calls, timers, file descriptors, signals.

What C handlers noted in a turn runs here, together, with the GIL: first signals, then callbacks, timers and calls.
"""
cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport INT64_MAX, uint32_t, uint64_t

from hotpath.core.net.epoll cimport loop_free, loop_init, loop_read_clocks, loop_turn
from hotpath.core.net.linux cimport write

import heapq
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

cdef enum:
    FOR_EVER_S = 1000000000     # of a timer: 30 years; what 63 bits of microseconds do not hold would end `run`
    MIN_CANCELLED = 64          # below this many, sweeping the timers' heap is not worth it


cdef extern from *:
    """
    static _Thread_local PyObject* loop_of_this_thread;
    """
    PyObject* loop_of_this_thread


cdef PyObject* running_loop() noexcept:
    return loop_of_this_thread


# Returns the one before.
cdef PyObject* enter_loop(PyObject* loop) noexcept:
    global loop_of_this_thread
    cdef PyObject* before = loop_of_this_thread
    loop_of_this_thread = loop
    return before


cdef int invoke(object fn, tuple args) except -1:
    try:
        fn(*args)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        log.exception("callback=%r raised", fn)
    return 0


cdef struct watch_t:
    Source source               # first
    Callback callback
    loop_t* loop                # borrowed
    uint32_t events             # that came and were not yet told


cdef void on_watched(Source* source, uint32_t events) noexcept nogil:
    cdef watch_t* watch = <watch_t*>source
    watch.events |= events
    loop_call(watch.loop, &watch.callback)


cdef int run_watch(Callback* callback) except -1:
    cdef Watch watch = <Watch>callback.owner
    cdef uint32_t events = watch.c.events
    watch.c.events = 0
    if watch.c.source.fd < 0:
        Py_DECREF(watch)        # Loop.drop left it to us
        return 0
    return invoke(watch.fn, (events,))


cdef class Watch:
    """A file descriptor of somebody else's, and the Python function that wants its events."""

    cdef watch_t c
    cdef object fn


@cython.auto_pickle(False)
cdef class Timer:
    """A call that is due at an exact time; made by `Loop.call_later`."""

    cdef Loop loop
    cdef object fn              # None: ran, or cancelled
    cdef tuple args

    def cancel(self) -> None:
        """It will not run. Once it has run, this does nothing."""
        if self.fn is not None:
            self.fn = self.args = None
            self.loop.forget_timer()


cdef class Loop:
    """An epoll loop for one thread of one process: make it after the fork, and run it there."""

    def __cinit__(self):
        cdef int result = loop_init(&self.c)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        self.c.owner = <void*>self
        self.ready = deque()
        self.timers = []
        self.watches = {}
        self.handlers = {}
        self.streams = set()

    def __dealloc__(self):
        loop_free(&self.c)

    def run(self) -> None:
        """Turn until `stop`. What callbacks raise is logged, save KeyboardInterrupt and SystemExit: they come out here.

        In the main thread, Python's signal handlers run within the turn, however busy the loop is in C.
        Raises RuntimeError while running already or once closed, OSError if epoll fails.
        """
        if self.running or self.closed:
            raise RuntimeError("the loop is closed" if self.closed else "the loop is running already")
        cdef PyObject* outer = enter_loop(<PyObject*>self)
        self.running = True
        self.take_wakeup_fd()
        try:
            while True:
                self.run_python()
                if self.c.stopping:
                    break
                with nogil:
                    loop_turn(&self.c)
                if self.c.error:
                    raise OSError(self.c.error, os.strerror(self.c.error))
        finally:
            enter_loop(outer)
            self.c.busy_us = 0
            self.c.stopping = False
            self.running = False
            if not self.handlers:
                self.return_wakeup_fd()

    def stop(self) -> None:
        """End `run` after this turn. From another thread: `call_soon_threadsafe(loop.stop)`."""
        self.c.stopping = True

    def close(self) -> None:
        """Cancel every task, close every stream and listener, give signals back: at once. Closing twice does nothing."""
        cdef PyObject* outer
        if self.running:
            raise RuntimeError("the loop is running")
        if self.closed:
            return
        if self.tasks is not None:
            outer = enter_loop(<PyObject*>self)
            try:
                self.tasks.close()
            finally:
                enter_loop(outer)
        for number in list(self.handlers):
            self.on_signal(number, None)
        self.return_wakeup_fd()
        for stream in list(self.streams):
            stream.close()
        self.c.stopping = True
        for _ in range(2):      # what was deferred, then the callbacks that waited for it: on_close is told
            with nogil:
                loop_turn(&self.c)
            self.run_python()
        self.watches.clear()
        self.timers.clear()
        self.ready.clear()
        self.closed = True
        loop_free(&self.c)

    # Calls

    def call_soon(self, fn: Callable[..., object], *args: object) -> None:
        """Call `fn(*args)` in this turn or the next, in order."""
        self.ready.append((fn, args))
        self.c.python_due = True

    def call_soon_threadsafe(self, fn: Callable[..., object], *args: object) -> None:
        """As `call_soon`, from any thread; wakes the loop."""
        cdef uint64_t one = 1
        self.ready.append((fn, args))
        if not self.woken:
            self.woken = True
            write(self.c.wake_fd, &one, sizeof(one))

    def call_later(self, double delay_s, fn: Callable[..., object], *args: object) -> Timer:
        """Call `fn(*args)` once `delay_s` have passed; those due together run in the order they were made."""
        cdef Timer timer = Timer.__new__(Timer)
        timer.loop, timer.fn, timer.args = self, fn, args
        self.n_timers += 1
        delay_s = min(max(0.0, delay_s), <double>FOR_EVER_S)
        heapq.heappush(self.timers, (time.monotonic_ns() // 1000 + int(delay_s * 1e6), self.n_timers, timer))
        self.c.timer_us = self.timers[0][0]
        return timer

    cdef int forget_timer(self) except -1:
        self.n_cancelled += 1
        if self.n_cancelled > MIN_CANCELLED and self.n_cancelled * 2 > len(self.timers):
            self.timers = [entry for entry in self.timers if (<Timer>entry[2]).fn is not None]
            heapq.heapify(self.timers)
            self.n_cancelled = 0
            self.c.timer_us = self.timers[0][0] if self.timers else INT64_MAX
        return 0

    # File descriptors

    def watch(self, int fd, uint32_t events, fn: Callable[[int], object]) -> None:
        """Call `fn(events)` when `fd` has some of `events` (`select.EPOLLIN` | …), or an error or hang-up.

        Watching an `fd` again replaces. Call `unwatch` before closing it. Raises OSError for an `fd` epoll cannot watch.
        """
        cdef Watch watch = Watch.__new__(Watch)
        cdef int result
        self.drop(fd)
        watch.fn = fn
        watch.c.loop = &self.c
        watch.c.source.fd = fd
        watch.c.source.rank = RANK_CLIENT
        watch.c.source.on_events = on_watched
        watch.c.callback.run = run_watch
        watch.c.callback.owner = <void*>watch
        result = loop_add(&self.c, &watch.c.source, events)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        self.watches[fd] = watch

    def unwatch(self, int fd) -> bool:
        """Stop watching; False if nobody did. No event is told afterwards."""
        return self.drop(fd)

    cdef bint drop(self, int fd) except -1:
        cdef Watch watch = self.watches.pop(fd, None)
        if watch is None:
            return False
        loop_remove(&self.c, &watch.c.source)
        watch.c.source.fd = -1
        if watch.c.callback.queued:
            Py_INCREF(watch)    # the queue points at it: run_watch lets go
        return True

    def listen(self, sock, on_stream, **options):
        """Accept on `sock`, which stays the caller's; `on_stream(stream)` sets the stream's callbacks.

        For `options` see `Listener`.
        """
        from hotpath.core.net.accept import Listener    # it stands on this module
        return Listener(self, sock, on_stream, **options)

    # Signals

    def on_signal(self, int number, fn: Callable[[], object] | None) -> None:
        """Call `fn()` from the loop when signal `number` came, once for any that came together; None: as before.

        It is noted from now on, also before `run`. Main thread only (ValueError), as `signal.signal`.
        """
        if fn is None:
            if number in self.handlers:
                signal.signal(number, self.handlers.pop(number)[1])
            if not self.handlers and not self.running:
                self.return_wakeup_fd()
            return
        self.take_wakeup_fd()       # first: `_ignore` alone would lose it
        before = signal.signal(number, self._ignore)
        if number in self.handlers:
            before = self.handlers[number][1]
        self.handlers[number] = (fn, before)

    def _ignore(self, number: int, frame: object) -> None:
        """Python's handler of a signal that the loop acts on: the C handler has written it to our pipe already."""

    cdef bint take_wakeup_fd(self) except -1:
        if self.old_wakeup_fd is not None or threading.current_thread() is not threading.main_thread():
            return False
        self.old_wakeup_fd = signal.set_wakeup_fd(self.c.signal_fd, warn_on_full_buffer=False)
        return True

    cdef int return_wakeup_fd(self) except -1:
        if self.old_wakeup_fd is not None:
            signal.set_wakeup_fd(self.old_wakeup_fd)
            self.old_wakeup_fd = None
        return 0

    # One turn's Python work

    cdef int run_python(self) except -1:
        self.c.python_due = self.woken = False
        PyErr_CheckSignals()    # runs Python's own handlers: this is where Ctrl-C comes out
        if self.c.noted:
            self.run_signals()
        if self.c.callbacks != NULL:
            self.run_callbacks()
        if self.c.timer_us <= self.c.now_us:
            self.run_timers()
        if self.ready:
            self.run_ready()
        if self.c.timer_us != INT64_MAX or self.c.wheel.next_ms != INT64_MAX:
            loop_read_clocks(&self.c)       # Python took its time, and the next wait is reckoned from now
        return 0

    cdef int run_signals(self) except -1:
        cdef uint64_t noted = self.c.noted
        self.c.noted = 0
        for number, (fn, _) in list(self.handlers.items()):
            if noted >> (number - 1) & 1:
                invoke(fn, ())
        return 0

    # What these queue in turn waits for the next turn, as with timers and calls: no callback starves the sockets.
    cdef int run_callbacks(self) except -1:
        cdef Callback* callback
        cdef Callback** last = self.c.callbacks_end
        cdef bint more = True
        while more:
            callback = self.c.callbacks
            more = &callback.next != last
            self.c.callbacks = callback.next
            if self.c.callbacks == NULL:
                self.c.callbacks_end = &self.c.callbacks
            callback.queued = False
            callback.run(callback)
        return 0

    cdef int run_timers(self) except -1:
        cdef Timer timer
        cdef int64_t now_us = self.c.now_us
        try:
            while self.timers and self.timers[0][0] <= now_us:
                timer = heapq.heappop(self.timers)[2]
                if timer.fn is None:
                    self.n_cancelled -= 1
                    continue
                fn, args = timer.fn, timer.args
                timer.fn = timer.args = None
                invoke(fn, args)
        finally:
            self.c.timer_us = self.timers[0][0] if self.timers else INT64_MAX
        return 0

    cdef int run_ready(self) except -1:
        cdef Py_ssize_t _
        try:
            for _ in range(len(self.ready)):
                fn, args = self.ready.popleft()
                invoke(fn, args)
        finally:
            if self.ready:
                self.c.python_due = True
        return 0

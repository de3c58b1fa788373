"""The loop as a Python object; what handlers need of epoll.pxd is to be had from here too."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from hotpath.core.net.epoll cimport (
    Callback,
    Deadline,
    Deferred,
    HEADROOM_BYTES,
    INBOX_BYTES,
    Pool,
    RANK_ACCEPT,
    RANK_CLIENT,
    RANK_UPSTREAM,
    Rank,
    SCRATCH_BYTES,
    Source,
    Wheel,
    loop_add,
    loop_arm,
    loop_call,
    loop_close,
    loop_defer,
    loop_disarm,
    loop_modify,
    loop_remove,
    loop_t,
)

# The Loop whose `run` (or `close`) is under way in this thread, the innermost of them; borrowed. NULL: none.
cdef PyObject* running_loop() noexcept

# Calls fn(*args); logs what it raises, except KeyboardInterrupt and SystemExit.
cdef int invoke(object fn, tuple args) except -1

cdef class Loop:
    cdef loop_t c
    cdef readonly bint running
    cdef readonly bint closed
    cdef set streams            # every open stream and listener: the reference that keeps it alive
    cdef object ready           # deque of (fn, args), also filled by other threads
    cdef bint woken             # wake_fd was written and the queue not yet looked at (guarded by the GIL)
    cdef list timers            # heap of (due_us, order, Timer)
    cdef int64_t n_timers       # made so far: the order of those due together
    cdef int64_t n_cancelled    # of those in the heap
    cdef dict watches           # fd: Watch
    cdef dict handlers          # signal number: (fn, what was there before)
    cdef object tasks           # core.tasks keeps its scheduler of this loop here; its `close()` comes first in ours
    cdef object old_wakeup_fd   # what signal.set_wakeup_fd had before ours; None: ours is not set

    cdef int forget_timer(self) except -1
    cdef bint drop(self, int fd) except -1
    cdef bint take_wakeup_fd(self) except -1
    cdef int return_wakeup_fd(self) except -1
    cdef int run_python(self) except -1
    cdef int run_signals(self) except -1
    cdef int run_callbacks(self) except -1
    cdef int run_timers(self) except -1
    cdef int run_ready(self) except -1

"""Tasks: straight-line code in greenlets on a loop, switched by whoever waits and whoever wakes."""
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from hotpath.core.net.epoll cimport Callback, loop_t
from hotpath.core.net.loop cimport Loop
from hotpath.core.tasks.line cimport link_append, link_init, link_is_empty, link_remove, link_t

cdef extern from "greenlet.h":
    ctypedef class greenlet.greenlet [object PyGreenlet]:
        pass

cdef enum State:
    NEW = 0                     # in the ready queue; has no carrier yet
    READY = 1                   # in the ready queue: was woken
    RUNNING = 2
    PARKED = 3
    DONE = 4

cdef class Scheduler:
    cdef loop_t* loop           # borrowed: the Loop owns us
    cdef Callback callback      # runs the ready queue
    cdef link_t ready           # head of Task.place: NEW and READY, in the order they came
    cdef link_t living          # head of Task.living: all that are not DONE; each link owns a reference
    cdef list idle              # carriers: greenlets between two tasks
    cdef greenlet hub           # the greenlet that runs the loop
    cdef readonly Task current  # None in the hub
    cdef object fatal           # KeyboardInterrupt or SystemExit out of a task, on its way to Loop.run
    cdef int budget             # switches left in this turn that need not go by the hub
    cdef readonly bint closing
    cdef dict closers           # name: what else is to be closed with the loop (its `close()`)
    cdef object untold          # WeakSet of _Untold

    cdef int add(self, Task task) except -1
    cdef int run_ready(self) except -1
    cdef int choose(self, Task task) except -1
    cdef int enter(self) except -1
    cdef int leave(self) except -1

cdef class Timeout:
    cdef Task task
    cdef Timeout outer          # the next one around us in the same task
    cdef object delay_s
    cdef object timer
    cdef object thrown          # the Cancelled we raised in a nested block
    cdef bint expired           # and not yet raised

cdef class Task:
    """May be subclassed: override `work` and no tuple of arguments is needed."""
    cdef link_t place           # in the ready queue or in one waiting line, never in both
    cdef link_t living
    cdef link_t joiners         # head: tasks parked until this one is done
    cdef PyObject* scheduler    # borrowed; NULL: not started, done, or its loop is gone
    cdef object fn
    cdef tuple args
    cdef object context
    cdef greenlet carrier       # None before and after
    cdef object value           # what the wake-up brings; when DONE, what `work` returned
    cdef object offer           # what it brings to the line it waits in; see Queue.put
    cdef object error           # what came out of `work`
    cdef object untold          # _Untold, as long as nobody has seen `error`
    cdef str label              # the given name, or None
    cdef Timeout timeouts       # the innermost that is entered
    cdef readonly bint cancelled
    cdef uint8_t state
    cdef uint8_t cancelling     # cancel was asked and is not yet raised
    cdef uint8_t interrupted    # woken to raise something
    cdef int n_expired          # timeouts that are to be raised
    cdef int n_refused          # waits while the loop closes

    cdef object work(self)
    cdef int execute(self) except -1
    cdef int fail(self, error) except -1
    cdef int finish(self) except -1
    cdef int interrupt(self) except -1
    cdef int raise_interrupt(self) except -1

# The scheduler of the loop that runs in this thread. RuntimeError: none does.
cdef Scheduler here()
# The task that runs now. RuntimeError: none does (a callback in the hub must not wait).
cdef Task running()

# Starts a task (new, or DONE and used again) in its turn; its context is a copy of the caller's.
cdef int start(Task task) except -1
# The same at once, from the hub only: returns when it first waits, or is done.
cdef int start_now(Task task) except -1

# Waits until `wake`; its value. Raises what a cancel or a timeout wants raised. `line`: head of the waiting line to stand
# in meanwhile, or NULL. Whatever ends the wait takes the task out of the line, so a line holds only PARKED tasks.
cdef object park(link_t* line)
# Lets every other ready task run first.
cdef int give_way() except -1
# True: `task` was parked and will go on, in its turn, with `value`. False: it was not; nothing happened.
cdef bint wake(Task task, object value) except -1
# The same at once, from the hub only: returns when it waits again, or is done.
cdef bint resume(Task task, object value) except -1
# Wakes the first in a waiting line. False: nobody stands there.
cdef bint wake_first(link_t* line, object value) except -1
cdef int wake_all(link_t* line, object value) except -1

"""Tasks: straight-line code in greenlets on a loop, switched by whoever waits and whoever wakes.

The hub is the greenlet that runs the loop. A task runs in a carrier, a greenlet that is used again for the next task:
making one costs a C stack, a chunk of Python frames and their page faults. A task that waits switches to the next that
is ready, or to the hub; the hub runs the ready queue once per turn.
"""
cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from hotpath.core.net.epoll cimport loop_call
from hotpath.core.net.loop cimport running_loop

import logging
import sys
import weakref
from types import GenericAlias

from greenlet import GreenletExit

from hotpath.core.errors import Cancelled, TaskCancelled

log = logging.getLogger(__name__)

cdef extern from "greenlet.h":
    void PyGreenlet_Import()
    greenlet PyGreenlet_New(object run, void* parent)
    greenlet PyGreenlet_GetCurrent()
    object PyGreenlet_Switch(void* carrier, PyObject* args, PyObject* kwargs)
    int PyGreenlet_SetParent(greenlet carrier, greenlet parent) except -1

cdef extern from "Python.h":
    object PyContext_CopyCurrent()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

PyGreenlet_Import()

cdef enum:
    MAX_IDLE = 256              # carriers kept: about 6 KiB each
    MIN_BUDGET = 64             # switches in a turn: an epoll_wait for each would double what a switch costs
    MAX_REFUSED = 1000          # waits of one task while the loop closes; then it is left where it is


cdef int run_ready(Callback* callback) except -1:
    return (<Scheduler>callback.owner).run_ready()


class _Untold:
    """The error of a task, as long as nobody has asked for it: logged when the last reference to the task goes."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.name = name
        self.error = error

    def __del__(self) -> None:
        self.tell()

    def tell(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            log.error("task=%s raised", self.name, exc_info=error)


# A carrier refers to its scheduler without owning it, wherever it waits: else an unclosed loop could never be dropped.
def _carry() -> None:
    """What a carrier runs: one task after the other."""
    cdef PyObject* scheduler = here().current.scheduler
    while carry_one(<Scheduler>scheduler):
        pass


cdef bint carry_one(Scheduler scheduler) except -1:
    cdef greenlet carrier       # not before the task is done: a greenlet that refers to itself would never be dropped
    cdef Task task = scheduler.current
    task.execute()
    if task.carrier is None:
        return False            # the scheduler is gone, and GreenletExit ended the task
    task.carrier = None
    task = scheduler.current = None
    carrier = PyGreenlet_GetCurrent()
    if len(scheduler.idle) >= MAX_IDLE:
        PyGreenlet_SetParent(carrier, scheduler.hub)
        return False
    scheduler.idle.append(carrier)
    carrier = None
    scheduler.leave()
    return True


cdef class Scheduler:
    """The tasks of one loop."""

    def __cinit__(self):
        link_init(&self.ready)
        link_init(&self.living)
        self.idle = []
        self.closers = {}
        self.untold = weakref.WeakSet()
        self.callback.run = run_ready
        self.callback.owner = <void*>self

    def __dealloc__(self):
        # The loop was dropped unclosed: nobody can wake what is parked. Dropping the greenlet raises GreenletExit in it.
        cdef link_t* link = self.living.next
        cdef Task task
        while link != &self.living:
            task = <Task>link.task
            link_remove(&task.place)
            task.scheduler = NULL
            link = link.next
        while not link_is_empty(&self.living):
            task = <Task>self.living.next.task
            link_remove(&task.living)
            task.carrier = None
            Py_DECREF(task)

    cdef int add(self, Task task) except -1:
        if self.closing:
            raise RuntimeError("the loop is closing")
        if task.scheduler != NULL:
            raise RuntimeError(f"task {task.name} was started before and is not done")
        task.scheduler = <PyObject*>self
        task.context = PyContext_CopyCurrent()
        task.state = NEW
        task.error = task.value = task.untold = None
        task.cancelled = task.cancelling = False
        link_append(&self.living, &task.living)
        Py_INCREF(task)
        return 0

    cdef int run_ready(self) except -1:
        cdef link_t* link = self.ready.next
        self.budget = 0
        while link != &self.ready:      # what is ready now has its turn; what it wakes, as far as the budget goes
            self.budget += 1
            link = link.next
        self.budget = max(self.budget, MIN_BUDGET)
        try:
            while self.budget > 0 and not link_is_empty(&self.ready):
                self.budget -= 1
                self.choose(<Task>self.ready.next.task)
                self.enter()
        finally:
            self.budget = 0
            if not link_is_empty(&self.ready):
                loop_call(self.loop, &self.callback)
        return 0

    cdef int choose(self, Task task) except -1:
        link_remove(&task.place)
        task.state = RUNNING
        self.current = task
        if task.carrier is None:
            task.carrier = self.idle.pop() if self.idle else PyGreenlet_New(_carry, NULL)
        return 0

    # From the hub: runs what was chosen until something switches back. It refers to no task meanwhile, because tasks that
    # switch among themselves come and go before it runs on.
    cdef int enter(self) except -1:
        self.hub = PyGreenlet_GetCurrent()
        try:
            PyGreenlet_Switch(<void*>self.current.carrier, NULL, NULL)
        finally:
            self.current = None
        if self.fatal is not None:
            error, self.fatal = self.fatal, None
            raise error
        return 0

    # From a carrier: to the next ready task if the turn has room for it, else to the hub. A new carrier is made and begun
    # by the hub alone: its C stack starts where that of whoever begins it ends.
    cdef int leave(self) except -1:
        cdef void* carrier = <void*>self.hub    # borrowed: a reference on the stack of what waits would outlive its use
        self.current = None
        if self.budget > 0 and not link_is_empty(&self.ready) and (<Task>self.ready.next.task).carrier is not None:
            self.budget -= 1
            self.choose(<Task>self.ready.next.task)
            carrier = <void*>self.current.carrier
        PyGreenlet_Switch(carrier, NULL, NULL)
        return 0

    def close(self) -> None:
        """Cancel all tasks and run each to its end: whatever would wait meanwhile raises Cancelled at once.

        What else is kept by the loop is closed after them. A KeyboardInterrupt or SystemExit comes out behind all that.
        """
        cdef Task task
        ending = None
        self.closing = True
        while not link_is_empty(&self.living):
            task = <Task>self.living.next.task
            task.cancel()
            if task.state == DONE:
                continue                        # it had not begun
            self.choose(task)
            try:
                self.enter()
            except (KeyboardInterrupt, SystemExit) as error:
                ending = error
            if task.state != DONE:
                log.error("task=%s never ends, though every wait raises Cancelled: it is left where it is", task.name)
                link_remove(&task.living)       # its reference is never given back: dropping the greenlet would run it on
                task.scheduler = NULL
        for closer in self.closers.values():
            closer.close()
        self.idle.clear()
        for untold in list(self.untold):
            untold.tell()
        if ending is not None:
            raise ending


cdef Scheduler here():
    cdef PyObject* pointer = running_loop()
    cdef Loop loop
    cdef Scheduler scheduler
    if pointer == NULL:
        raise RuntimeError("no loop runs in this thread")
    loop = <Loop>pointer
    if loop.tasks is None:
        scheduler = Scheduler.__new__(Scheduler)
        scheduler.loop = &loop.c
        loop.tasks = scheduler
    return <Scheduler>loop.tasks


cdef Task running():
    cdef Scheduler scheduler = here()
    if scheduler.current is None:
        raise RuntimeError("only a task can wait: this is a callback of the loop")
    return scheduler.current


cdef int start(Task task) except -1:
    cdef Scheduler scheduler = here()
    scheduler.add(task)
    link_append(&scheduler.ready, &task.place)
    loop_call(scheduler.loop, &scheduler.callback)
    return 0


cdef int start_now(Task task) except -1:
    cdef Scheduler scheduler = here()
    if scheduler.current is not None:
        raise RuntimeError("only a callback of the loop can start a task at once")
    scheduler.add(task)
    scheduler.choose(task)
    return scheduler.enter()


cdef object park(link_t* line):
    cdef Task task = running()
    if (<Scheduler>task.scheduler).closing:
        task.n_refused += 1
        if task.n_refused <= MAX_REFUSED:
            raise Cancelled
    elif task.cancelling or task.n_expired:
        task.raise_interrupt()
    task.state = PARKED
    task.carrier = PyGreenlet_GetCurrent()      # a greenlet that the task made itself may be the one that waits
    if line != NULL:
        link_append(line, &task.place)
    (<Scheduler>task.scheduler).leave()
    if task.interrupted:
        task.raise_interrupt()
    value, task.value = task.value, None
    return value


cdef int give_way() except -1:
    cdef Task task = running()
    if (<Scheduler>task.scheduler).closing or task.cancelling or task.n_expired:
        park(NULL)              # raises
    task.state = READY
    task.carrier = PyGreenlet_GetCurrent()
    link_append(&(<Scheduler>task.scheduler).ready, &task.place)
    loop_call((<Scheduler>task.scheduler).loop, &(<Scheduler>task.scheduler).callback)
    (<Scheduler>task.scheduler).leave()
    return 0


cdef bint wake(Task task, object value) except -1:
    cdef Scheduler scheduler
    if task.state != PARKED or task.scheduler == NULL:
        return False
    scheduler = <Scheduler>task.scheduler
    task.state = READY
    task.value = value
    link_remove(&task.place)
    link_append(&scheduler.ready, &task.place)
    loop_call(scheduler.loop, &scheduler.callback)
    return True


cdef bint resume(Task task, object value) except -1:
    cdef Scheduler scheduler
    if task.state != PARKED or task.scheduler == NULL:
        return False
    scheduler = <Scheduler>task.scheduler
    if scheduler.current is not None:
        return wake(task, value)
    task.value = value
    scheduler.choose(task)
    scheduler.enter()
    return True


cdef bint wake_first(link_t* line, object value) except -1:
    return not link_is_empty(line) and wake(<Task>line.next.task, value)


cdef int wake_all(link_t* line, object value) except -1:
    while wake_first(line, value):
        pass
    return 0


@cython.freelist(64)
cdef class Task:
    """A function that runs in a greenlet; made by `spawn`."""

    def __cinit__(self):
        self.place.task = self.living.task = <void*>self
        link_init(&self.joiners)

    def __class_getitem__(cls, item: object) -> GenericAlias:
        return GenericAlias(cls, item)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def name(self) -> str:
        """As given to `spawn`, else the function's."""
        if self.label is None:
            return getattr(self.fn, "__qualname__", None) or repr(self.fn)
        return self.label

    @property
    def done(self) -> bool:
        """It returned, raised or was cancelled."""
        return self.state == DONE

    def cancel(self) -> bool:
        """Raise Cancelled where the task waits, or at its next wait; False if it is done.

        One that has not begun never does. A wake-up that came before stands: nothing handed over is lost.
        """
        if self.state == DONE:
            return False
        if self.state == NEW:
            link_remove(&self.place)
            self.cancelled = True
            self.finish()
            return True
        self.cancelling = True
        self.interrupt()
        return True

    def join(self) -> None:
        """Wait until the task is done, however it ends."""
        if self.state == DONE:
            return
        if running() is self:
            raise RuntimeError("a task cannot wait for itself")
        park(&self.joiners)

    def result(self) -> object:
        """Wait until the task is done; what it returned. Raises what it raised, or TaskCancelled."""
        self.join()
        if self.cancelled:
            raise TaskCancelled(f"task {self.name} was cancelled")
        if self.untold is not None:
            self.untold.error = None
            self.untold = None
        if self.error is not None:
            raise self.error
        return self.value

    cdef object work(self):
        return self.fn(*self.args)

    # Its frame lies under everything the task does, and is kept for as long as that waits: so it is small.
    cdef int execute(self) except -1:
        PyContext_Enter(self.context)
        try:
            self.value = self.work()
        except BaseException:
            self.fail(sys.exc_info()[1])
        PyContext_Exit(self.context)
        return self.finish()

    cdef int fail(self, error) except -1:
        if isinstance(error, (Cancelled, GreenletExit)):
            self.cancelled = True
            return 0
        self.error = error
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            if self.scheduler != NULL:
                (<Scheduler>self.scheduler).fatal = error
            return 0
        self.untold = _Untold(self.name, error)
        if self.scheduler != NULL:
            (<Scheduler>self.scheduler).untold.add(self.untold)
        return 0

    cdef int finish(self) except -1:
        self.state = DONE
        self.args = self.context = None
        self.timeouts = None
        self.n_expired = 0
        self.cancelling = self.interrupted = False
        wake_all(&self.joiners, None)
        if self.scheduler != NULL:
            self.scheduler = NULL
            link_remove(&self.living)
            Py_DECREF(self)
        return 0

    # Something is to be raised: now, if it waits.
    cdef int interrupt(self) except -1:
        if self.state == PARKED and wake(self, None):
            self.interrupted = True
        return 0

    cdef int raise_interrupt(self) except -1:
        cdef Timeout timeout = self.timeouts, outermost = None
        self.interrupted = False
        if self.cancelling:
            self.cancelling = False
            raise Cancelled
        while timeout is not None:
            if timeout.expired:
                outermost = timeout
            timeout = timeout.outer
        outermost.expired = False
        self.n_expired -= 1
        if outermost is self.timeouts:
            raise TimeoutError(f"not done within {outermost.delay_s:g} s")
        outermost.thrown = Cancelled()
        raise outermost.thrown


cdef class Timeout:
    """`with timeout(s):` the block may take so long; see `timeout`."""

    def __init__(self, delay_s: float | None) -> None:
        self.delay_s = delay_s

    def __enter__(self) -> Timeout:
        if self.task is not None:
            raise RuntimeError("this timeout is entered already")
        cdef Task task = running()
        self.task = task
        self.outer = task.timeouts
        task.timeouts = self
        self.expired = False
        self.thrown = None
        if self.delay_s is not None:
            if self.delay_s <= 0:
                self._expire()
            else:
                self.timer = (<Loop>(<Scheduler>task.scheduler).loop.owner).call_later(self.delay_s, self._expire)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        cdef Task task = self.task
        task.timeouts = self.outer
        self.task = self.outer = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.expired:
            self.expired = False
            task.n_expired -= 1
        thrown, self.thrown = self.thrown, None
        if thrown is not None and thrown is error:
            raise TimeoutError(f"not done within {self.delay_s:g} s") from error

    def _expire(self) -> None:
        self.expired = True
        self.task.n_expired += 1
        self.task.interrupt()


def timeout(delay_s: float | None) -> Timeout:
    """A context manager: TimeoutError where its block waits, once `delay_s` have passed; None: never.

    Inside the block of a further timeout, an outer one raises Cancelled, which becomes TimeoutError as it leaves its own
    block: nobody takes it for the inner one's. A block that ends in time is never told afterwards.
    """
    return Timeout(delay_s)


def spawn(fn: object, *args: object, name: str | None = None) -> Task:
    """Run `fn(*args)` in a task of this thread's loop, in its turn, with a copy of the caller's context.

    It lives until it is done, whoever refers to it, or until the loop closes, which cancels it. What it raises is logged
    when nobody refers to it any more, or at that close, unless `result` was asked for it.
    Raises RuntimeError if no loop runs here.
    """
    cdef Task task = Task.__new__(Task)
    task.fn = fn
    task.args = args
    task.label = name
    start(task)
    return task


def current() -> Task | None:
    """The task that runs; None in a callback of the loop, or where no loop runs."""
    return None if running_loop() == NULL else here().current


def _wake(Task task) -> None:
    wake(task, None)


def sleep(double delay_s) -> None:
    """Wait; 0: until everybody else who is ready has run."""
    if delay_s <= 0:
        give_way()
        return
    cdef Task task = running()
    timer = (<Loop>(<Scheduler>task.scheduler).loop.owner).call_later(delay_s, _wake, task)
    try:
        park(NULL)
    finally:
        timer.cancel()


def kept_by_loop(name: str, make: object) -> object:
    """What belongs to this thread's loop under that name: `make(loop)` at first; its `close()` comes with the loop's."""
    cdef Scheduler scheduler = here()
    if name not in scheduler.closers:
        scheduler.closers[name] = make(<Loop>scheduler.loop.owner)
    return scheduler.closers[name]


def run(fn: object, *args: object) -> object:
    """Run `fn(*args)` in a task on a loop of its own, until it is done; what it returned. Then cancel all other tasks.

    Raises what `fn` raised, and TaskCancelled if somebody stopped the loop before.
    """
    def main() -> object:
        try:
            return fn(*args)
        finally:
            loop.stop()

    def begin() -> None:
        made.append(spawn(main, name=getattr(fn, "__qualname__", None)))

    loop = Loop()
    made = []
    try:
        loop.call_soon(begin)
        loop.run()
        if not made[0].done:
            loop.close()
        return made[0].result()
    finally:
        loop.close()

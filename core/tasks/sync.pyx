"""What tasks of one loop wait for: an event, a permit, a lock, an item. First come, first served.

A permit or an item goes from hand to hand: nobody who comes later can take it before the woken task has run. None of this
is for other threads: they go by `Loop.call_soon_threadsafe`.
"""
from hotpath.core.tasks.line cimport link_init, link_is_empty, link_t
from hotpath.core.tasks.task cimport Task, park, running, wake_all, wake_first

from collections import deque
from queue import Empty, Full
from types import GenericAlias


cdef class Event:
    """Something that happened, or did not yet."""

    cdef link_t waiting         # head
    cdef readonly bint is_set

    def __cinit__(self):
        link_init(&self.waiting)

    def set(self) -> None:
        """Let all go on who wait, and who will."""
        self.is_set = True
        wake_all(&self.waiting, None)

    def clear(self) -> None:
        """Let wait who comes from now on."""
        self.is_set = False

    def wait(self) -> None:
        """Return once it is set."""
        if not self.is_set:
            park(&self.waiting)


cdef class Semaphore:
    """So many permits; `with` takes one and gives it back."""

    cdef link_t waiting         # head; while anybody stands there, no permit is free
    cdef readonly Py_ssize_t free

    def __cinit__(self):
        link_init(&self.waiting)

    def __init__(self, permits: int) -> None:
        if permits < 0:
            raise ValueError(f"permits {permits}: 0 or more")
        self.free = permits

    def acquire(self) -> None:
        """Take a permit; wait for one if need be."""
        if self.free > 0:
            self.free -= 1
        else:
            park(&self.waiting)

    def try_acquire(self) -> bool:
        """Take a permit if one is free."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    def release(self) -> None:
        """Give a permit, to whoever waits longest. No task is needed."""
        if not wake_first(&self.waiting, None):
            self.free += 1

    def __enter__(self) -> Semaphore:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


cdef class Lock:
    """Held by one task at a time, which alone can release it. Not re-entrant."""

    cdef link_t waiting         # head
    cdef readonly Task holder   # None: free

    def __cinit__(self):
        link_init(&self.waiting)

    def acquire(self) -> None:
        """Take it; wait if another task has it. Raises RuntimeError if this one has: it would wait for ever."""
        cdef Task task = running()
        if self.holder is None:
            self.holder = task
        elif self.holder is task:
            raise RuntimeError(f"task {task.name} holds this lock already")
        else:
            park(&self.waiting)         # release made us the holder

    def release(self) -> None:
        """Give it to whoever waits longest. Raises RuntimeError if this task does not hold it."""
        if self.holder is None or self.holder is not running():
            raise RuntimeError("only the task that holds a lock can release it")
        self.holder = None
        if not link_is_empty(&self.waiting):
            self.holder = <Task>self.waiting.next.task
            wake_first(&self.waiting, None)

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


cdef class Queue:
    """Items in order, at most `size` of them; who puts into a full one waits. No `size`: it never is full."""

    cdef link_t getting         # head; while anybody stands there, `items` is empty
    cdef link_t putting         # head; while anybody stands there, `items` is full. Task.offer is what each brings
    cdef object items
    cdef readonly object size

    def __cinit__(self):
        link_init(&self.getting)
        link_init(&self.putting)
        self.items = deque()

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"size {size}: 1 or more")
        self.size = size

    def __class_getitem__(cls, item: object) -> GenericAlias:
        return GenericAlias(cls, item)

    def __len__(self) -> int:
        return len(self.items)

    def put(self, item: object) -> None:
        """Append `item`; wait while the queue is full. A put that is cancelled or late has put nothing."""
        cdef Task task
        if not self.accept(item):
            task = running()
            task.offer = item
            try:
                park(&self.putting)
            finally:
                task.offer = None

    def put_nowait(self, item: object) -> None:
        """Append `item`, or raise `queue.Full`. No task is needed."""
        if not self.accept(item):
            raise Full

    cdef bint accept(self, item) except -1:
        if wake_first(&self.getting, item):
            return True
        if self.size is not None and len(self.items) >= self.size:
            return False
        self.items.append(item)
        return True

    def get(self) -> object:
        """The oldest item; wait for one if need be."""
        if not self.items:
            return park(&self.getting)
        return self.take()

    def get_nowait(self) -> object:
        """The oldest item; raises `queue.Empty` if there is none. No task is needed."""
        if not self.items:
            raise Empty
        return self.take()

    cdef object take(self):
        item = self.items.popleft()
        if not link_is_empty(&self.putting):
            self.items.append((<Task>self.putting.next.task).offer)
            wake_first(&self.putting, None)
        return item

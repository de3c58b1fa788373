"""Threads for what would block the loop: a call runs in one of them while its task waits."""
from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar

from hotpath.core.net.loop import Loop
from hotpath.core.tasks.sync import Event, Semaphore
from hotpath.core.tasks.task import current, kept_by_loop

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

# Database drivers and fsync wait rather than compute, so more threads than processors; each costs some 100 KiB.
THREADS = 16
# Calls that wait for a thread. Beyond it the caller waits before anything is queued, which is the back-pressure.
WAITING = 256


class _Call:
    """One call on its way through a thread and back."""

    def __init__(self, run: Callable[[], None], context: Context) -> None:
        self.run = run
        self.context = context
        self.done = Event()
        self.error: BaseException | None = None
        self.abandoned = False          # whoever waited was cancelled or late

    def make(self) -> None:
        """In the thread."""
        try:
            self.context.run(self.run)
        except BaseException as error:
            self.error = error


class Threads:
    """At most `threads` threads of one loop, begun when needed; at most `waiting` calls wait for one.

    Neither a close nor the end of the process waits for a call that is under way: the threads are daemons.
    """

    def __init__(self, loop: Loop, *, threads: int = THREADS, waiting: int = WAITING) -> None:
        if threads < 1 or waiting < 0:
            raise ValueError(f"threads {threads}, waiting {waiting}: at least 1 and 0")
        self._loop = loop
        self._max_threads = threads
        self._room = Semaphore(threads + waiting)
        self._changed = threading.Condition()       # guards what follows
        self._calls: deque[_Call] = deque()         # not begun
        self._n_threads = 0
        self._n_idle = 0
        self._closed = False

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`fn(*args, **kwargs)` in a thread and in a copy of the caller's context; see `offload`."""
        if current() is None:
            raise RuntimeError("only a task can wait: this is a callback of the loop")
        box: list[T] = []       # typed, as an attribute of _Call is not
        self._room.acquire()
        call = _Call(lambda: box.append(fn(*args, **kwargs)), copy_context())
        self._submit(call)
        try:
            call.done.wait()
        except BaseException:
            self._abandon(call)
            raise
        error, call.error = call.error, None
        if error is None:
            return box[0]
        try:
            raise error
        finally:
            del error           # its traceback leads to this frame: a cycle

    def close(self) -> None:
        """Drop what has not begun; each thread ends after what it does now."""
        with self._changed:
            self._closed = True
            self._calls.clear()
            self._changed.notify_all()

    def _submit(self, call: _Call) -> None:
        with self._changed:
            self._calls.append(call)
            if len(self._calls) > self._n_idle and self._n_threads < self._max_threads:
                self._n_threads += 1
                threading.Thread(target=self._serve, name=f"offload-{self._n_threads}", daemon=True).start()
            else:
                self._changed.notify()

    def _abandon(self, call: _Call) -> None:
        with self._changed:
            if call in self._calls:
                self._calls.remove(call)
                self._room.release()
            else:
                call.abandoned = True

    def _serve(self) -> None:
        while (call := self._next()) is not None:
            call.make()
            self._loop.call_soon_threadsafe(self._finish, call)
            del call            # or an idle thread would keep the last call's result alive

    def _next(self) -> _Call | None:
        with self._changed:
            self._n_idle += 1
            while not self._calls and not self._closed:
                self._changed.wait()
            self._n_idle -= 1
            return self._calls.popleft() if self._calls else None

    def _finish(self, call: _Call) -> None:
        self._room.release()
        if not call.abandoned:
            call.done.set()
        elif call.error is not None:
            log.error("offload: a call whose task had gone raised", exc_info=call.error)


def use_threads(threads: int = THREADS, *, waiting: int = WAITING) -> None:
    """How many threads `offload` has on this loop, and how many calls may wait. RuntimeError once it was used."""
    made: list[Threads] = []

    def make(loop: Loop) -> Threads:
        made.append(Threads(loop, threads=threads, waiting=waiting))
        return made[0]

    kept_by_loop("offload", make)
    if not made:
        raise RuntimeError("offload has been used on this loop already")


def offload(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `fn(*args, **kwargs)` in a thread while this task waits; what it returns or raises.

    `fn` sees a copy of the caller's context variables. Callers beyond the queue's length wait their turn. If the task
    is cancelled or late, a call that has not begun is dropped; one under way is let finish, its result thrown away,
    its error logged.
    """
    return kept_by_loop("offload", Threads).call(fn, *args, **kwargs)

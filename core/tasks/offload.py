"""Threads for what would block the loop: a call runs in one of them while its task waits."""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

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


class _Call(Generic[T]):
    """One call on its way through a thread and back."""

    __slots__ = ("abandoned", "args", "context", "done", "error", "fn", "kwargs", "value")

    def __init__(self, fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs
        self.context = copy_context()
        self.done = Event()
        self.error: BaseException | None = None
        self.abandoned = False          # whoever waited was cancelled or late

    def make(self) -> None:
        """In the thread."""
        try:
            self.value = self.context.run(self.fn, *self.args, **self.kwargs)
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
        self._calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()     # None: end, one for each thread
        self._n_threads = 0
        self._n_calls = 0               # not yet finished; only the loop's thread counts
        self._closed = False

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`fn(*args, **kwargs)` in a thread and in a copy of the caller's context; see `offload`."""
        if current() is None:
            raise RuntimeError("only a task can wait: this is a callback of the loop")
        self._room.acquire()
        call = _Call(fn, args, kwargs)
        if self._n_threads < min(self._n_calls + 1, self._max_threads):
            try:
                threading.Thread(target=self._serve, name=f"offload-{self._n_threads + 1}", daemon=True).start()
                self._n_threads += 1
            except RuntimeError:        # the system has no more: those that are there will come to it
                if self._n_threads == 0:
                    self._room.release()
                    raise
        self._n_calls += 1
        self._calls.put(call)
        try:
            call.done.wait()
        except BaseException:
            call.abandoned = True       # a thread that comes to it now passes it by
            raise
        if call.error is None:
            return call.value
        error, call.error = call.error, None
        try:
            raise error
        finally:
            del error           # its traceback leads to this frame: a cycle

    def close(self) -> None:
        """Drop what has not begun; each thread ends after what it does now."""
        self._closed = True
        for _ in range(self._n_threads):
            self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            if not (call.abandoned or self._closed):
                call.make()
            self._loop.call_soon_threadsafe(self._finish, call)
            del call            # or an idle thread would keep the last call's result alive

    def _finish(self, call: _Call[Any]) -> None:
        self._n_calls -= 1
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

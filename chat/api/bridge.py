"""From the hub to native threads and back: a greenlet waits, everybody else goes on.

gevent is not patched in anywhere: `threading` makes native threads. A result comes back through a queue and one wake-up
of the hub for all that lie in it.
"""
from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import ParamSpec, TypeVar, cast

from gevent import get_hub
from gevent.hub import Waiter

from hotpath.core.errors import HotpathError

P = ParamSpec("P")
T = TypeVar("T")

# A database that hangs must not keep the process from ending.
STOP_S = 2.0

Done = Callable[[object], None]
Job = Callable[[], None]


class Overloaded(HotpathError):
    """The client: more is waiting than will be done soon; try again later."""


class Bridge:
    """Carries results into the hub of the thread that makes it."""

    def __init__(self) -> None:
        self._landed: deque[tuple[Waiter[object], object]] = deque()
        self._watcher = get_hub().loop.async_()
        self._watcher.start(self._hand_out)

    def close(self) -> None:
        """Whoever still waits, waits for ever."""
        self._watcher.stop()
        self._watcher.close()

    def wait(self, start: Callable[[Done], None]) -> object:
        """Call `start(done)`, then wait until somebody, in any thread, calls `done(result)`; return that.

        An exception as the result is raised here, as is what `start` raises.
        """
        waiter: Waiter[object] = Waiter()
        landed, watcher = self._landed, self._watcher

        def done(result: object) -> None:
            landed.append((waiter, result))
            watcher.send()

        start(done)
        result = waiter.get()
        if isinstance(result, BaseException):
            # One exception may answer a whole batch: each raises it with a traceback of its own.
            raise result.with_traceback(None)
        return result

    def _hand_out(self) -> None:
        while self._landed:
            waiter, result = self._landed.popleft()
            waiter.switch(result)


class Threads:
    """A few native threads for what blocks, and a bounded queue before them."""

    def __init__(self, bridge: Bridge, name: str, *, n_threads: int, max_waiting: int) -> None:
        """They start now."""
        self._bridge = bridge
        self._name = name
        self._max_waiting = max_waiting
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(n_threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """How many calls wait for a thread."""
        return self._jobs.qsize()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns or raises, called in one of the threads. Raises Overloaded at once."""
        if self._jobs.qsize() >= self._max_waiting:
            raise Overloaded(f"{self._max_waiting} requests wait for {self._name} already")

        def start(done: Done) -> None:
            def job() -> None:
                try:
                    result: object = function(*args, **kwargs)
                except BaseException as error:
                    result = error
                done(result)

            self._jobs.put(job)

        return cast(T, self._bridge.wait(start))

    def stop(self) -> None:
        """End each thread behind what is queued; one that hangs in a call is left to it."""
        for _ in self._threads:
            self._jobs.put(None)
        deadline_s = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

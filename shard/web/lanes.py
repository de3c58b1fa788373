"""Threads for database work, a lane for each shard: one that is stuck keeps its own lane busy, and no other."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import ParamSpec, TypeVar

from hotpath.core.errors import PoolTimeout
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Semaphore, offload, timeout

P = ParamSpec("P")
T = TypeVar("T")

# Of what asks many shards at once: pages and aggregates, bulks and multi-gets.
WIDE = 16
# Of administration and the status.
ADMIN = 8
# Who is to blame when one of these lanes is full.
ROUTER = "router"
MANY, SCANS, STEERING, STATUS = "*many", "*scans", "*steering", "*status"
# Shards that there are threads for when all are stuck at once; with more of them, calls queue for a thread.
SHARDS = 16
# Of a lane, whatever the pool may have.
WIDEST = 128


def width_of(connections: int) -> int:
    """How many calls of one shard are under way at once: a thread more than connections would only wait in the pool."""
    return min(WIDEST, connections)


def threads_for(connections: int) -> int:
    """How many threads a worker may need, with so many connections to each shard; each is begun when it is needed."""
    return SHARDS * width_of(connections) + 2 * WIDE + 2 * ADMIN


class Lanes:
    """Who may use how many threads. Of one loop: no lock, tasks wait in line."""

    def __init__(self, loop: Loop, *, connections: int, wait_s: float, waited: Callable[[str, float], None]) -> None:
        """`waited(shard, seconds)` is told of each call, however long it waited."""
        self._loop = loop
        self._width = width_of(connections)
        self._wait_s = wait_s
        self._waited = waited
        self._lanes = {MANY: Semaphore(WIDE), SCANS: Semaphore(WIDE), STEERING: Semaphore(ADMIN),
                       STATUS: Semaphore(ADMIN)}
        self._waiting: dict[str, int] = {}

    def waiting(self, name: str) -> int:
        """How many tasks wait in this lane."""
        return self._waiting.get(name, 0)

    def call(self, name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`fn(*args, **kwargs)` in a thread. Raises PoolTimeout: the lane stayed full for as long as a pool waits."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Semaphore(self._width)
        if not lane.try_acquire():
            self._wait(name, lane)
        elif name[0] != "*":
            self._waited(name, 0.0)
        # The place is free once nobody needs it: the thread, which goes on when the client has gone, and the task.
        # A pop is one step: who begins the call takes `turn`, and of the two in `users` the last one finds none left.
        turn, users = [None], [None, None]

        def work() -> T:
            turn.pop()
            try:
                return fn(*args, **kwargs)
            finally:
                users.pop()
                if not users:
                    with suppress(RuntimeError):        # the loop has ended
                        self._loop.call_soon_threadsafe(lane.release)

        try:
            return offload(work)
        finally:
            try:
                turn.pop()
                lane.release()                          # the call was dropped before it began
            except IndexError:
                users.pop()
                if not users:
                    lane.release()

    def _wait(self, name: str, lane: Semaphore) -> None:
        began_s = monotonic()
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            with timeout(self._wait_s):
                lane.acquire()
        except TimeoutError:
            who = ROUTER if name[0] == "*" else name
            raise PoolTimeout(who, f"too many requests at once: none was over within {self._wait_s:g} s") from None
        finally:
            self._waiting[name] -= 1
            if name[0] != "*":
                self._waited(name, monotonic() - began_s)

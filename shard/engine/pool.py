"""The connections of one shard: lent to one thread at a time, the last used first.

One short lock; whatever takes time (to connect, to ask a connection whether it lives, to close it) happens outside it.
Who finds none free waits in line. At first it is only called when one is free, and a thread that runs may be faster: to
hand each connection over would put a switch of threads into every use. Who waits for long is served before anybody.
"""
from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from hotpath.core.errors import PoolTimeout, ShardUnavailable
from hotpath.shard.config import PoolConfig

from . import PoolStats, forks
from .errors import Unreachable

BREAK_AFTER = 3         # failed connects in a row; then nobody waits for another one
PROBE_S = 0.5           # so often one caller tries all the same
# Idle for less, a connection is used without a look: whatever happened to it might have happened in use as well.
GLANCE_AFTER_S = 0.01
PATIENCE_S = 0.01       # in line for longer, one gets the next connection that comes back
FORK_S = 5.0            # what a fork waits for connections in hand, where they must not be inherited


class Connection(Protocol):
    """What a pool needs of one. The two times are the pool's to set."""

    opened_s: float
    since_s: float          # last lent, or given back

    def clean(self) -> bool:
        """Whether the next user finds it as a new one: no open transaction, nothing unread. No round trip."""
        ...

    def glance(self) -> bool:
        """False if it is known to be dead. No round trip."""
        ...

    def ping(self) -> bool:
        """Whether it lives; one round trip."""
        ...

    def close(self) -> None:
        """Close it; raises nothing."""
        ...

    def forget(self) -> None:
        """Let go of it in a forked child, so that the parent's side of it notices nothing. Not `clean` from then on."""
        ...


C = TypeVar("C", bound=Connection)


class _Waiter(Generic[C]):
    """A thread in line."""

    __slots__ = ("connection", "served", "since_s", "wake")

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.wake = threading.Lock()
        self.wake.acquire()
        self.served = False
        self.connection: C | None = None        # served without one: there is room to open one, and it is taken


class Pool(Generic[C]):
    """At most `max` connections. `release` or `discard` each one that `lease` gave."""

    def __init__(self, shard: str, connect: Callable[[], C], config: PoolConfig, *, max: int | None = None,
                 inherit: bool = True, clock: Callable[[], float] = time.monotonic,
                 on_wait: Callable[[float], None] | None = None) -> None:
        """`connect` raises Unreachable. `on_wait` hears how long each one waited that had to.

        `inherit`: a fork may happen while connections are open, the child forgets them. Else they are closed before it.
        """
        self.shard = shard
        self.max = max if max is not None else config.max
        self._connect = connect
        self._config = config
        self._clock = clock
        self._on_wait = on_wait
        self._inherit = inherit
        self._lock = threading.Lock()
        self._idle: list[C] = []        # the last one was used last
        self._all: set[C] = set()
        self._size = 0                  # open, or about to be
        self._waiting: deque[_Waiter[C]] = deque()
        self._called: _Waiter[C] | None = None      # woken to look for an idle one
        self._suspect_s = float("-inf")     # when one was found dead: those idle since before may be so too
        self._failures = 0              # connects in a row
        self._probe_s = 0.0             # when the next one may try, once there were too many
        self._error: str | None = None
        self._closed = False
        self._paused = False            # about to fork
        self._keeps = True              # neither of the two
        self._emptied = threading.Event()
        forks.tell(self)

    # These two stand around every statement: no call in them that is not needed.
    def lease(self, wait_s: float | None = None) -> C:
        """A connection that lives. Raises PoolTimeout after `wait_s` (default: the pool's), ShardUnavailable."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            now_s = self._clock()
            if now_s - connection.since_s < GLANCE_AFTER_S:
                connection.since_s = now_s
                return connection
        return self._find(connection, self._config.wait if wait_s is None else wait_s)

    def release(self, connection: C) -> None:
        """Take it back; close it if it is not clean, or old."""
        outdated: C | None = connection
        connection.since_s = now_s = self._clock()
        if now_s - connection.opened_s < self._config.age and connection.clean():
            with self._lock:
                if self._keeps:
                    outdated = None
                    if self._waiting and now_s - self._waiting[0].since_s > PATIENCE_S:
                        self._serve(connection)
                    else:
                        self._idle.append(connection)
                        if self._waiting:
                            self._call()
                        elif now_s - self._idle[0].since_s > self._config.idle:
                            outdated = self._idle.pop(0)
        if outdated is not None:
            self.discard(outdated)

    def discard(self, connection: C, *, dead: bool = False) -> None:
        """Close it instead. `dead`: the others may be so too, and are asked before they are used."""
        with self._lock:
            if connection not in self._all:
                return                  # the parent's, and forgotten
            self._all.remove(connection)
            if dead:
                self._suspect_s = self._clock()
        try:
            connection.close()
        finally:
            with self._lock:
                self._give_up_place()

    def stats(self) -> PoolStats:
        """How it stands; closes what has been idle for too long."""
        outdated = None
        with self._lock:
            if self._idle and self._clock() - self._idle[0].since_s > self._config.idle:
                outdated = self._idle.pop(0)
        if outdated is not None:
            self.discard(outdated)
            return self.stats()
        with self._lock:
            return PoolStats(self._size, self._size - len(self._idle), len(self._waiting), self.max,
                             self._error is None, self._error)

    def close(self) -> None:
        """Close what is idle now, and the rest when it comes back. Who waits is told, as is who comes later."""
        with self._lock:
            self._closed, self._keeps = True, False
            idle, self._idle = self._idle, []
            while self._waiting:
                self._size += 1         # what `_open` gives up again
                self._serve(None)
        for connection in idle:
            self.discard(connection)

    def _find(self, connection: C | None, wait_s: float) -> C:
        """One that lives: `connection` if it does, else the next one, else a new one."""
        while connection is not None:
            ask = (self._clock() - connection.since_s >= self._config.ping_after
                   or connection.since_s <= self._suspect_s)
            lives = False
            try:
                lives = connection.ping() if ask else connection.glance()
            finally:
                if not lives:       # or Ctrl-C
                    self.discard(connection, dead=True)
            if lives:
                connection.since_s = self._clock()
                return connection
            with self._lock:
                connection = self._idle.pop() if self._idle else None
        return self._place(wait_s) or self._open()

    def _place(self, wait_s: float) -> C | None:
        """A connection that somebody gives back, or None: there is room to open one, and it is taken."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._closed or (self._size < self.max and not self._paused):
                self._size += 1
                return None
            waiter = _Waiter[C](self._clock())
            self._waiting.append(waiter)
        try:
            return self._await(waiter, wait_s)
        except BaseException:                   # too late, or Ctrl-C
            with self._lock:
                if self._called is waiter:
                    self._called = None
                    self._call()
                if not waiter.served:
                    self._waiting.remove(waiter)
                elif waiter.connection is None:
                    self._give_up_place()
            if waiter.connection is not None:
                self.release(waiter.connection)
            raise
        finally:
            if self._on_wait is not None:
                self._on_wait(self._clock() - waiter.since_s)

    def _await(self, waiter: _Waiter[C], wait_s: float) -> C | None:
        """Until it is served, or finds one when it is called."""
        left_s = wait_s
        while True:
            waiter.wake.acquire(timeout=max(0.0, left_s))
            with self._lock:
                if self._called is waiter:
                    self._called = None
                if waiter.served:
                    return waiter.connection
                if self._idle:
                    self._waiting.remove(waiter)
                    connection = self._idle.pop()
                    self._call()
                    return connection
                left_s = waiter.since_s + wait_s - self._clock()
                if left_s <= 0:
                    raise PoolTimeout(self.shard, f"all {self.max} connections were in use for {wait_s:g} s")

    # The next three are called with the lock.

    def _call(self) -> None:
        """Wake the first in line to see whether one is idle; one thread at a time is on its way."""
        if self._called is None and self._idle and self._waiting:
            self._called = self._waiting[0]
            self._called.wake.release()

    def _serve(self, connection: C | None) -> None:
        """Give the first in line a connection, or the room to open one."""
        waiter = self._waiting.popleft()
        waiter.connection = connection
        waiter.served = True
        if waiter is self._called:      # on its way already; so that another may be called
            self._called = None
            self._call()
        else:
            waiter.wake.release()

    def _give_up_place(self) -> None:
        """To the next in line, or to nobody."""
        if self._waiting and not self._paused:
            self._serve(None)
            return
        self._size -= 1
        if not self._size:
            self._emptied.set()

    def _open(self) -> C:
        """Connect; its place is taken already."""
        connection = None
        try:
            self._admit()
            connection = self._connect()
            connection.opened_s = connection.since_s = self._clock()
        except Unreachable as error:
            with self._lock:
                self._failures += 1
                self._error = str(error)
                self._probe_s = self._clock() + PROBE_S
            raise ShardUnavailable(self.shard, str(error), retry_after_s=PROBE_S) from error
        finally:
            with self._lock:
                if connection is None:
                    self._give_up_place()
                else:
                    self._failures = 0
                    self._error = None
                    self._all.add(connection)
        return connection

    def _admit(self) -> None:
        """Raises ShardUnavailable if the pool is closed, or too many connects failed and no try is due."""
        with self._lock:
            if self._closed:
                raise ShardUnavailable(self.shard, "closed")
            if self._failures < BREAK_AFTER:
                return
            now_s = self._clock()
            if now_s < self._probe_s:
                raise ShardUnavailable(self.shard, self._error or "unreachable", retry_after_s=PROBE_S)
            self._probe_s = now_s + self._config.connect + PROBE_S      # ours: no second one beside it

    def before_fork(self) -> None:
        """Close what must not be inherited; who has one in hand is waited for."""
        if self._inherit:
            return
        with self._lock:
            self._paused, self._keeps = True, False
            idle, self._idle = self._idle, []
            self._emptied.clear()
            busy = self._size > 0
        for connection in idle:
            self.discard(connection)
        if busy:
            self._emptied.wait(FORK_S)

    def after_fork(self, *, child: bool) -> None:
        """The child starts with nothing; the parent goes on."""
        if child:
            # The old ones may be held by a thread that is not here.
            self._lock = threading.Lock()
            self._emptied = threading.Event()
            for connection in self._all:
                connection.forget()
            self._all = set()
            self._idle = []
            self._waiting = deque()
            self._called = None
            self._size = self._failures = 0
            self._error = None
        elif self._inherit:
            return
        with self._lock:
            self._paused, self._keeps = False, not self._closed
            while self._waiting and self._size < self.max:
                self._size += 1
                self._serve(None)

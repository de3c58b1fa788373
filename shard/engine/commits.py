"""One line for all threads that write to a file: the first in it leads, and one commit serves all who stand there.

A commit costs a sync of the disk, whatever it holds. The leader takes the lock of the file, runs the work of each
thread in line, in their order and in its own thread, commits, and wakes them; whoever came meanwhile is first in the
next line. What one work raises undoes only that work.
"""
from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hotpath.core.errors import PoolTimeout, ShardUnavailable, UncertainOutcome

from . import PoolStats, Session, forks
from .errors import Conflict, Full
from .pool import Pool

if TYPE_CHECKING:
    from .sqlite import SqliteSession

T = TypeVar("T")

# The lock of another process is asked for this often: SQLite's own waiting grows to 100 ms, and is unfair.
POLL_S = 0.0005


def patient(do: Callable[[], T], shard: str, give_up_s: float) -> T:
    """`do` until no other process's lock is in its way. Raises PoolTimeout at `give_up_s`."""
    while True:
        try:
            return do()
        except Conflict as conflict:
            if time.monotonic() > give_up_s:
                raise PoolTimeout(shard, "another process holds the file's lock") from conflict
        time.sleep(POLL_S)


class _Work:
    """What one thread wants done."""

    __slots__ = ("alone", "by_itself", "do", "done", "error", "give_up_s", "leads", "result", "wake")

    def __init__(self, do: Callable[[Session], Any], give_up_s: float, *, alone: bool) -> None:
        self.do = do
        self.give_up_s = give_up_s
        self.alone = alone          # one statement, which undoes itself when it fails
        self.by_itself = False      # in a commit of its own: it was in one that failed, and perhaps not for its sake
        self.wake = threading.Lock()
        self.wake.acquire()
        self.done = self.leads = False
        self.result: Any = None
        self.error: Exception | None = None


class Commits:
    """The line of one file. `pool` has one connection."""

    def __init__(self, shard: str, pool: Pool[SqliteSession], wait_s: float) -> None:
        """`wait_s`: how long to stand in line, and wait for other processes, when nothing else is said."""
        self._shard = shard
        self._pool = pool
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._line: deque[_Work] = deque()
        self._led = False               # somebody leads, or was told to
        self._leader: int | None = None     # the thread in which works run now
        forks.tell(self)

    def stats(self) -> PoolStats:
        """Of the one connection."""
        return self._pool.stats()

    def close(self) -> None:
        """Once the last commit is done."""
        self._pool.close()

    def write(self, do: Callable[[Session], T], wait_s: float | None, *, alone: bool = False) -> T:
        """The result of `do`, once it is durable. `alone`: it is one statement."""
        if self._leader == threading.get_ident():
            raise RuntimeError(f"{self._shard}: a write inside a write of the same shard would wait for itself")
        work = _Work(do, time.monotonic() + (self._wait_s if wait_s is None else wait_s), alone=alone)
        try:
            with self._lock:
                self._line.append(work)
                work.leads = not self._led
                self._led = True
            if not work.leads:
                self._wait(work)
            if work.leads:
                self._lead(work)
        finally:
            if work.leads or not work.done:
                self._leave(work)
        if work.error is not None:
            raise work.error
        return work.result      # type: ignore[no-any-return]     # what `do` answered

    def _leave(self, work: _Work) -> None:
        """Out of the line, if Ctrl-C found it there; who leads passes the lead on to the next."""
        with self._lock:
            if work in self._line:
                self._line.remove(work)
            if work.leads:
                self._led = bool(self._line)
                if self._line:
                    self._line[0].leads = True
                    self._line[0].wake.release()

    def _wait(self, work: _Work) -> None:
        """Until it is done, or leads."""
        if work.wake.acquire(timeout=max(0.0, work.give_up_s - time.monotonic())):
            return
        with self._lock:
            if work in self._line and not work.leads:
                self._line.remove(work)
                raise PoolTimeout(self._shard, "the writes in line before this one took too long")
        work.wake.acquire()     # it is being done, so that its outcome is known soon

    # ---- the leader

    def _lead(self, own: _Work) -> None:
        """Commit until `own` is done, which is the first time as a rule."""
        self._leader = threading.get_ident()
        try:
            while not own.done:
                self._commit(own)
        finally:
            self._leader = None

    def _commit(self, own: _Work) -> None:
        """One commit, of all who stand in line; or `own` gives up."""
        try:
            session = self._pool.lease(max(0.0, own.give_up_s - time.monotonic()))
        except ShardUnavailable as error:
            self._refuse(own, error)
            return
        works: list[_Work] = []
        try:
            try:
                patient(session.begin, self._shard, own.give_up_s)
            except Exception as error:
                self._refuse(own, error)
                return
            while taken := self._taken(works):
                works += taken
                for work in taken:
                    self._do(session, work)
                    if not session.in_transaction():
                        work.done = True
                        return      # all is undone, for the sake of this one: the others go back into the line
            self._finish(session, works)
        finally:
            self._pool.release(session)     # closed, if Ctrl-C left its transaction open
            self._settle(works, own)

    def _do(self, session: SqliteSession, work: _Work) -> None:
        try:
            if work.alone:
                work.result = work.do(session)
                return
            session.command("SAVEPOINT work")
            try:
                work.result = work.do(session)
            except Exception:
                if session.in_transaction():
                    session.command("ROLLBACK TO work")
                    session.command("RELEASE work")
                raise
            session.command("RELEASE work")
        except Exception as error:      # whoever wants the work done gets it
            work.error = error

    def _finish(self, session: SqliteSession, works: list[_Work]) -> None:
        """Commit. Without room, each is tried by itself: a small one may fit where all together do not."""
        try:
            session.commit()
        except (Full, PoolTimeout) as error:
            if len(works) > 1:
                return
            works[0].error = works[0].error or error
        except UncertainOutcome as error:
            # Also what was refused: it may have been so for the sake of another that is not there in the end.
            for work in works:
                work.error = error
        except BaseException:
            # Ctrl-C. If no transaction is left it is committed, most likely: to do it again would do it twice.
            if not session.in_transaction():
                for work in works:
                    work.error = UncertainOutcome(self._shard, "interrupted in a commit")
                    work.done = True
            raise
        for work in works:
            work.done = True

    def _refuse(self, own: _Work, error: Exception) -> None:
        with self._lock:
            if own in self._line:
                self._line.remove(own)
        own.error = error
        own.done = True

    def _settle(self, works: list[_Work], own: _Work) -> None:
        """Wake whose outcome is known; put back, in their order, those that were undone for another's sake."""
        with self._lock:
            for work in reversed(works):
                if not work.done:
                    work.error = None
                    work.by_itself = True
                    self._line.appendleft(work)
        for work in works:
            if work.done and work is not own:
                work.wake.release()

    def _taken(self, already: list[_Work]) -> list[_Work]:
        """The next ones, out of the line, where they could give up: from now on they cannot."""
        with self._lock:
            if already and already[0].by_itself:
                return []
            n = 0
            while n < len(self._line) and not self._line[n].by_itself:
                n += 1
            if not n and not already and self._line:
                n = 1
            return [self._line.popleft() for _ in range(n)]

    def before_fork(self) -> None:
        """The pool waits for the leader, and keeps the next one waiting."""

    def after_fork(self, *, child: bool) -> None:
        """The child has no other thread, so that nobody stands in line."""
        if child:
            self._lock = threading.Lock()
            self._line = deque()
            self._led = False
            self._leader = None

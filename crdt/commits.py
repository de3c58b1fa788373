"""Waiting until a group of the journal is on disk: tasks without blocking their loop, threads by blocking."""
from __future__ import annotations

from collections.abc import Callable

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event, current

from .journal import Journal, Unavailable


class _Wait:
    """All tasks that wait for one group."""

    __slots__ = ("event", "failed")

    def __init__(self) -> None:
        self.event = Event()
        self.failed = False


class Commits:
    """Tells the tasks of a loop what the journal's thread has done."""

    def __init__(self, journal: Journal, loop: Loop) -> None:
        """Listen to `journal`."""
        self._journal = journal
        self._loop = loop
        self._waits: dict[int, _Wait] = {}      # by group; only the loop's thread touches it
        journal.on_commit.append(self._committed)
        journal.on_full.append(self._full)

    def wait(self, ticket: int) -> None:
        """Return once group `ticket` is on disk. Raises Unavailable: the disk is full, it may still get there."""
        if ticket <= self._journal.committed:
            return
        if current() is None:
            self._journal.wait(ticket)
            return
        # The journal counts before it calls, and what it calls runs in this thread: it finds the wait that we make.
        wait = self._waits.get(ticket)
        if wait is None:
            wait = self._waits[ticket] = _Wait()
        if self._journal.full:
            raise Unavailable("the disk is full")
        wait.event.wait()
        if wait.failed:
            raise Unavailable("the disk is full")

    def _committed(self, ticket: int) -> None:
        self._tell(self._wake, ticket)

    def _full(self) -> None:
        self._tell(self._fail)

    def _tell(self, fn: Callable[..., None], *args: object) -> None:
        # What is committed behind the loop's end, nobody waits for.
        if not self._loop.closed:
            self._loop.call_soon_threadsafe(fn, *args)

    def _wake(self, ticket: int) -> None:
        # Few groups are ever waited for: the open one, and the one on its way.
        for one in [one for one in self._waits if one <= ticket]:
            self._waits.pop(one).event.set()

    def _fail(self) -> None:
        waits, self._waits = self._waits, {}
        for wait in waits.values():
            wait.failed = True
            wait.event.set()

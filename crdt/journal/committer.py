"""Group commit: while one group is being synced, the next collects; one thread writes them, each with one fdatasync.

Whoever appends gets the number of the group, the ticket, and waits until `committed` has reached it. Nothing here knows
of cells: a group is bytes.
"""
from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

from .disk import NO_ROOM, Disk
from .errors import Unavailable
from .layout import Layout, Owner
from .segment import Segment, SyncFailed

log = logging.getLogger(__name__)

Fsync = Literal["always", "interval", "off"]

# A full disk is tried again this often. Somebody who makes room should not wait long, and a try costs two system calls.
RETRY_S = 0.25

# Two seconds of hybrid logical clock, whose low 16 bits count within a millisecond: how far ahead a new mark lies, and
# from half of which on it is renewed.
MARK_AHEAD = 2000 << 16

# Those whom a group let go come back with their next write a moment later, just too late for the group of those who
# came meanwhile; two halves then take turns, each at half the rate. So a group waits for them, though no longer than
# this part of the last sync. With 64 threads and syncs of 5 ms: 43 a group in place of 30, twice the writes a second.
GATHER = 0.25

DISK_FULL = "the disk is full"
STOPPED = "the journal is closed"


class Committer:
    """The open group, the segment, and the thread between them."""

    def __init__(self, disk: Disk, layout: Layout, owner: Owner, segment: Segment, *, clock: int, floor: int,
                 fsync: Fsync, interval_s: float, segment_bytes: int, fatal: Callable[[Exception], None]) -> None:
        self._disk = disk
        self._layout = layout
        self._owner = owner
        self._fsync = fsync
        self._interval_s = interval_s
        self._segment_bytes = segment_bytes
        self._fatal = fatal

        # Guards everything below that more than one thread changes. Held for a few instructions, never over a system
        # call. Reentrant, so that a caller may hold it around a change of its own and the append that belongs to it.
        self.lock = threading.RLock()
        self._work = threading.Condition(self.lock)     # the committer waits here
        self._done = threading.Condition(self.lock)     # everybody else
        self._open: list[bytes] = []
        self._open_hlc = 0
        self._ticket = 1                # of the open group
        self._expected = 1              # appends, once those of the last group are back
        self.committed = 0
        self._ahead: Counter[int] = Counter()           # appended before they entered the table, by ticket
        self._clock = clock             # the greatest marks that were appended
        self._floor = floor
        self._refusal: str | None = None                # why nothing is committed now
        self._stopping = False
        self._wants_segment = 0         # the least number of a segment somebody waits for
        self._no_segment: OSError | None = None
        self._boundary = 0              # last ticket before the newest segment began

        # The committer thread's own.
        self.segment = segment
        self._mark = clock              # stamps up to here are known not to be new ones
        self._unsynced = False
        self._sync_due_s = 0.0
        self._gather_until_s = 0.0

        self.full = False
        self.fsyncs = 0
        self.on_commit: list[Callable[[int], None]] = []
        self.on_full: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    # ---- anybody's thread

    def append(self, records: bytes, hlc: int, *, ahead: bool = False) -> int:
        """Put `records`, whose greatest hlc is `hlc`, into the open group; its ticket. Unavailable."""
        with self.lock:
            if self._refusal is not None or self._stopping:
                raise Unavailable(self._refusal or STOPPED)
            self._open.append(records)
            if len(self._open) in (1, self._expected):
                self._work.notify()
            if hlc > self._open_hlc:
                self._open_hlc = hlc
            if ahead:
                self._ahead[self._ticket] += 1
            return self._ticket

    def entered(self, ticket: int) -> None:
        """What was appended ahead under `ticket` is in the table now, or never will be."""
        with self.lock:
            self._ahead[ticket] -= 1
            if self._ahead[ticket] <= 0:
                del self._ahead[ticket]
                self._done.notify_all()

    def append_clock(self, hlc: int) -> int:
        """Put a clock mark into the open group; its ticket. Unavailable."""
        with self.lock:
            self._clock = max(self._clock, hlc)
            return self.append(self._owner.control("clock", hlc), 0)

    def append_floor(self, hlc: int) -> int:
        """Put a floor into the open group; its ticket. Unavailable."""
        with self.lock:
            self._floor = max(self._floor, hlc)
            return self.append(self._owner.control("floor", hlc), 0)

    def barrier(self) -> int:
        """The ticket that everything appended so far is committed with."""
        with self.lock:
            return self._ticket if self._open else self._ticket - 1

    def wait(self, ticket: int, timeout_s: float | None = None) -> None:
        """Return once `ticket` is committed. Unavailable when that cannot be said to happen; TimeoutError."""
        with self.lock:
            self._done.wait_for(lambda: self.committed >= ticket or self._refusal is not None, timeout_s)
            if self.committed >= ticket:
                return
            if self._refusal is not None:
                raise Unavailable(self._refusal)
            raise TimeoutError(f"group {ticket} is not committed after {timeout_s} s")

    def new_segment(self) -> int:
        """Begin a segment, and return its number once nothing before it is missing from the table. Unavailable."""
        with self.lock:
            wanted = self._wants_segment = self.segment.number + 1
            self._no_segment = None
            self._work.notify()
            self._done.wait_for(lambda: self.segment.number >= wanted or self._no_segment or self._refusal)
            if self.segment.number < wanted:
                raise Unavailable(self._refusal or DISK_FULL)
            number, boundary = self.segment.number, self._boundary
            self._done.wait_for(lambda: self._stopping or not any(ticket <= boundary for ticket in self._ahead))
            if self._stopping:
                raise Unavailable(self._refusal or STOPPED)
            return number

    def stop(self) -> None:
        """Commit what is open, if that is possible, and end the thread."""
        with self.lock:
            self._stopping = True
            self._work.notify()
            self._done.notify_all()
        self._thread.join()
        self.segment.close()

    # ---- the committer's thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
            if self._unsynced:
                self._sync()
            self._refuse(STOPPED)
        except SyncFailed as error:
            self._fail(error.cause)
        except Exception as error:      # whatever it is: a thread that just ended would leave everybody waiting
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._refuse(f"the journal failed: {error}")
        log.error("event=journal_failed file=%s error=%s", self.segment.path, error)
        self._fatal(error)

    def _refuse(self, why: str) -> None:
        """For good: nothing is committed any more."""
        with self.lock:
            self._refusal = why
            self._stopping = True
            self._done.notify_all()

    def _step(self) -> bool:
        """Wait for work, do it; False: stop."""
        with self.lock:
            self._work.wait_for(self._has_work, self._until_sync_s())
            if (rest_s := self._gather_until_s - time.monotonic()) > 0:
                self._work.wait_for(lambda: len(self._open) >= self._expected or self._stopping, rest_s)
            group, hlc, number = self._open, self._open_hlc, self._ticket
            if group:
                self._open, self._open_hlc, self._ticket = [], 0, number + 1
            stopping = self._stopping
        if group and not self._commit(b"".join(group), hlc, number, len(group)):
            return False
        if self._unsynced and self._until_sync_s() == 0.0:
            self._sync()
        if self.segment.size >= self._segment_bytes or self._wants_segment > self.segment.number:
            self._rotate()
        return bool(group) or not stopping

    def _has_work(self) -> bool:
        return bool(self._open) or self._stopping or self._wants_segment > self.segment.number

    def _until_sync_s(self) -> float | None:
        if self._fsync != "interval" or not self._unsynced:
            return None
        return max(0.0, self._sync_due_s - time.monotonic())

    def _commit(self, group: bytes, hlc: int, number: int, appends: int) -> bool:
        if hlc + MARK_AHEAD // 2 > self._mark:
            self._mark = hlc + MARK_AHEAD
            group += self._owner.control("clock", self._mark)
        if not self._write(group):
            return False
        if not self._unsynced:
            self._unsynced = True
            self._sync_due_s = time.monotonic() + self._interval_s
        if self._fsync == "always":
            started_s = time.monotonic()
            self._sync()
            ended_s = time.monotonic()
            self._gather_until_s = ended_s + GATHER * (ended_s - started_s)
        with self.lock:
            self.committed = number
            self._expected = appends + len(self._open)
            self._done.notify_all()
        for call in self.on_commit:
            call(number)
        return True

    def _write(self, group: bytes) -> bool:
        """Write it, however often the disk is full before; False: stopped meanwhile."""
        while True:
            try:
                self.segment.write(self._owner, group)
                break
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                self._become_full(error)
            with self.lock:
                if self._work.wait_for(lambda: self._stopping, RETRY_S):
                    return False
        if self.full:
            log.warning("event=disk_has_room file=%s", self.segment.path)
            with self.lock:
                self.full = False
                self._refusal = None
        return True

    def _become_full(self, error: OSError) -> None:
        if self.full:
            return
        log.error("event=disk_full file=%s error=%s", self.segment.path, error)
        with self.lock:
            self.full = True
            self._refusal = DISK_FULL
            self._done.notify_all()
        for call in self.on_full:
            call()

    def _sync(self) -> None:
        self.segment.sync()
        self.fsyncs += 1
        self._unsynced = False

    def _rotate(self) -> None:
        # Of a segment that is not the last every byte counts, in each mode.
        if self._unsynced:
            self._sync()
        try:
            segment = Segment.new(self._disk, self._layout, self._owner, self.segment.number + 1,
                                  clock=max(self._mark, self._clock), floor=self._floor)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # The old one serves on; the next group tries again.
            with self.lock:
                self._wants_segment = 0
                self._no_segment = error
                self._done.notify_all()
            return
        before = self.segment
        with self.lock:
            self.segment = segment
            self._boundary = self.committed
            self._done.notify_all()
        before.close()

"""The write-ahead journal of one replica: what was acknowledged is there again after any crash."""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .committer import Committer, Fsync
from .disk import Disk, publish, write_beside
from .errors import DamagedJournal, Unavailable
from .layout import Layout, Owner
from .lock import FolderLock
from .repair import set_aside
from .replay import Inventory, Whole, check_all, deltas
from .segment import Segment, SyncFailed

log = logging.getLogger(__name__)

# Below this much journal a compaction would save nothing that anybody notices.
MIN_COMPACT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the directory held when it was opened."""

    deltas: Iterator[bytes]         # every cell, in any order; to be joined, once, before anything is written
    clock: int                      # no stamp up to here may be given again
    floor: int                      # collect(floor) when all deltas are joined
    cells: int                      # in the deltas; a key that was written often counts often
    empty: bool                     # nothing at all: who has peers copies from them first
    set_aside: list[Path] = field(default_factory=list)     # by --repair, now: cells may be missing


class Journal:
    """Append records, wait for their group. Every method may be called from any thread."""

    def __init__(self, disk: Disk, layout: Layout, owner: Owner, lock: FolderLock, committer: Committer, *,
                 compact: float) -> None:
        self._disk = disk
        self._layout = layout
        self._owner = owner
        self._lock = lock
        self._committer = committer
        self._compact = compact
        self._compacting = threading.Lock()
        self._closed = False

    @staticmethod
    def open(folder: Path, *, replica: str, bias: str, fatal: Callable[[Exception], None], fsync: Fsync = "always",
             interval_s: float = 0.05, segment_bytes: int = 64 * 1024 * 1024, compact: float = 2.0,
             repair: bool = False, patience_s: float | None = 1.0,
             disk: Disk | None = None) -> tuple[Journal, Replayed]:
        """Take `folder`, making it if need be, and read it through.

        `fatal` is called in the journal's thread, once, when it can go no further: the process must end then. InUse,
        ForeignData, DamagedJournal (not with `repair`), OSError.
        """
        disk = disk or Disk()
        layout = Layout(folder)
        owner = Owner(replica, bias)
        for path in (*reversed(folder.parents), folder, layout.journal, layout.snapshots):
            if not path.is_dir():
                disk.make_folder(path)
                disk.sync_folder(path.parent)
        lock = FolderLock(layout.lock, patience_s=patience_s)
        try:
            # Whoever died here may have made names that no sync has seen; what we build on must last.
            disk.sync_folder(layout.snapshots)
            disk.sync_folder(folder)
            with suppress(PermissionError):         # above us we may not be allowed to look, and then we made nothing
                disk.sync_folder(folder.parent)
            for path in layout.unfinished():
                disk.unlink(path)
            files, aside = _check(disk, layout, owner, repair=repair)
            clock = max((file.clock for file in files), default=0)
            floor = max((file.floor for file in files), default=0)
            segment = _last_segment(disk, layout, owner, files)
            committer = Committer(disk, layout, owner, segment, clock=clock, floor=floor, fsync=fsync,
                                  interval_s=interval_s, segment_bytes=segment_bytes, fatal=fatal)
            journal = Journal(disk, layout, owner, lock, committer, compact=compact)
            journal._delete_superseded()
        except SyncFailed as error:
            lock.release()
            raise error.cause from None
        except BaseException:
            lock.release()
            raise
        committer.start()
        cells = sum(file.cells for file in files)
        return journal, Replayed(deltas(files, owner), clock, floor, cells, not (cells or floor or aside), aside)

    @property
    def lock(self) -> AbstractContextManager[bool]:
        """Reentrant; held by `append` and `barrier` for a few instructions. Who must change something and append in one
        step, as others see it, holds it around both, and waits for nothing meanwhile."""
        return self._committer.lock

    def append(self, records: bytes, hlc: int) -> int:
        """Put the records of cells that *are in the table* into the open group, and answer its ticket.

        `hlc` is the greatest of theirs. Never waits for the disk. Unavailable.
        """
        return self._committer.append(records, hlc)

    def append_ahead(self, records: bytes, hlc: int) -> int:
        """The same for cells that enter the table after their commit. `entered(ticket)` must follow, whatever happens.

        Until then no snapshot is taken, which would lack these cells and yet stand for the segment that has them.
        """
        return self._committer.append(records, hlc, ahead=True)

    def entered(self, ticket: int) -> None:
        """The cells of one `append_ahead` are in the table now, or never will be."""
        self._committer.entered(ticket)

    def append_control(self, kind: Literal["clock", "floor"], hlc: int) -> int:
        """Put a mark into the open group: stamps up to the clock, tombstones up to the floor are gone. Unavailable."""
        if kind == "floor":
            return self._committer.append_floor(hlc)
        return self._committer.append_clock(hlc)

    def barrier(self) -> int:
        """The ticket with which everything appended so far is committed."""
        return self._committer.barrier()

    @property
    def committed(self) -> int:
        """The last ticket that is."""
        return self._committer.committed

    @property
    def on_commit(self) -> list[Callable[[int], None]]:
        """Called with each committed ticket, in the journal's thread: note it and return."""
        return self._committer.on_commit

    @property
    def on_full(self) -> list[Callable[[], None]]:
        """Called when the disk becomes full, in the journal's thread; `on_commit` is called when it no longer is."""
        return self._committer.on_full

    @property
    def full(self) -> bool:
        """Whether the disk is full: the group that did not fit waits for room, and nothing can be appended."""
        return self._committer.full

    def wait(self, ticket: int, timeout_s: float | None = None) -> None:
        """Block until `ticket` is committed. TimeoutError; Unavailable: full or stopped, it may yet be committed."""
        self._committer.wait(ticket, timeout_s)

    def wants_compaction(self, live_bytes: int) -> bool:
        """Whether the files are so much larger than what lives in the table that `compact` pays."""
        return self._bytes() > max(MIN_COMPACT_BYTES, self._compact * live_bytes)

    def compact(self, snapshot: Callable[[], tuple[bytes, int]]) -> None:
        """Put a delta of the whole table, and the floor it was collected to, in the place of all older segments.

        `snapshot` is called in this thread once everything older is in the table; what is written meanwhile goes to a
        new segment. Waits for the disk. Unavailable when there is no room, and then all is as before.
        """
        with self._compacting:
            number = self._committer.new_segment()
            delta, floor = snapshot()
            if floor:
                self.wait(self.append_control("floor", floor))
            path = self._layout.snapshot(number)
            try:
                self._disk.close(write_beside(self._disk, path, delta))
                publish(self._disk, path)
            except OSError as error:
                raise Unavailable(f"no snapshot: {error}") from error
            self._delete_superseded()

    def stats(self) -> dict[str, int]:
        """`fsyncs` since the start, `bytes` of all files, the number of `segments`."""
        return {"fsyncs": self._committer.fsyncs, "bytes": self._bytes(),
                "segments": self._committer.segment.number - Inventory.of(self._layout).first + 1}

    def close(self) -> None:
        """Commit what is open, give the directory back. What a full disk did not take was promised to nobody."""
        if not self._closed:
            self._closed = True
            try:
                self._committer.stop()
            finally:
                self._lock.release()

    def _bytes(self) -> int:
        size = 0
        for path in (*self._layout.journal.glob("*.log"), *self._layout.snapshots.glob("*.lww")):
            with suppress(FileNotFoundError):       # a compaction just deleted it
                size += path.stat().st_size
        return size

    def _delete_superseded(self) -> None:
        """Delete what the newest snapshot stands for."""
        first = Inventory.of(self._layout).first
        old = [self._layout.segment(n) for n in self._layout.segment_numbers() if n < first]
        old += [self._layout.snapshot(n) for n in self._layout.snapshot_numbers() if n < first]
        for path in old:
            self._disk.unlink(path)


def _check(disk: Disk, layout: Layout, owner: Owner, *, repair: bool) -> tuple[list[Whole], list[Path]]:
    """The files that count, all sound; and what had to be set aside for that."""
    aside: list[Path] = []
    mended: set[Path] = set()
    while True:
        try:
            return check_all(layout, owner), aside
        except DamagedJournal as damage:
            # A file that is damaged again although we just wrote it is beyond repair.
            if not repair or damage.file in mended:
                raise
            mended.add(damage.file)
            kept = set_aside(disk, layout, owner, damage)
            aside.append(kept or damage.file)


def _last_segment(disk: Disk, layout: Layout, owner: Owner, files: list[Whole]) -> Segment:
    """The one to go on in: the last, its torn tail cut, or the first of all."""
    numbers = Inventory.of(layout).segments
    if not numbers:
        return Segment.new(disk, layout, owner, 1, clock=0, floor=0)
    last = files[-1]
    torn = last.path.stat().st_size - last.size
    if torn:
        log.warning("event=tail_cut file=%s offset=%d bytes=%d", last.path, last.size, torn)
    return Segment.again(disk, layout, numbers[-1], last.size)

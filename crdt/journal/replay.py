"""What does the data directory hold, and is all of it whole?

A group was acknowledged only after its commit was synced, and everything before a commit was written before it. So:

- Behind the last whole record, with no commit behind that, nothing can have been acknowledged: the torn tail. It is
  cut. Should it be a commit that was acknowledged and has rotted since, then it held no data.
- Bytes that are no whole record and have a commit behind them have rotted: the segment is damaged.
- A segment that is not the last was synced before the next was made, and a snapshot before it got its name: there every
  byte counts.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hotpath.core.data import records
from hotpath.core.data.crc32c import crc32c

from .errors import DamagedJournal, ForeignData
from .layout import BIASES, COMMIT, CRC_BYTES, DELTA, FIRST_GROUP_BYTES, HEADER, HEADER_BYTES, Layout, Owner

# Cells handed on at a time: enough to make the call cheap, little beside the table they go to.
PIECE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Whole:
    """What a sound file holds: `size` bytes of it are good, the rest is a torn tail."""

    path: Path
    size: int
    cells: int
    clock: int      # the greatest hlc, be it a cell's or a mark
    floor: int


def check_segment(path: Path, owner: Owner, *, last: bool) -> Whole:
    """Read a segment through. Raises DamagedJournal, ForeignData."""
    data = path.read_bytes()
    _check_header(path, data, owner)
    size, cells, hlc, clock, floor = records.check(data, HEADER_BYTES)
    if size < len(data) and (not last or records.find_commit(data, size + 1) >= 0):
        raise DamagedJournal(path, size, "no whole record, and what was written later follows" if last
                             else "no whole record, in a segment that was complete")
    return Whole(path, size, cells, max(hlc, clock), floor)


def check_snapshot(path: Path, owner: Owner) -> Whole:
    """Read a snapshot through. Raises DamagedJournal, ForeignData."""
    data = path.read_bytes()
    body = memoryview(data)[:-CRC_BYTES]
    if len(body) < DELTA.size or crc32c(body) != int.from_bytes(data[-CRC_BYTES:], "big"):
        raise DamagedJournal(path, 0, f"the checksum of its {len(data)} bytes does not match")
    magic, version, bias, zero, count = DELTA.unpack_from(data)
    if (magic, version, zero) != (b"LWWD", 1, 0) or bias >= len(BIASES):
        raise DamagedJournal(path, 0, "no delta of version 1")
    if bias != owner.bias_byte:
        raise ForeignData(path, owner.replica, BIASES[bias], expected=(owner.replica, owner.bias))
    return Whole(path, len(data), count, 0, 0)


def _check_header(path: Path, data: bytes, owner: Owner) -> None:
    header = data[:HEADER_BYTES]
    if header == owner.header():
        return
    if len(header) < HEADER_BYTES:
        raise DamagedJournal(path, len(header), "shorter than a header")
    magic, version, bias, zero, name = HEADER.unpack(header)
    if (magic, version, zero) != (b"LWWJ", 1, 0) or bias >= len(BIASES):
        raise DamagedJournal(path, 0, "no journal of version 1")
    # The header has no checksum, the first commit has: only what both say is somebody else's.
    at = records.find_commit(data[:FIRST_GROUP_BYTES], HEADER_BYTES)
    if at < 0 or (data[at + 16:at + 24], COMMIT.unpack_from(data, at + 37)[0]) != (name, bias):
        raise DamagedJournal(path, 0, "the header does not say what the first commit says")
    replica = name.rstrip(b"\0").decode("ascii", "replace")
    raise ForeignData(path, replica, BIASES[bias], expected=(owner.replica, owner.bias))


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files that count, oldest first; `first` is the number of the first segment that counts."""

    snapshot: int | None
    segments: list[int]
    first: int

    @classmethod
    def of(cls, layout: Layout) -> Inventory:
        """By their names. A snapshot stands for the segments before it, which may still be there; they do not count."""
        snapshot = max(layout.snapshot_numbers(), default=None)
        first = snapshot if snapshot is not None else 1
        return cls(snapshot, [n for n in layout.segment_numbers() if n >= first], first)

    def missing(self, layout: Layout) -> list[Path]:
        """Files that must have been there, for a later one is."""
        if not self.segments:
            return [] if self.snapshot is None else [layout.segment(self.first)]
        wanted = range(self.first, self.segments[-1])
        return [layout.segment(n) for n in sorted(set(wanted) - set(self.segments))]


def check_all(layout: Layout, owner: Owner) -> list[Whole]:
    """Read every file that counts through, oldest first. Raises DamagedJournal, ForeignData."""
    inventory = Inventory.of(layout)
    for path in inventory.missing(layout):
        raise DamagedJournal(path, 0, "missing, though a later file is there")
    files = []
    if inventory.snapshot is not None:
        files.append(check_snapshot(layout.snapshot(inventory.snapshot), owner))
    for number in inventory.segments:
        files.append(check_segment(layout.segment(number), owner, last=number == inventory.segments[-1]))
    return files


def deltas(files: list[Whole], owner: Owner) -> Iterator[bytes]:
    """The cells of sound files, as deltas. Raises DamagedJournal if a file is no longer what it was when checked."""
    for file in files:
        if file.path.suffix == ".lww":
            check_snapshot(file.path, owner)
            yield file.path.read_bytes()
            continue
        data = memoryview(file.path.read_bytes())[:file.size]
        at = HEADER_BYTES
        while at < len(data):
            end, delta, n_cells = records.delta(data, at, PIECE_BYTES, owner.bias_byte)
            if end == at:
                raise DamagedJournal(file.path, at, "no whole record any more")
            at = end
            if n_cells:
                yield delta

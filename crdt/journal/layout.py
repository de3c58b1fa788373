"""Which files does a data directory hold, and how does each begin?

    DIR/lock                        the pid of who has it, under flock
    DIR/journal/NNNNNNNN.log        segments, the newest last; each begins with whose it is and ends with a commit
    DIR/snapshot/NNNNNNNN.lww       a delta of everything that stood in the segments before NNNNNNNN
    *.new                           was being written when somebody died: no part of the data
    *.damaged                       set aside by --repair: no part of the data
"""
from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hotpath.core.data.crc32c import crc32c

BIASES = ("remove", "add")                  # a bias is written as its place here

HEADER = struct.Struct(">4sBBH8s")          # magic, version, bias, 0, replica
HEADER_BYTES = HEADER.size
FRAME = struct.Struct(">II")                # length, crc32c
CELL = struct.Struct(">Q8sBHI")             # hlc, replica, live, key length, payload length
COMMIT = struct.Struct(">BQ")               # bias, the record's own offset in its segment
CONTROL = 2                                 # `live` of a record that is no cell

DELTA = struct.Struct(">4sBBHQ")            # magic, version, bias, 0, count
CRC_BYTES = 4

# The first commit of a segment says a second time whose it is, under a checksum: this many bytes hold it.
FIRST_GROUP_BYTES = 4 * (FRAME.size + CELL.size + 6 + COMMIT.size)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose data this is: two directories with different owners have nothing to do with each other."""

    replica: str
    bias: str

    @property
    def name(self) -> bytes:
        """As in a cell: zero padded."""
        return self.replica.encode().ljust(8, b"\0")

    @property
    def bias_byte(self) -> int:
        """As in a header."""
        return BIASES.index(self.bias)

    def header(self) -> bytes:
        """How each segment begins."""
        return HEADER.pack(b"LWWJ", 1, self.bias_byte, 0, self.name)

    def control(self, kind: str, hlc: int, payload: bytes = b"") -> bytes:
        """A control record."""
        key = kind.encode()
        cell = CELL.pack(hlc, self.name, CONTROL, len(key), len(payload)) + key + payload
        return FRAME.pack(len(cell), crc32c(cell)) + cell

    def commit(self, offset: int) -> bytes:
        """The record that ends a group, to be written at `offset`."""
        return self.control("commit", 0, COMMIT.pack(self.bias_byte, offset))

    def first_group(self, clock: int, floor: int) -> bytes:
        """What stands in a new segment before any cell: the marks live on when the segments before it are deleted."""
        marks = self.header() + self.control("clock", clock) + self.control("floor", floor)
        return marks + self.commit(len(marks))

    def empty_delta(self) -> bytes:
        """A snapshot of nothing."""
        head = DELTA.pack(b"LWWD", 1, self.bias_byte, 0, 0)
        return head + crc32c(head).to_bytes(CRC_BYTES, "big")


_SEGMENT = re.compile(r"([0-9]{8})\.log")
_SNAPSHOT = re.compile(r"([0-9]{8})\.lww")


@dataclass(frozen=True, slots=True)
class Layout:
    """The names in one data directory."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held while the directory is in use."""
        return self.folder / "lock"

    @property
    def journal(self) -> Path:
        """Where segments are."""
        return self.folder / "journal"

    @property
    def snapshots(self) -> Path:
        """Where snapshots are."""
        return self.folder / "snapshot"

    def segment(self, number: int) -> Path:
        """The file of segment `number`, from 1."""
        return self.journal / f"{number:08}.log"

    def snapshot(self, number: int) -> Path:
        """The snapshot that stands for all segments before `number`."""
        return self.snapshots / f"{number:08}.lww"

    def segment_numbers(self) -> list[int]:
        """Those that exist, ascending."""
        return sorted(_numbers(self.journal, _SEGMENT))

    def snapshot_numbers(self) -> list[int]:
        """Those that exist, ascending."""
        return sorted(_numbers(self.snapshots, _SNAPSHOT))

    def unfinished(self) -> list[Path]:
        """What was being written when somebody died."""
        return sorted([*self.journal.glob("*.new"), *self.snapshots.glob("*.new")])


def _numbers(folder: Path, pattern: re.Pattern[str]) -> Iterator[int]:
    for path in folder.iterdir():
        if match := pattern.fullmatch(path.name):
            yield int(match[1])

"""What a reader sees of one key: its winning write."""
from __future__ import annotations

from dataclasses import dataclass

from hotpath.core.data.lww.stamp import Stamp


@dataclass(frozen=True, slots=True)
class Cell:
    """The write of `key` that wins: a value, or a tombstone when not `live`."""

    key: bytes
    stamp: Stamp
    live: bool
    value: object = None

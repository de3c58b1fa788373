"""What SQLite lacks to compare rows where they are: the check of a row, and the mark of a key."""
from __future__ import annotations

import sqlite3
import zlib

import msgspec

from .schema import Key, mark_of

_encode = msgspec.msgpack.Encoder().encode


def hp_crc(*values: object) -> int:
    """Of values and their types: 1, 1.0, '1', b'1' and null differ."""
    return zlib.crc32(_encode(values))


def hp_mark(key: Key) -> bytes:
    """As `mark_of`."""
    return mark_of(key)


def register(db: sqlite3.Connection) -> None:
    """Teach a connection both."""
    db.create_function("hp_crc", -1, hp_crc, deterministic=True)
    db.create_function("hp_mark", 1, hp_mark, deterministic=True)

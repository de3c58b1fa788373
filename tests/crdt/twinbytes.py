"""What a cell, a delta and a digest are in bytes, said slowly for the twin."""
from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering
from hashlib import blake2b
from typing import Any, Self

from hotpath.core.data import murmur

BIASES = ("remove", "add")              # a bias is written as its place here
BUCKETS = 4096
WORD = 2**64
LAST_HLC = WORD - 1 - 2**32            # no clock could follow a greater one

CELL = struct.Struct(">Q8sBHI")         # hlc, replica, live, key length, payload length
DELTA = struct.Struct(">4sBBHQ")        # magic, version, bias, 0, count
DIGEST = struct.Struct(">4sBBHQ")       # magic, version, bias, 0, root
NAME = re.compile(r"[a-z0-9]{1,8}")
STAMP = re.compile(r"([0-9a-f]{16})-([a-z0-9]{1,8})")


class KeyExists(KeyError):
    """`add` found the key live under `stamp`."""

    def __init__(self, stamp: Stamp) -> None:
        super().__init__(str(stamp))
        self.stamp = stamp


class StampMismatch(ValueError):
    """What is live has another stamp than the one expected: `stamp`, or None when nothing is."""

    def __init__(self, stamp: Stamp | None) -> None:
        super().__init__(f"live: {stamp}")
        self.stamp = stamp


class Damaged(ValueError):
    """These bytes are no delta, digest or cell."""


class BiasMismatch(ValueError):
    """The two sides break ties differently."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Stamp:
    """When a write happened: hybrid logical clock first, the replica's name where that is equal."""

    hlc: int
    replica: str

    def __post_init__(self) -> None:
        if not 0 <= self.hlc < WORD:
            raise ValueError(f"hlc {self.hlc}: 64 bits")
        if not NAME.fullmatch(self.replica):
            raise ValueError(f"replica {self.replica!r}: 1 to 8 of a-z, 0-9")

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Stamp):
            return NotImplemented
        return (self.hlc, self.replica) < (other.hlc, other.replica)

    def __str__(self) -> str:
        return f"{self.hlc:016x}-{self.replica}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The stamp that `str` wrote. Raises ValueError."""
        match = STAMP.fullmatch(text)
        if match is None:
            raise ValueError(f"no stamp: {text!r}")
        return cls(int(match[1], 16), match[2])


@dataclass(frozen=True, slots=True)
class Cell:
    """One key's state, as a person reads it."""

    key: bytes
    stamp: Stamp
    live: bool
    value: Any = None


def table_entry(byte: int) -> int:
    """What one byte does to the checksum."""
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)      # Castagnoli's polynomial
    return byte


CRC_TABLE = [table_entry(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """RFC 3720's checksum, a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def check_json(value: object) -> None:
    """Raise TypeError for what JSON would change the type of."""
    if isinstance(value, dict):
        for key, inside in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key of an object is a str, not {type(key).__name__}")
            check_json(inside)
    elif isinstance(value, list):
        for inside in value:
            check_json(inside)
    elif value is not None and not isinstance(value, str | int | float):
        raise TypeError(f"bytes or JSON, not {type(value).__name__}")


def pack(value: object) -> bytes:
    """Tag and body."""
    if isinstance(value, bytes):
        return b"\0" + value
    check_json(value)
    return b"\1" + json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False,
                              allow_nan=False).encode()


def unpack(payload: bytes) -> Any:
    """What `pack` was given."""
    if payload[:1] == b"\0":
        return payload[1:]
    if payload[:1] == b"\1":
        return json.loads(payload[1:])
    raise Damaged("no such tag")


def encode(key: bytes, stamp: Stamp, live: bool, payload: bytes) -> bytes:
    """The bytes of a cell."""
    if len(key) > 0xFFFF:
        raise ValueError(f"key of {len(key)} bytes: 65535 at most")
    return CELL.pack(stamp.hlc, stamp.replica.encode(), live, len(key), len(payload)) + key + payload


def parse(cell: bytes) -> tuple[bytes, Stamp, bool, bytes]:
    """(key, stamp, live, payload) of one encoded cell. Raises Damaged."""
    parsed, end = parse_at(cell, 0)
    if end != len(cell):
        raise Damaged("bytes behind the cell")
    return parsed


def parse_at(data: bytes, start: int) -> tuple[tuple[bytes, Stamp, bool, bytes], int]:
    """The cell that begins there, and where it ends. Raises Damaged."""
    if start + CELL.size > len(data):
        raise Damaged("ends within a cell's head")
    hlc, name, live, key_size, payload_size = CELL.unpack_from(data, start)
    middle = start + CELL.size + key_size
    end = middle + payload_size
    if end > len(data):
        raise Damaged("ends within a cell")
    key, payload = data[start + CELL.size:middle], data[middle:end]
    replica = name.rstrip(b"\0").decode("latin-1")
    if not NAME.fullmatch(replica):
        raise Damaged(f"no replica name: {name!r}")
    if hlc > LAST_HLC:
        raise Damaged("a stamp that no clock could follow")
    if live not in (0, 1) or (live == 0 and payload) or (live == 1 and payload[:1] not in (b"\0", b"\1")):
        raise Damaged("neither a live cell nor a tombstone")
    return (key, Stamp(hlc, replica), bool(live), payload), end


def split(delta: bytes) -> list[bytes]:
    """The encoded cells of a delta. Raises Damaged."""
    return open_delta(delta)[1]


def open_delta(delta: bytes) -> tuple[str, list[bytes]]:
    """Its bias and its encoded cells. Raises Damaged."""
    if len(delta) < DELTA.size + 4:
        raise Damaged("too short for a delta")
    magic, version, bias, zero, count = DELTA.unpack_from(delta)
    if (magic, version, zero) != (b"LWWD", 1, 0) or bias >= len(BIASES):
        raise Damaged("no delta")
    if crc32c(delta[:-4]) != int.from_bytes(delta[-4:], "big"):
        raise Damaged("checksum")
    cells, at, end = [], DELTA.size, len(delta) - 4
    body = delta[:end]
    while at < end:
        _, after = parse_at(body, at)
        cells.append(body[at:after])
        at = after
    if len(cells) != count:
        raise Damaged(f"{len(cells)} cells, {count} announced")
    return BIASES[bias], cells


def bundle(cells: Iterable[bytes], bias: str) -> bytes:
    """A delta of encoded cells."""
    listed = list(cells)
    for cell in listed:
        parse(cell)
    whole = DELTA.pack(b"LWWD", 1, BIASES.index(bias), 0, len(listed)) + b"".join(listed)
    return whole + crc32c(whole).to_bytes(4, "big")


def records(delta: bytes) -> bytes:
    """The journal's records of a delta's cells."""
    return b"".join(struct.pack(">II", len(cell), crc32c(cell)) + cell for cell in split(delta))


def open_digest(digest: bytes) -> tuple[str, list[int]]:
    """Its bias and its bucket sums. Raises Damaged."""
    if len(digest) != DIGEST.size + 8 * BUCKETS:
        raise Damaged("a digest has one size")
    magic, version, bias, zero, root = DIGEST.unpack_from(digest)
    if (magic, version, zero) != (b"LWWG", 1, 0) or bias >= len(BIASES):
        raise Damaged("no digest")
    sums = list(struct.unpack_from(f">{BUCKETS}Q", digest, DIGEST.size))
    if sum(sums) % WORD != root:
        raise Damaged("root and sums differ")
    return BIASES[bias], sums


def differing(one: bytes, other: bytes) -> list[int]:
    """The buckets whose sums differ. Raises Damaged, BiasMismatch."""
    (bias, sums), (other_bias, others) = open_digest(one), open_digest(other)
    if bias != other_bias:
        raise BiasMismatch(f"{bias} and {other_bias}")
    return [bucket for bucket in range(BUCKETS) if sums[bucket] != others[bucket]]


def bucket_of(key: bytes) -> int:
    """The top 12 bits of its hash."""
    return murmur.hash64(key, 0, True, False)[0] >> 52


def fingerprint(cell: bytes) -> int:
    """H(cell)."""
    return int.from_bytes(blake2b(cell, digest_size=8).digest(), "big")


def key_bytes(key: str | bytes) -> bytes:
    """Both kinds of keys live in one space."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode("utf-8", "surrogateescape")
    raise TypeError(f"a key is str or bytes, not {type(key).__name__}")


def unpack_words(data: bytes) -> list[int]:
    """A row of u64. Raises Damaged."""
    if len(data) % 8:
        raise Damaged("not a row of u64")
    return list(struct.unpack(f">{len(data) // 8}Q", data))

"""The bodies of /sync/exchange and /sync/cells: what members say to each other, big-endian, checked when read.

    hello   both ways over /sync/exchange: who speaks, what it promises and knows, its root; the answer adds its digest
    ask     over /sync/cells: the fingerprints of some buckets           -> told: cells the asker lacks, and wanted ones
    want    over /sync/cells: keys whose cells the asker lacks           -> told: the cells
    give    over /sync/cells: cells, perhaps the end of a whole exchange -> taken: what became of them

A body is `"LWWX" u8 1 u8 kind u16 0`, fields, `u32 crc32c`. Whatever the bytes, reading raises BadMessage or answers a
message whose every field is in range; nothing is allocated beyond the body's own size.
"""
from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from hotpath.core.data.crc32c import crc32c

from .membership import MAX_ENTRIES, MAX_MEMBERS, MAX_URL, MAX_VERSION, NAME, Entry, Life

BUCKETS = 4096
# Keys in one message; as many buckets as there are, so that one count of what is done fits both.
MOST_WANTED = 4096
BIASES = ("add", "remove")

_HEAD = struct.Struct(">4sBBH")
_MAGIC = b"LWWX"
_VERSION = 1
_WHO = struct.Struct(">8sQI")
_STATE = struct.Struct(">BBQQQQ")
_ENTRY = struct.Struct(">8sIBIQHH")
_CELL_OF_ROW = struct.Struct(">8sQ")
_COUNTS = struct.Struct(">QQQ")
_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")


class BadMessage(ValueError):
    """Bytes that are none of our messages."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Which process speaks: the replica's name, its data directory, and how often that was started."""

    name: str
    origin: int
    starts: int


Row = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Hello:
    """One side of an exchange. Its row is said before its root and digest are read."""

    kind: ClassVar[int] = 1

    speaker: Speaker
    bias: str
    joining: bool           # it copies the group's data and has none of its own to give
    group: int
    floor: int              # the greatest hlc it has collected up to
    clock_ms: int           # its wall clock
    root: int
    row: Row
    rows: Mapping[str, Row]         # of the others, as it knows them
    entries: tuple[Entry, ...]
    digest: bytes = b""     # in an answer: unless the roots are equal

    def encode(self) -> bytes:
        """The body."""
        parts = [_who(self.speaker), _STATE.pack(BIASES.index(self.bias), self.joining, self.group, self.floor,
                                                 self.clock_ms, self.root), _row(self.row)]
        parts.append(_U16.pack(len(self.rows)))
        for name, row in sorted(self.rows.items()):
            parts += [_name(name), _row(row)]
        parts.append(_U16.pack(len(self.entries)))
        parts += [_entry(entry) for entry in self.entries]
        return _sealed(self.kind, [*parts, self.digest])

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read it. Raises BadMessage."""
        reader = _Reader(body, cls.kind)
        speaker = reader.speaker()
        bias, joining, group, floor, clock_ms, root = reader.take(_STATE)
        if bias >= len(BIASES) or joining > 1 or clock_ms >= 1 << 48:
            raise BadMessage(f"bias {bias}, joining {joining}, clock {clock_ms}: out of range")
        row = reader.row()
        rows = {reader.name(): reader.row() for _ in range(reader.count(MAX_MEMBERS))}
        entries = tuple(reader.entry() for _ in range(reader.count(MAX_ENTRIES)))
        if len({entry.name for entry in entries}) != len(entries):
            raise BadMessage("a name twice")
        return cls(speaker, BIASES[bias], bool(joining), group, floor, clock_ms, root, row, rows, entries,
                   reader.rest())


@dataclass(frozen=True, slots=True)
class Ask:
    """What the asker has in some buckets; it wants what it lacks there."""

    kind: ClassVar[int] = 2

    speaker: Speaker
    limit: int              # about how many bytes of cells to answer with
    fingerprints: bytes

    def encode(self) -> bytes:
        """The body."""
        return _sealed(self.kind, [_who(self.speaker), _U32.pack(self.limit), self.fingerprints])

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read it. Raises BadMessage."""
        reader = _Reader(body, cls.kind)
        return cls(reader.speaker(), reader.take(_U32)[0], reader.rest())


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to `Ask` and `Want`."""

    kind: ClassVar[int] = 3

    done: int               # so many buckets, or keys, from the first, were answered in whole
    wanted: bytes           # fingerprints of cells the answerer lacks, u64 each
    delta: bytes
    heads: bool = False     # the delta tells keys and stamps only: each cell without its value, as if removed

    def encode(self) -> bytes:
        """The body."""
        return _sealed(self.kind, [_U16.pack(self.done), bytes([self.heads]), _block(self.wanted), self.delta])

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read it. Raises BadMessage."""
        reader = _Reader(body, cls.kind)
        done = reader.count(BUCKETS)
        heads = reader.piece(1)[0]
        wanted = reader.block()
        if done == 0 or heads > 1 or len(wanted) % _U64.size:
            raise BadMessage(f"{done} done, heads {heads}, {len(wanted)} bytes wanted")
        return cls(done, wanted, reader.rest(), bool(heads))


@dataclass(frozen=True, slots=True)
class Want:
    """Keys whose cells, as they are now, the asker wants."""

    kind: ClassVar[int] = 6

    speaker: Speaker
    keys: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The body."""
        parts = [_who(self.speaker), _U16.pack(len(self.keys))]
        for key in self.keys:
            parts += [_U32.pack(len(key)), key]
        return _sealed(self.kind, parts)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read it. Raises BadMessage."""
        reader = _Reader(body, cls.kind)
        speaker = reader.speaker()
        keys = tuple(reader.block() for _ in range(reader.count(MOST_WANTED)))
        if not keys or reader.rest():
            raise BadMessage("no keys, or more than keys")
        return cls(speaker, keys)


@dataclass(frozen=True, slots=True)
class Give:
    """Cells for the other side. `complete`: it now has all that the giver's row, said in its hello, claims."""

    kind: ClassVar[int] = 4

    speaker: Speaker
    delta: bytes = b""      # empty: none
    complete: bool = False
    repair: bool = False    # part of an exchange, not pushed: others will find the difference themselves
    group: int = 0
    row: Row | None = None

    def encode(self) -> bytes:
        """The body."""
        flags = bytes([self.complete | self.repair << 1])
        head = [_who(self.speaker), flags, _U64.pack(self.group), _row(self.row or {})]
        return _sealed(self.kind, [*head, self.delta])

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read it. Raises BadMessage."""
        reader = _Reader(body, cls.kind)
        speaker = reader.speaker()
        flags = reader.piece(1)[0]
        if flags > 3:
            raise BadMessage(f"flags {flags}: out of range")
        complete, repair = flags & 1, flags >> 1
        group, row = reader.take(_U64)[0], reader.row()
        delta = reader.rest()
        return cls(speaker, delta, bool(complete), bool(repair), group, row if complete else None)


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to `Give`."""

    kind: ClassVar[int] = 5

    applied: int
    ignored: int
    stale: int
    dead: bytes = b""       # a delta of tombstones for live cells that the group collected long ago; empty: none

    def encode(self) -> bytes:
        """The body."""
        return _sealed(self.kind, [_COUNTS.pack(self.applied, self.ignored, self.stale), self.dead])

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read it. Raises BadMessage."""
        reader = _Reader(body, cls.kind)
        applied, ignored, stale = reader.take(_COUNTS)
        return cls(applied, ignored, stale, reader.rest())


def decode_cells(body: bytes) -> Ask | Want | Give:
    """What a request to /sync/cells holds. Raises BadMessage."""
    if len(body) > 5 and body[5] == Ask.kind:
        return Ask.decode(body)
    if len(body) > 5 and body[5] == Want.kind:
        return Want.decode(body)
    return Give.decode(body)


class _Reader:
    """A checked walk over one body."""

    def __init__(self, body: bytes, kind: int) -> None:
        if len(body) < _HEAD.size + _U32.size:
            raise BadMessage(f"{len(body)} bytes are no message")
        if _HEAD.unpack_from(body) != (_MAGIC, _VERSION, kind, 0):
            raise BadMessage("not the head of this message")
        self._end = len(body) - _U32.size
        if _U32.unpack_from(body, self._end)[0] != crc32c(body[:self._end]):
            raise BadMessage("damaged: the checksum differs")
        self._body = body
        self._at = _HEAD.size

    def piece(self, n: int) -> bytes:
        at = self._at
        if n > self._end - at:
            raise BadMessage(f"cut short: {n} bytes at {at} of {self._end}")
        self._at = at + n
        return self._body[at:self._at]

    def take(self, shape: struct.Struct) -> tuple[int, ...]:
        return shape.unpack(self.piece(shape.size))

    def count(self, most: int) -> int:
        count = int(self.take(_U16)[0])
        if count > most:
            raise BadMessage(f"{count} of at most {most}")
        return count

    def name(self, padded: bytes | None = None) -> str:
        text = (self.piece(8) if padded is None else padded).rstrip(b"\0").decode("latin-1")
        if not NAME.fullmatch(text):
            raise BadMessage("not a replica's name")
        return text

    def speaker(self) -> Speaker:
        name, origin, starts = _WHO.unpack(self.piece(_WHO.size))
        return Speaker(self.name(name), origin, starts)

    def row(self) -> dict[str, int]:
        return self._mapping(lambda: _CELL_OF_ROW.unpack(self.piece(_CELL_OF_ROW.size)))

    def _mapping(self, read: Callable[[], tuple[bytes, int]]) -> dict[str, int]:
        count = self.count(MAX_MEMBERS)
        row = {}
        for _ in range(count):
            name, hlc = read()
            row[self.name(name)] = hlc
        if len(row) != count:
            raise BadMessage("a name twice")
        return row

    def entry(self) -> Entry:
        name, version, present, count, number, url_size, public_size = _ENTRY.unpack(self.piece(_ENTRY.size))
        if present > 1 or max(version, count) > MAX_VERSION or max(url_size, public_size) > MAX_URL:
            raise BadMessage("an entry's field is out of range")
        return Entry(self.name(name), version, bool(present), Life(count, number), self.text(url_size),
                     self.text(public_size))

    def text(self, size: int) -> str:
        try:
            return self.piece(size).decode()
        except UnicodeDecodeError:
            raise BadMessage("not UTF-8") from None

    def block(self) -> bytes:
        return self.piece(int(self.take(_U32)[0]))

    def rest(self) -> bytes:
        return self.piece(self._end - self._at)


def _sealed(kind: int, parts: Iterable[bytes]) -> bytes:
    body = b"".join([_HEAD.pack(_MAGIC, _VERSION, kind, 0), *parts])
    return body + _U32.pack(crc32c(body))


def _name(name: str) -> bytes:
    return name.encode().ljust(8, b"\0")


def _who(speaker: Speaker) -> bytes:
    return _WHO.pack(_name(speaker.name), speaker.origin, speaker.starts)


def _row(row: Row) -> bytes:
    return _U16.pack(len(row)) + b"".join(_CELL_OF_ROW.pack(_name(name), hlc) for name, hlc in sorted(row.items()))


def _entry(entry: Entry) -> bytes:
    url, public = entry.url.encode(), entry.public.encode()
    return _ENTRY.pack(_name(entry.name), entry.version, entry.present, entry.life.turn, entry.life.number,
                       len(url), len(public)) + url + public


def _block(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data

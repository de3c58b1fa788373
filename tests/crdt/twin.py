"""The last-write-wins table said slowly: one dict, one lock, the same face as `hotpath.core.data.lww`.

Nothing here is taken from the real one, so that the two can be held against each other. Only the hash H(cell) is the
twin's own: digests and fingerprints of the two never meet.
"""
from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from tests.crdt.twinbytes import (
    BIASES,
    BUCKETS,
    CELL,
    DIGEST,
    LAST_HLC,
    WORD,
    BiasMismatch,
    Cell,
    Damaged,
    KeyExists,
    Stamp,
    StampMismatch,
    bucket_of,
    bundle,
    differing,
    encode,
    fingerprint,
    key_bytes,
    open_delta,
    pack,
    parse,
    records,
    split,
    unpack,
    unpack_words,
)

__all__ = ["BiasMismatch", "Cell", "Damaged", "KeyExists", "LWWDict", "LWWTable", "Stamp", "StampMismatch", "Table",
           "bundle", "differing", "encode", "pack", "parse", "records", "split", "unpack"]

TOMBSTONE = -1                          # the tag of what is removed; 0 raw, 1 JSON


class Table(MutableMapping[Any, Any]):
    """One cell per key: the greatest that ever came."""

    def __init__(self, replica: str = "a", *, bias: str = "add", wall_ms: Callable[[], int] | None = None,
                 items: Mapping[str, object] | None = None) -> None:
        Stamp(0, replica)
        if bias not in BIASES:
            raise ValueError(f"bias {bias!r}: add or remove")
        self.replica, self.bias = replica, bias
        self.clock = self.floor = 0
        self.counts = {"applied": 0, "ignored": 0, "stale": 0}
        self._wall_ms = wall_ms or (lambda: time.time_ns() // 1_000_000)
        self._cells: dict[bytes, tuple[Stamp, bool, bytes]] = {}
        self._lock = threading.RLock()
        for key, value in (items or {}).items():
            self.put(key, value)

    # The clock.

    def wall(self) -> int:
        """Milliseconds since 1970."""
        return self._wall_ms()

    def tick(self) -> int:
        """A time that nobody had before, here."""
        with self._lock:
            later = max(self.clock + 1, self.wall() << 16)
            if later >= WORD:
                raise OverflowError("the clock is at its end")
            self.clock = later
            return later

    def observe(self, hlc: int) -> None:
        """Whatever comes now is later than `hlc`. Raises ValueError: nothing could be."""
        if hlc > LAST_HLC:
            raise ValueError("the end of all clocks")
        with self._lock:
            self.clock = max(self.clock, hlc)

    # One key.

    def write(self, op: str, key: bytes, payload: bytes = b"", *, expect: Stamp | None = None) -> bytes:
        """The encoded cell it wrote. Raises KeyExists, KeyError, StampMismatch."""
        with self._lock:
            stamp, live, _ = self._cells.get(key, (None, False, b""))
            if expect is not None and not (live and stamp == expect):
                raise StampMismatch(stamp if live else None)
            if op == "add" and live:
                assert stamp is not None
                raise KeyExists(stamp)
            if op == "replace" and not live:
                raise KeyError(key)
            new_live = {"add": True, "replace": True, "put": True, "remove": False}[op]
            cell = encode(key, Stamp(self.tick(), self.replica), new_live, payload if new_live else b"")
            parse(cell)
            self._join(cell)
            self.counts["applied"] += 1
            return cell

    def _write(self, op: str, key: str | bytes, value: object = b"") -> Stamp:
        return parse(self.write(op, key_bytes(key), pack(value)))[1]

    def add(self, key: str | bytes, value: object) -> Stamp:
        """Write a key that is absent. Raises KeyExists."""
        return self._write("add", key, value)

    def replace(self, key: str | bytes, value: object) -> Stamp:
        """Write a key that is there. Raises KeyError."""
        return self._write("replace", key, value)

    def put(self, key: str | bytes, value: object) -> Stamp:
        """Write a key."""
        return self._write("put", key, value)

    def remove(self, key: str | bytes) -> Stamp:
        """Write a tombstone, also where nothing was."""
        return self._write("remove", key)

    def read(self, key: bytes) -> tuple[Stamp, int, bytes] | None:
        """(stamp, tag, body); None: never seen, or collected."""
        with self._lock:
            found = self._cells.get(key)
        if found is None:
            return None
        stamp, live, payload = found
        return (stamp, payload[0], payload[1:]) if live else (stamp, TOMBSTONE, b"")

    def lookup(self, key: str | bytes, default: Any = None) -> Any:
        """The value, or `default`."""
        cell = self.cell(key)
        return cell.value if cell is not None and cell.live else default

    def stamp(self, key: str | bytes) -> Stamp | None:
        """Of the value or of the tombstone."""
        cell = self.cell(key)
        return None if cell is None else cell.stamp

    def cell(self, key: str | bytes) -> Cell | None:
        """Also of what is removed."""
        encoded = key_bytes(key)
        with self._lock:
            found = self._cells.get(encoded)
        if found is None:
            return None
        stamp, live, payload = found
        return Cell(encoded, stamp, live, unpack(payload) if live else None)

    def cells(self) -> Iterator[Cell]:
        """All, tombstones too."""
        with self._lock:
            found = dict(self._cells)
        for key, (stamp, live, payload) in found.items():
            yield Cell(key, stamp, live, unpack(payload) if live else None)

    def page(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, Stamp, int, bytes]]:
        """Live cells in byte order, behind `after`."""
        with self._lock:
            found = sorted((key, stamp, payload[0], payload[1:]) for key, (stamp, live, payload) in self._cells.items()
                           if live and key.startswith(prefix) and (after is None or key > after))
        return found[:limit]

    # The mapping.

    def __getitem__(self, key: str | bytes) -> Any:
        cell = self.cell(key)
        if cell is None or not cell.live:
            raise KeyError(key)
        return cell.value

    def __setitem__(self, key: str | bytes, value: object) -> None:
        self.put(key, value)

    def __delitem__(self, key: str | bytes) -> None:
        with self._lock:
            if key not in self:
                raise KeyError(key)
            self.remove(key)

    def __len__(self) -> int:
        return self.stats()["live"]

    def __iter__(self) -> Iterator[str]:
        return iter([cell.key.decode("utf-8", "surrogateescape") for cell in self.cells() if cell.live])

    # The lattice.

    def _rank(self, cell: tuple[Stamp, bool, bytes]) -> tuple[int, bool, str, bytes]:
        stamp, live, payload = cell
        return stamp.hlc, live == (self.bias == "add"), stamp.replica, payload

    def _fate(self, cell: bytes) -> str:
        key, stamp, live, payload = parse(cell)
        if key not in self._cells:
            return "stale" if stamp.hlc <= self.floor else "applied"
        return "applied" if self._rank(self._cells[key]) < self._rank((stamp, live, payload)) else "ignored"

    def _join(self, cell: bytes) -> str:
        fate = self._fate(cell)
        if fate == "applied":
            key, stamp, live, payload = parse(cell)
            self._cells[key] = stamp, live, payload
        return fate

    def apply(self, cell: Any) -> bool:
        """True if it won."""
        encoded = encode(cell.key, cell.stamp, cell.live, pack(cell.value) if cell.live else b"")
        return self.merged(bundle([encoded], self.bias))[0] == 1

    def merge(self, other: Table | bytes) -> int:
        """How many won. Raises Damaged, BiasMismatch, and then nothing is merged."""
        if isinstance(other, Table):
            if other.bias != self.bias:
                raise BiasMismatch(f"{other.bias} into {self.bias}")
            other = other.delta()
        return self.merged(other)[0]

    def merged(self, delta: bytes) -> tuple[int, int, int]:
        """(applied, ignored, stale)."""
        _, _, latest = self.examine(delta)
        with self._lock:
            self.observe(latest)
            fates = [self._join(cell) for cell in split(delta)]
            for fate in fates:
                self.counts[fate] += 1
        return fates.count("applied"), fates.count("ignored"), fates.count("stale")

    def examine(self, delta: bytes) -> tuple[int, int, int]:
        """(count, least hlc, greatest hlc). Raises Damaged, BiasMismatch."""
        bias, cells = open_delta(delta)
        if bias != self.bias:
            raise BiasMismatch(f"{bias} into {self.bias}")
        hlcs = [parse(cell)[1].hlc for cell in cells] or [0]
        return len(cells), min(hlcs), max(hlcs)

    def winning(self, delta: bytes) -> tuple[bytes, int, int]:
        """(a delta of what would win now, ignored, stale)."""
        self.examine(delta)
        cells = split(delta)
        with self._lock:
            fates = [self._fate(cell) for cell in cells]
        winners = [cell for cell, fate in zip(cells, fates, strict=True) if fate == "applied"]
        return bundle(winners, self.bias), fates.count("ignored"), fates.count("stale")

    def collect(self, upto: int | Stamp) -> int:
        """Drop tombstones up to there; how many. What is absent and older is stale from now on."""
        hlc = upto if isinstance(upto, int) else upto.hlc
        with self._lock:
            self.floor = max(self.floor, hlc)
            # A write of ours at or below the floor would be stale everywhere else.
            self.observe(hlc)
            old = [key for key, (stamp, live, _) in self._cells.items() if not live and stamp.hlc <= hlc]
            for key in old:
                del self._cells[key]
        return len(old)

    # What is compared and sent.

    def _encoded(self) -> list[bytes]:
        with self._lock:
            return [encode(key, *cell) for key, cell in self._cells.items()]

    def _in_buckets(self, buckets: Iterable[int]) -> dict[int, dict[int, bytes]]:
        """The encoded cells of each bucket, by fingerprint."""
        found: dict[int, dict[int, bytes]] = {bucket: {} for bucket in buckets}
        for cell in self._encoded():
            if (bucket := bucket_of(parse(cell)[0])) in found:
                found[bucket][fingerprint(cell)] = cell
        return found

    def delta(self, than: bytes | None = None) -> bytes:
        """All cells, or those in buckets that differ from that digest."""
        if than is None:
            return bundle(self._encoded(), self.bias)
        found = self._in_buckets(differing(self.digest(), than))
        return bundle((cell for cells in found.values() for cell in cells.values()), self.bias)

    def digest(self) -> bytes:
        """The sums of the buckets."""
        sums = [0] * BUCKETS
        for cell in self._encoded():
            bucket = bucket_of(parse(cell)[0])
            sums[bucket] = (sums[bucket] + fingerprint(cell)) % WORD
        head = DIGEST.pack(b"LWWG", 1, BIASES.index(self.bias), 0, sum(sums) % WORD)
        return head + struct.pack(f">{BUCKETS}Q", *sums)

    @property
    def root(self) -> int:
        """The sum of the sums."""
        return sum(fingerprint(cell) for cell in self._encoded()) % WORD

    def fingerprints(self, buckets: Sequence[int]) -> bytes:
        """Per bucket: its number, how many, the fingerprints in ascending order."""
        found = self._in_buckets(buckets)
        return b"".join(struct.pack(f">HI{len(found[bucket])}Q", bucket, len(found[bucket]), *sorted(found[bucket]))
                        for bucket in buckets)

    def missing(self, fingerprints: bytes, limit: int) -> tuple[bytes, bytes, int]:
        """(a delta of what they lack, the fingerprints we lack, buckets answered in whole)."""
        asked: list[tuple[int, list[int]]] = []
        at = 0
        while at < len(fingerprints):
            if at + 6 > len(fingerprints):
                raise Damaged("ends within a bucket's head")
            bucket, n = struct.unpack_from(">HI", fingerprints, at)
            row = fingerprints[at + 6:at + 6 + 8 * n]
            if bucket >= BUCKETS or len(row) != 8 * n:
                raise Damaged("no row of fingerprints")
            asked.append((bucket, unpack_words(row)))
            at += 6 + 8 * n
        ours = self._in_buckets(bucket for bucket, _ in asked)
        cells: list[bytes] = []
        wanted: list[int] = []
        done = 0
        for bucket, theirs in asked:
            lacking = [cell for print_, cell in ours[bucket].items() if print_ not in theirs]
            if done and sum(map(len, cells + lacking)) > limit:
                break
            cells += lacking
            wanted += [print_ for print_ in theirs if print_ not in ours[bucket]]
            done += 1
        return bundle(cells, self.bias), struct.pack(f">{len(wanted)}Q", *wanted), done

    def pick(self, buckets: Sequence[int], fingerprints: bytes) -> bytes:
        """A delta of our cells there with these fingerprints."""
        wanted = set(unpack_words(fingerprints))
        found = self._in_buckets(buckets)
        return bundle((cell for cells in found.values() for print_, cell in cells.items() if print_ in wanted),
                      self.bias)

    def synchronize(self) -> None:
        """Return once no operation is under way."""
        with self._lock:
            pass

    def stats(self) -> dict[str, int]:
        """Counts since the start, and what is held now."""
        with self._lock:
            lives = [live for _, live, _ in self._cells.values()]
            size = sum(CELL.size + len(key) + len(payload) for key, (_, _, payload) in self._cells.items())
            return {"live": lives.count(True), "tombstones": lives.count(False), "bytes": size, **self.counts}


LWWTable = LWWDict = Table

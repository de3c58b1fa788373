"""The LWW-element-set to the letter: an add set and a remove set that forget nothing, and the order of writes."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.crdt.twinbytes import parse, split, unpack


class Write(NamedTuple):
    """One write, whoever made it; `payload` is tag and body, empty for a removal."""

    hlc: int
    replica: str
    live: bool
    payload: bytes


class Oracle:
    """What every replica must agree on, given all writes that ever were."""

    def __init__(self, bias: str = "add") -> None:
        self.bias = bias
        self.added: defaultdict[bytes, set[Write]] = defaultdict(set)
        self.removed: defaultdict[bytes, set[Write]] = defaultdict(set)

    def record(self, cell: bytes) -> None:
        """Take one encoded cell into its set."""
        key, stamp, live, payload = parse(cell)
        (self.added if live else self.removed)[key].add(Write(stamp.hlc, stamp.replica, live, payload))

    def record_all(self, cells: Iterable[bytes]) -> None:
        """Take many."""
        for cell in cells:
            self.record(cell)

    def union(self, other: Oracle) -> None:
        """The merge of two such sets: both of each."""
        for mine, theirs in ((self.added, other.added), (self.removed, other.removed)):
            for key, writes in theirs.items():
                mine[key] |= writes

    def order(self, write: Write) -> tuple[int, bool, str, bytes]:
        """Greater wins: the clock, then the kind that the bias prefers, the replica, the payload."""
        return write.hlc, write.live == (self.bias == "add"), write.replica, write.payload

    def keys(self) -> set[bytes]:
        """Whatever was ever written."""
        return {key for sets in (self.added, self.removed) for key, writes in sets.items() if writes}

    def greatest(self, key: bytes) -> Write | None:
        """The one write of the key that counts."""
        writes = self.added.get(key, set()) | self.removed.get(key, set())
        return max(writes, key=self.order, default=None)

    def value(self, key: bytes) -> Any:
        """The value, None where the key is not in the set: its last add is not greater than its last removal."""
        write = self.greatest(key)
        return unpack(write.payload) if write is not None and write.live else None

    def state(self) -> dict[bytes, Write]:
        """The greatest write of every key, removals too."""
        return {key: write for key in self.keys() if (write := self.greatest(key)) is not None}

    def live(self) -> dict[bytes, Write]:
        """What a reader sees."""
        return {key: write for key, write in self.state().items() if write.live}


def state_of(table: Any) -> dict[bytes, Write]:
    """The same of a table, the real one or the twin."""
    return state_of_delta(table.delta())


def state_of_delta(delta: bytes) -> dict[bytes, Write]:
    """The same of the delta of a whole table: it has one cell per key."""
    found = {}
    for cell in split(delta):
        key, stamp, live, payload = parse(cell)
        assert key not in found, "a whole table holds a key once"
        found[key] = Write(stamp.hlc, stamp.replica, live, payload)
    return found

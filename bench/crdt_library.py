"""LWWDict in one thread: what do writes, reads and merges cost beside Python's dict, pycrdt and crdts?"""
from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from pycrdt import Doc, Map

from hotpath.core.data.lww import bundle, split
from hotpath.crdt import LWWDict

from .crdt_rivals import PlainDict, decoded
from .paired import Cost, Question, timed
from .rivals import WrongAnswer

VALUE_BYTES = 32
# crdts' LWWMap walks over all its names at each update, so it gets as many keys as a minute has room for.
CRDTS_KEYS = 300

OURS = "hotpath"
PLAIN = "dict + RLock"
LOOP = "the loop alone"         # with a call of C code that does nothing


@dataclass(frozen=True, slots=True)
class Data:
    """The same keys and values for all."""

    keys: list[str]             # 16 characters each, in random order
    values: list[bytes]
    texts: list[str]

    @classmethod
    def of(cls, n: int) -> Data:
        """`n` keys; seeded, so every run has the same."""
        source = random.Random(n)
        keys = [f"key:{i:012d}" for i in range(n)]
        source.shuffle(keys)
        values = [source.randbytes(VALUE_BYTES) for _ in range(n)]
        return cls(keys, values, [value.hex()[:VALUE_BYTES] for value in values])

    def shuffled(self) -> list[str]:
        """The keys in another order."""
        return random.Random(1).sample(self.keys, len(self.keys))


def agree(name: str, got: object, expected: object) -> None:
    """Raise WrongAnswer unless they are equal."""
    if got != expected:
        raise WrongAnswer(f"{name}: {str(got)[:80]} instead of {str(expected)[:80]}")


def each(call: Callable[[str, object], object], keys: Iterable[str], values: Iterable[object]) -> Callable[[], None]:
    """`call(key, value)` of all."""
    def work() -> None:
        for key, value in zip(keys, values, strict=True):
            call(key, value)
    return work


def all_of(call: Callable[[str], object], keys: Iterable[str]) -> Callable[[], None]:
    """`call(key)` of all."""
    def work() -> None:
        for key in keys:
            call(key)
    return work


def ours_of(data: Data, replica: str = "a") -> LWWDict:
    """Ours, with the data in it."""
    table = LWWDict(replica)
    each(table.put, data.keys, data.values)()
    return table


def plain_of(data: Data, replica: str = "a") -> PlainDict:
    """The rival, with the data in it."""
    plain = PlainDict(replica)
    each(plain.put, data.keys, data.values)()
    return plain


def puts(data: Data, *, over: bool) -> Question:
    """Write every key: into nothing, or over what is there."""
    n = len(data.keys)

    def ours() -> Cost:
        table = ours_of(data) if over else LWWDict("a")
        return timed(each(table.put, data.keys, data.values), n)

    def plain() -> Cost:
        table = plain_of(data) if over else PlainDict("a")
        return timed(each(table.put, data.keys, data.values), n)

    name = f"put {'over' if over else 'new'}, {n:,} keys"
    nothing = each(operator.is_, data.keys, data.values)
    return Question(name, {OURS: ours, PLAIN: plain, LOOP: lambda: timed(nothing, n)}, {PLAIN: 4})


def lookups(data: Data) -> Question:
    """Read every key, in another order than they were written."""
    n, keys = len(data.keys), data.shuffled()
    table, plain = ours_of(data), plain_of(data)
    agree("lookup", [table.lookup(key) for key in keys], [plain.lookup(key) for key in keys])
    agree("lookup", [table.lookup(key) for key in keys], [plain.lookup_unlocked(key) for key in keys])
    return Question(f"lookup, {n:,} keys", {
        OURS: lambda: timed(all_of(table.lookup, keys), n),
        PLAIN: lambda: timed(all_of(plain.lookup, keys), n),
        "dict, no lock": lambda: timed(all_of(plain.lookup_unlocked, keys), n),
        LOOP: lambda: timed(all_of(id, keys), n),
    }, {PLAIN: 2})


def newer(data: Data) -> tuple[bytes, dict[str, tuple[int, bool, str, bytes | str | None]]]:
    """A delta of later writes by another replica in random order, and the same cells as the rival holds them."""
    other = LWWDict("b")
    other.observe((other.wall() + 60_000) << 16)            # above whatever is written during the run
    for key, value in zip(data.shuffled(), reversed(data.values), strict=True):
        other.put(key, value)
    cells = split(other.delta())
    random.Random(2).shuffle(cells)
    delta = bundle(cells, "add")
    return delta, decoded(delta)


def check_merges(data: Data) -> None:
    """Ours and the rival are the same dictionary after merges, and a re-merge changes neither."""
    delta, cells = newer(data)
    table, plain, by_bytes = ours_of(data), plain_of(data), plain_of(data)
    n = len(data.keys)
    for expected in (n, 0):
        agree("cells that won", (table.merge(delta), plain.merge(cells), by_bytes.merge_bytes(delta)), (expected,) * 3)
    values = {key: cell[3] for key, cell in plain.cells.items()}
    agree("merged", dict(table.items()), values)
    agree("merged from bytes", by_bytes.cells, plain.cells)


def merges(data: Data, kind: str, *, goals: dict[str, float]) -> Question:
    """Merge all keys: into an `empty` table, as `winners` over older ones, or again (`re-merge`)."""
    n = len(data.keys)
    delta, cells = newer(data)

    def ours() -> Cost:
        table = LWWDict("a") if kind == "empty" else ours_of(data)
        if kind == "re-merge":
            table.merge(delta)
        return timed(lambda: table.merge(delta), n)

    def plain(*, from_bytes: bool) -> Cost:
        table = PlainDict("a") if kind == "empty" else plain_of(data)
        if kind == "re-merge":
            table.merge(decoded(delta))         # what comes again is equal, and not the same objects
        return timed((lambda: table.merge_bytes(delta)) if from_bytes else (lambda: table.merge(cells)), n)

    return Question(f"merge, {kind}, {n:,} cells in random order", {
        OURS: ours,
        f"{PLAIN}, from tuples": lambda: plain(from_bytes=False),
        f"{PLAIN}, from bytes": lambda: plain(from_bytes=True),
    }, goals)


def crdts_map(n: int, data: Data) -> tuple[Callable[[], Cost], Callable[[], Cost]]:
    """crdts' LWWMap: set, and apply of another's updates."""
    from crdts import LWWMap, ScalarClock

    def fill(target: LWWMap) -> list[object]:
        return [target.set(key, text, 1) for key, text in zip(data.keys[:n], data.texts, strict=False)]

    def setting() -> Cost:
        target = LWWMap()
        return timed(lambda: fill(target), n)

    def applying() -> Cost:
        source = LWWMap()
        updates = fill(source)
        target = LWWMap(clock=ScalarClock(uuid=source.clock.uuid))
        cost = timed(lambda: [target.update(update) for update in updates], n)
        agree("crdts", target.read(), source.read())
        return cost

    return setting, applying


def pycrdt_updates(data: Data) -> list[bytes]:
    """One update for each key that a pycrdt document set."""
    doc: Doc[Map[str]] = Doc()
    mapping = doc.get("map", type=Map)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    each(mapping.__setitem__, data.keys, data.texts)()
    doc.unobserve(subscription)
    return updates


def pycrdt_questions(data: Data) -> list[Question]:
    """Set and apply beside pycrdt's Map (and crdts' LWWMap, where that is installed). Values are text for all."""
    n = len(data.keys)
    source = LWWDict("b")
    each(source.put, data.keys, data.texts)()
    whole = source.delta()
    deltas = [bundle((cell,), "add") for cell in split(whole)]
    updates = pycrdt_updates(data)

    def document() -> tuple[Doc[Map[str]], Map[str]]:
        doc: Doc[Map[str]] = Doc()
        return doc, doc.get("map", type=Map)

    full, filled = document()
    for update in updates:
        full.apply_update(update)
    whole_update = full.get_update()
    expected = dict(zip(data.keys, data.texts, strict=True))
    table = LWWDict("a")
    table.merge(whole)
    agree("pycrdt", filled.to_py(), expected)
    agree("merged", dict(table.items()), expected)

    def ours_set() -> Cost:
        return timed(each(LWWDict("a").put, data.keys, data.texts), n)

    def pycrdt_set() -> Cost:
        _doc, mapping = document()
        return timed(each(mapping.__setitem__, data.keys, data.texts), n)

    def ours_apply(pieces: list[bytes]) -> Cost:
        merge = LWWDict("a").merge
        return timed(lambda: [merge(piece) for piece in pieces], n)

    def pycrdt_apply(pieces: list[bytes]) -> Cost:
        doc, _mapping = document()
        apply = doc.apply_update
        return timed(lambda: [apply(piece) for piece in pieces], n)

    setting = {OURS: ours_set, "pycrdt Map": pycrdt_set}
    applying = {OURS: lambda: ours_apply(deltas), "pycrdt Map": lambda: pycrdt_apply(updates)}
    if find_spec("crdts") is not None:
        rival = f"crdts LWWMap, {CRDTS_KEYS} keys"
        setting[rival], applying[rival] = crdts_map(CRDTS_KEYS, data)
    return [
        Question(f"set text, {n:,} keys", setting, {"pycrdt Map": 8}),
        Question(f"apply another's writes, one by one, {n:,}", applying, {"pycrdt Map": 30}),
        Question(f"apply another's {n:,} writes at once", {
            OURS: lambda: ours_apply([whole]), "pycrdt Map": lambda: pycrdt_apply([whole_update])}, {"pycrdt Map": 30}),
    ]


def questions(data: Data, *, pieces: Data) -> list[Question]:
    """All that fit `data`; `pieces` are the keys that come one by one."""
    check_merges(Data.of(min(len(data.keys), 5000)))
    return [
        puts(data, over=False), puts(data, over=True), lookups(data),
        merges(data, "winners", goals={f"{PLAIN}, from tuples": 6}),
        merges(data, "re-merge", goals={f"{PLAIN}, from tuples": 10}),
        *pycrdt_questions(pieces),
    ]


def large_questions(data: Data) -> list[Question]:
    """More keys than the caches hold."""
    return [merges(data, kind, goals={OURS: 5}) for kind in ("empty", "winners", "re-merge")]

"""The table in small, in every order its threads could run: core/data/lww/table.pyx, one shared access a step.

Two keys that want the same slot, two to four slots in a version, up to four threads out of writers, readers, one who
makes the shard grow and one who collects.
Each program below is the function of its name there, as a generator that yields every access to shared memory. A
generator is determined by the answers it got, so a state is the memory with the answers of all programs; states met
again are not followed twice. Each rule that a comment in table.pyx gives reasons for is also taken away once, and the
enumeration has to notice.
"""
from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping
from typing import NamedTuple

import pytest


class Cell(NamedTuple):
    """The greater one wins."""

    hlc: int
    key: str
    live: bool = True


class Version(NamedTuple):
    """What a pointer to slots says: which ones, and how many."""

    number: int
    n_slots: int


Word = tuple[Cell | None, bool]             # what a slot holds, and whether it is frozen
Place = Hashable                            # "slots", "floor", "clock", "lock", ("used", version), (version, i)
Memory = dict[Place, object]

EMPTY: Word = (None, False)


class Load(NamedTuple):
    at: Place


class Store(NamedTuple):
    at: Place
    value: object


class Swap(NamedTuple):
    """Answers what was there; only if that is `seen`, `value` is there now."""

    at: Place
    seen: object
    value: object


class Add(NamedTuple):
    """Answers what was there before."""

    at: Place
    n: int


class Fill(NamedTuple):
    """Writes to slots that nobody else can see yet: one step, as nobody can look in between."""

    cells: Mapping[Place, object]

    def __hash__(self) -> int:
        return hash(frozenset(self.cells.items()))


class Lock(NamedTuple):
    pass


class Unlock(NamedTuple):
    pass


Step = Load | Store | Swap | Add | Fill | Lock | Unlock
Program = Generator[Step, object, object]
Start = Callable[[], Program]


class Rules(NamedTuple):
    """What table.pyx keeps to; False: what it would be without."""

    freezes: bool = True                    # a slot takes no write once it is copied
    copies_first: bool = True               # a version is whole before others see it
    compares: bool = True                   # a write goes where it looked, or looks again
    raises_floor_first: bool = True         # before any tombstone goes
    looks_again: bool = True                # a collection whose shard another rebuilt meanwhile
    grows: bool = True                      # whoever asks for room gets some, whatever is in the slots by then
    stamps_anew: bool = True                # a local write that lost a swap takes another stamp


SOUND = Rules()


# The programs.

def first_slot(key: str, version: Version) -> int:
    """All keys want the first one, so that they get in each other's way."""
    return 0


def find(key: str) -> Program:
    version = yield Load("slots")
    i = first_slot(key, version)
    while True:
        cell, _frozen = yield Load((version, i))
        if cell is None or cell.key == key:
            return cell
        i = (i + 1) % version.n_slots


def claim(version: Version) -> Program:
    used = yield Add(("used", version), 1)
    if used < version.n_slots - 1:
        return True
    yield Add(("used", version), -1)
    return False


def goes(cell: Cell | None, upto: int | None) -> bool:
    return upto is not None and cell is not None and not cell.live and cell.hlc <= upto


def rebuild(version: Version, upto: int | None, rules: Rules) -> Program:
    yield Lock()
    if (yield Load("slots")) == version:
        cells = []
        for i in range(version.n_slots):
            word = yield Load((version, i))
            while rules.freezes:
                found = yield Swap((version, i), word, (word[0], True))
                if found == word:
                    break
                word = found
            if word[0] is not None and not goes(word[0], upto):
                cells.append(word[0])
        n_slots = version.n_slots
        while n_slots - 1 <= (max(len(cells), version.n_slots - 1) if upto is None and rules.grows else len(cells)):
            n_slots *= 2
        fresh = Version(version.number + 1, n_slots)
        words = {(fresh, i): (cell, False) for i, cell in enumerate(cells)}     # all keys want the first slot
        if rules.copies_first:
            yield Fill({**words, ("used", fresh): len(cells)})
            yield Store("slots", fresh)
        else:
            yield Store("slots", fresh)
            for place, word in words.items():
                yield Store(place, word)
                yield Add(("used", fresh), 1)
    yield Unlock()


def merge(cell: Cell, rules: Rules) -> Program:
    """A write that comes with its stamp, which the clock has seen."""
    return (yield from settle_write(cell.key, cell, rules))


def put(key: str, rules: Rules) -> Program:
    """A local write, which takes its stamp where it looks."""
    return (yield from settle_write(key, None, rules))


def settle_write(key: str, given: Cell | None, rules: Rules) -> Program:
    """The cell that was written; None: it was ignored, or stale."""
    version = yield Load("slots")
    i = first_slot(key, version)
    word = yield Load((version, i))
    cell = given
    while True:
        there, frozen = word
        if frozen:
            yield Lock()
            yield Unlock()
        elif there is not None and there.key != key:
            i = (i + 1) % version.n_slots
            word = yield Load((version, i))
            continue
        else:
            if given is None:
                if cell is None or rules.stamps_anew:
                    cell = Cell((yield from tick()), key)
            elif there is None:
                if given.hlc <= (yield Load("floor")):
                    return None
            elif there >= given:
                return None
            if there is not None or (yield from claim(version)):
                if not rules.compares:
                    yield Store((version, i), (cell, False))
                    return cell
                found = yield Swap((version, i), word, (cell, False))
                if found == word:
                    return cell
                word = found
                if there is None:
                    yield Add(("used", version), -1)
                continue
            yield from rebuild(version, None, rules)
        version = yield Load("slots")
        i = first_slot(key, version)
        word = yield Load((version, i))


def collect(upto: int, rules: Rules) -> Program:
    if rules.raises_floor_first:
        yield from raise_to("floor", upto)
    while True:
        version = yield Load("slots")
        for i in range(version.n_slots):
            cell, _frozen = yield Load((version, i))
            if goes(cell, upto):
                break
        else:
            break
        yield from rebuild(version, upto, rules)
        if not rules.looks_again:
            break
    if not rules.raises_floor_first:
        yield from raise_to("floor", upto)


def grow(rules: Rules) -> Program:
    version = yield Load("slots")
    yield from rebuild(version, None, rules)


def raise_to(at: Place, hlc: int) -> Program:
    seen = yield Load(at)
    while seen < hlc:
        found = yield Swap(at, seen, hlc)
        if found == seen:
            return
        seen = found


def tick() -> Program:
    seen = yield Load("clock")
    while True:
        found = yield Swap("clock", seen, seen + 1)
        if found == seen:
            return seen + 1
        seen = found


def find_often(key: str, n: int) -> Program:
    """What `n` looks one after the other saw."""
    seen = []
    for _ in range(n):
        cell = yield from find(key)
        seen.append(cell)
    return tuple(seen)


# The machine.

def step(memory: Memory, what: Step) -> object:
    """Do it; the answer."""
    if isinstance(what, Fill):
        memory.update(what.cells)
        return None
    if isinstance(what, (Lock, Unlock)):
        memory["lock"] = isinstance(what, Lock)
        return None
    before = memory.get(what.at, 0 if isinstance(what.at, str) or what.at[0] == "used" else EMPTY)
    if isinstance(what, Store) or (isinstance(what, Swap) and before == what.seen):
        memory[what.at] = what.value
    elif isinstance(what, Add):
        memory[what.at] = before + what.n
    return before


ENOUGH = 60             # steps of one program: the longest sound one takes less than half


class Ended(NamedTuple):
    result: object


def follow(start: Start, answers: tuple[object, ...]) -> Step | Ended:
    """What the program does next, once it got these answers."""
    program = start()
    try:
        what = next(program)
        for answer in answers:
            what = program.send(answer)
    except StopIteration as end:
        return Ended(end.value)
    return what


def all_ends(memory: Memory, *programs: Start) -> Iterator[tuple[Memory, list[object]]]:
    """Every memory and results that some order of the steps ends with. AssertionError: some order never ends."""
    known: dict[tuple[int, tuple[object, ...]], Step | Ended] = {}
    begin = (frozenset(memory.items()), ((),) * len(programs))
    seen, todo = {begin}, [begin]
    while todo:
        frozen, answers = todo.pop()
        results = []
        stuck = True
        for k, mine in enumerate(answers):
            what = known.get((k, mine))
            if what is None:
                what = known[k, mine] = follow(programs[k], mine)
            if isinstance(what, Ended):
                results.append(what.result)
                continue
            after = dict(frozen)
            if isinstance(what, Lock) and after.get("lock"):
                continue
            stuck = False
            answer = step(after, what)
            assert len(mine) < ENOUGH, "a program goes round and round"
            state = (frozenset(after.items()), (*answers[:k], (*mine, answer), *answers[k + 1:]))
            if state not in seen:
                seen.add(state)
                todo.append(state)
        if len(results) == len(programs):
            yield dict(frozen), results
        else:
            assert not stuck, "everybody waits"


# What must hold.

def table(n_slots: int, *cells: Cell, floor: int = 0) -> Memory:
    version = Version(0, n_slots)
    clock = max((cell.hlc for cell in cells), default=0)
    return {"slots": version, "floor": floor, "clock": clock, ("used", version): len(cells),
            **{(version, i): (cell, False) for i, cell in enumerate(cells)}}


def cells_of(memory: Memory) -> dict[str, Cell]:
    """What all see at the end. AssertionError: a key twice, a slot frozen, a count that is off."""
    version = memory["slots"]
    words = [memory.get((version, i), EMPTY) for i in range(version.n_slots)]
    assert not any(frozen for _cell, frozen in words), "a slot stays frozen"
    cells = [cell for cell, _frozen in words if cell is not None]
    assert len({cell.key for cell in cells}) == len(cells), "a key has two slots"
    assert memory["used", version] == len(cells) < version.n_slots, "slots are miscounted"
    return {cell.key: cell for cell in cells}


def never_goes_back(seen: object) -> None:
    hlcs = [cell.hlc if cell else 0 for cell in seen]
    assert hlcs == sorted(hlcs), f"a reader went back: {hlcs}"


def two_writers_and_a_reader_while_it_grows(rules: Rules) -> None:
    for memory, results in all_ends(
            table(2, Cell(1, "a")),
            lambda: merge(Cell(5, "a"), rules), lambda: merge(Cell(3, "b"), rules), lambda: grow(rules),
            lambda: find_often("a", 2)):
        assert cells_of(memory) == {"a": Cell(5, "a"), "b": Cell(3, "b")}
        assert results[:2] == [Cell(5, "a"), Cell(3, "b")]
        never_goes_back(results[3])


def two_writers_and_a_reader_while_it_collects(rules: Rules) -> None:
    for memory, results in all_ends(
            table(4, Cell(2, "a", live=False), Cell(1, "b")),
            lambda: merge(Cell(1, "a"), rules), lambda: merge(Cell(3, "b"), rules), lambda: collect(2, rules),
            lambda: find_often("b", 2)):
        assert results[:2] == [None, Cell(3, "b")]
        assert cells_of(memory) == {"b": Cell(3, "b")}
        never_goes_back(results[3])


def a_write_while_it_grows(rules: Rules) -> None:
    for memory, results in all_ends(
            table(2, Cell(1, "a")),
            lambda: merge(Cell(5, "a"), rules), lambda: grow(rules), lambda: find_often("a", 2)):
        assert cells_of(memory) == {"a": Cell(5, "a")}
        assert results[0] == Cell(5, "a")
        never_goes_back(results[2])


def a_new_key_that_finds_no_room(rules: Rules) -> None:
    for memory, results in all_ends(
            table(2, Cell(1, "a")),
            lambda: merge(Cell(5, "a"), rules), lambda: merge(Cell(3, "b"), rules), lambda: find_often("b", 2)):
        assert cells_of(memory) == {"a": Cell(5, "a"), "b": Cell(3, "b")}
        assert results[:2] == [Cell(5, "a"), Cell(3, "b")]
        never_goes_back(results[2])


def two_writers_of_one_new_key(rules: Rules) -> None:
    for memory, results in all_ends(
            table(4, Cell(1, "a")),
            lambda: merge(Cell(3, "b"), rules), lambda: merge(Cell(5, "b"), rules), lambda: find_often("b", 2)):
        assert cells_of(memory) == {"a": Cell(1, "a"), "b": Cell(5, "b")}
        assert results[1] == Cell(5, "b"), "the greatest was ignored"
        never_goes_back(results[2])


def two_writers_of_one_new_key_while_it_grows(rules: Rules) -> None:
    for memory, results in all_ends(
            table(2),
            lambda: merge(Cell(3, "b"), rules), lambda: merge(Cell(5, "b"), rules), lambda: grow(rules)):
        assert cells_of(memory) == {"b": Cell(5, "b")}
        assert results[1] == Cell(5, "b"), "the greatest was ignored"


def an_old_write_while_it_collects(rules: Rules) -> None:
    """`a` was removed at 2. A cell of it from before comes late."""
    for memory, results in all_ends(
            table(4, Cell(2, "a", live=False), Cell(1, "b")),
            lambda: merge(Cell(1, "a"), rules), lambda: collect(2, rules), lambda: find_often("a", 2)):
        assert results[0] is None, "what was removed is back"
        assert cells_of(memory) == {"b": Cell(1, "b")}
        assert Cell(1, "a") not in results[2]


def a_new_write_while_it_collects(rules: Rules) -> None:
    """`a` was removed at 2, and comes again at 3."""
    for memory, results in all_ends(
            table(4, Cell(2, "a", live=False), Cell(1, "b")),
            lambda: merge(Cell(3, "a"), rules), lambda: collect(2, rules), lambda: find_often("b", 1)):
        assert results[0] == Cell(3, "a")
        assert cells_of(memory) == {"a": Cell(3, "a"), "b": Cell(1, "b")}
        assert results[2] == (Cell(1, "b"),)


def a_new_key_while_it_collects(rules: Rules) -> None:
    """The new key makes the shard grow, between the collector's look and its turn."""
    for memory, results in all_ends(
            table(2, Cell(2, "a", live=False)), lambda: merge(Cell(3, "b"), rules), lambda: collect(2, rules)):
        assert cells_of(memory) == {"b": Cell(3, "b")}, "a tombstone is left"
        assert results[0] == Cell(3, "b")


def a_local_write_beside_a_merge(rules: Rules) -> None:
    """The local one takes its stamp after it saw what it replaces, so it is never the lesser one."""
    def observed_first() -> Program:
        yield from raise_to("clock", 5)
        return (yield from merge(Cell(5, "a"), rules))

    for memory, results in all_ends(
            table(2, Cell(1, "a")), lambda: put("a", rules), observed_first, lambda: find_often("a", 2)):
        assert results[0] is not None
        assert cells_of(memory) == {"a": max(results[0], Cell(5, "a"))}
        never_goes_back(results[2])


LAWS = [
    two_writers_and_a_reader_while_it_grows, two_writers_and_a_reader_while_it_collects, a_write_while_it_grows,
    a_new_key_that_finds_no_room, two_writers_of_one_new_key, two_writers_of_one_new_key_while_it_grows,
    an_old_write_while_it_collects, a_new_write_while_it_collects, a_new_key_while_it_collects,
    a_local_write_beside_a_merge,
]


@pytest.mark.parametrize("law", LAWS)
def test_in_every_order_the_greatest_cells_remain_and_no_reader_goes_back(law):
    law(SOUND)


@pytest.mark.parametrize(("law", "weakened"), [
    pytest.param(a_write_while_it_grows, SOUND._replace(freezes=False), id="a write into a slot that was copied"),
    pytest.param(a_write_while_it_grows, SOUND._replace(copies_first=False), id="published before it is whole"),
    pytest.param(two_writers_of_one_new_key, SOUND._replace(compares=False), id="stored without comparing"),
    pytest.param(an_old_write_while_it_collects, SOUND._replace(raises_floor_first=False), id="floor raised last"),
    pytest.param(a_new_key_while_it_collects, SOUND._replace(looks_again=False), id="collected once only"),
    pytest.param(two_writers_of_one_new_key_while_it_grows, SOUND._replace(grows=False), id="rebuilt as small"),
    pytest.param(a_local_write_beside_a_merge, SOUND._replace(stamps_anew=False), id="one stamp for all tries"),
])
def test_without_one_of_its_rules_some_order_breaks_it(law, weakened):
    with pytest.raises(AssertionError):
        law(weakened)

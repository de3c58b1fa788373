"""The table's face against hostile callers: clocks, keys, buffers, memory that runs out, code that runs in between."""
import copy
import gc
import pickle
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data.lww import Cell, Damaged, KeyExists, LWWTable, Stamp, StampMismatch, bundle, encode, split
from hotpath.crdt import LWWDict
from tests.waiting import DEADLINE_S

# Above it no replica takes a stamp: cell.h says why.
LAST_HLC = 2**64 - 1 - 2**32


def cell(key, hlc, *, live=True, replica="b", body=b"v"):
    return encode(key, Stamp(hlc, replica), live, b"\0" + body if live else b"")


def one(*cells):
    return bundle(cells, "add")


def in_time(work):
    """What `work` answers in a thread of its own. AssertionError if it waits for ever."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert answers, "it waits for ever, or failed"
    return answers[0]


# Clocks.

@pytest.mark.parametrize("wall_ms", [2**47, 2**48 - 1, 2**48, 2**63, 2**64 - 1])
def test_a_clock_gives_no_stamp_that_no_replica_would_take(wall_ms):
    table, other = LWWTable(wall_ms=lambda: wall_ms), LWWTable()
    try:
        table.put("k", 1)
    except OverflowError:
        assert len(table) == 0
    else:
        assert other.merge(table) == 1


def test_after_the_last_stamp_there_is_none():
    table = LWWTable()
    assert table.merge(one(cell(b"k", LAST_HLC - 1))) == 1
    assert table.put("k", 1).hlc == LAST_HLC
    with pytest.raises(OverflowError, match="last stamp"):
        table.put("k", 2)
    with pytest.raises(OverflowError, match="last stamp"):
        table.tick()
    assert table["k"] == 1
    assert LWWTable().merge(table) == 1
    with pytest.raises(ValueError, match="no clock could follow"):
        table.observe(LAST_HLC + 1)
    with pytest.raises(ValueError, match="no clock could follow"):
        table.collect(LAST_HLC + 1)


@pytest.mark.parametrize("nonsense", [-1, 2**64, "now", None, float("nan")])
def test_a_clock_that_answers_nonsense_is_the_callers_error_and_writes_nothing(nonsense):
    table = LWWTable(wall_ms=lambda: nonsense)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        table.put("k", 1)
    assert "k" not in table
    assert table.cell("k") is None


def test_a_clock_that_raises_is_heard():
    def broken():
        raise LookupError("no clock here")

    table = LWWTable(wall_ms=broken)
    with pytest.raises(LookupError, match="no clock here"):
        table.put("k", 1)
    assert len(table) == 0
    in_time(lambda: table.synchronize() is None)


def test_a_clock_may_use_the_table_it_is_asked_for():
    def busy():
        table.synchronize()
        table.merge(one(cell(b"inner", 7)))
        return 1

    table = LWWTable(wall_ms=busy)
    assert in_time(lambda: table.put("outer", 1)).hlc >= 1 << 16
    assert sorted(table) == ["inner", "outer"]


# Code that runs in between.

def test_a_finalizer_may_use_the_table_in_the_midst_of_any_call():
    table = LWWTable()
    table.put("json", {"a": [1]})
    table.put("text", "t")
    ended = []

    class Late:
        def __init__(self):
            self.me = self          # only the collector frees it

        def __del__(self):
            table.synchronize()
            table.put("late", len(ended))
            ended.append(table.cell("json"))

    def refused(add):
        with pytest.raises(KeyExists):
            add("text", 1)

    def everything():
        before = gc.get_threshold()
        gc.set_threshold(1)         # each object that has a finalizer's chance takes it
        try:
            for _ in range(20):
                for call in (lambda: table.lookup("json"), lambda: table.cell("json"), lambda: table.read(b"json"),
                             lambda: table.page(b"", None, 9), lambda: list(table.cells()), lambda: table.stamp("json"),
                             lambda: table.pick([1], b""), lambda: table.put("text", ["x"]), table.delta,
                             lambda: refused(table.add),
                             lambda: table.merge(one(cell(b"m", 3)))):
                    Late()
                    call()
        finally:
            gc.set_threshold(*before)
        return True

    assert in_time(everything)
    assert ended


def test_a_table_that_its_clock_refers_to_is_collected():
    class Clock:
        def __call__(self):
            return len(self.table)

    clock = Clock()
    clock.table = LWWDict(wall_ms=clock)
    clock.table["k"] = 1
    seen = weakref.ref(clock)
    del clock
    gc.collect()
    assert seen() is None


def test_an_iteration_is_of_the_moment_it_began():
    table = LWWDict(items={str(i): i for i in range(100)})
    keys = iter(table)
    for i in range(1000):
        table.remove(str(i))
    table.collect(table.clock)
    assert len(list(keys)) == 100
    assert list(table) == []


# Made once, in whole.

def test_a_table_keeps_its_name_and_its_bias():
    table = LWWTable("a")
    with pytest.raises(RuntimeError, match="keeps its name"):
        table.__init__("b", bias="remove")
    assert (table.replica, table.bias) == ("a", "add")


def test_a_subclass_that_forgets_to_initialize_has_a_sound_table():
    class Forgetful(LWWTable):
        def __init__(self):
            pass

    table = Forgetful()
    table.put("k", 1)
    assert (table.replica, table.bias) == ("a", "add")
    assert LWWTable("b").merge(table) == 1
    with pytest.raises(RuntimeError, match="keeps its name"):
        LWWTable.__init__(table, "b", bias="remove")


def test_a_refused_name_or_bias_leaves_a_table_that_can_still_be_made():
    table = LWWTable.__new__(LWWTable)
    with pytest.raises(ValueError, match="no replica's name"):
        table.__init__("No")
    with pytest.raises(ValueError, match="bias"):
        table.__init__("b", bias="both")
    table.__init__("b", bias="remove")
    assert (table.replica, table.bias) == ("b", "remove")


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("kind", [LWWTable, LWWDict])
def test_a_table_is_neither_copied_nor_pickled(kind, way):
    with pytest.raises(TypeError):
        way(kind())


# Keys and values.

@pytest.mark.parametrize("key", [b"", b"\0", b"\xff" * 65535, "", "é" * 32767, b"\xed\xa0\x80"])
@pytest.mark.parametrize("value", [b"", b"\0" * 100_000, "", "x" * 100_000, [], 2**70])
def test_keys_and_values_of_every_size_come_back(key, value):
    table, other = LWWDict("a"), LWWDict("b")
    table[key] = value
    other.merge(table)
    assert other[key] == value
    (name,) = other
    assert other[name] == value
    assert other.page(b"", None, 1)[0][0] == (key if isinstance(key, bytes) else key.encode())
    assert other.digest() == table.digest()


@pytest.mark.parametrize("key", [b"x" * 65536, "é" * 32768])
def test_a_key_over_its_limit_is_refused(key):
    with pytest.raises(ValueError, match="65,535"):
        LWWTable().put(key, 1)


@pytest.mark.parametrize("key", [None, 1, bytearray(b"k"), ["k"]])
def test_a_key_of_another_type_is_refused_and_is_in_no_table(key):
    table = LWWDict(items={"k": 1})
    for call in (table.lookup, table.stamp, table.remove, lambda key: table.put(key, 1), table.__getitem__):
        with pytest.raises(TypeError):
            call(key)
    assert key not in table


def test_a_key_that_is_no_text_is_refused():
    with pytest.raises(UnicodeEncodeError):
        LWWTable().put("\ud800", 1)


def test_writes_say_what_refused_them():
    table = LWWTable()
    stamp = table.add("k", 1)
    with pytest.raises(KeyExists) as exists:
        table.add("k", 2)
    assert exists.value.stamp == stamp
    with pytest.raises(StampMismatch) as mismatch:
        table.put("k", 2, expect=Stamp(1, "z"))
    assert mismatch.value.stamp == stamp
    table.remove("k")
    with pytest.raises(StampMismatch) as gone:
        table.remove("k", expect=stamp)
    assert gone.value.stamp is None
    with pytest.raises(KeyError):
        table.replace("k", 1)
    for op, payload in [("add", b""), ("put", b"\2"), ("remove", b"\0"), ("drop", b"\0")]:
        with pytest.raises(ValueError, match=r"payload|operation"):
            table.write(op, b"k", payload)


@given(st.lists(st.tuples(
    st.sampled_from(["add", "replace", "put", "remove"]), st.binary(max_size=2), st.binary(max_size=3))))
def test_what_write_answers_is_the_cell_that_others_merge(ops):
    table, other = LWWTable("a"), LWWTable("b")
    for op, key, value in ops:
        try:
            other.merge(one(table.write(op, key, b"" if op == "remove" else b"\0" + value)))
        except KeyError:
            continue
    assert other.digest() == table.digest()


# Buffers.

def test_a_buffer_that_changes_while_it_is_merged_changes_nothing():
    delta = bytearray(one(*(cell(b"key %d" % i, i + 1, body=bytes(50)) for i in range(3000))))
    sound = bytes(delta)
    over = threading.Event()

    def scribble():
        while not over.is_set():
            delta[20:] = b"\xff" * (len(delta) - 20)
            delta[:] = sound

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(100):
            table = LWWTable()
            try:
                assert table.merge(delta) == 3000
            except Damaged:
                assert len(table) == 0
            except BufferError:
                continue
    except BufferError:
        pass
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_of_bytes_is_a_delta(kind):
    assert LWWTable().merge(kind(one(cell(b"k", 1)))) == 1


@pytest.mark.parametrize("nothing", [None, 5, "text", [b"x"]])
def test_what_is_no_buffer_is_refused(nothing):
    table = LWWTable()
    for call in (table.examine, table.winning, table.merged, table.merge, lambda data: table.missing(data, 1),
                 lambda data: table.pick([1], data)):
        with pytest.raises(TypeError):
            call(nothing)


# Tombstones.

@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 20), st.booleans())), st.integers(0, 20))
def test_no_tombstone_up_to_the_floor_is_left_and_nothing_older_enters(cells, upto):
    table = LWWTable()
    table.merge(one(*(cell(b"%d" % key, hlc, live=live) for key, hlc, live in cells)))
    before = {found.key: found for found in table.cells()}
    gone = table.collect(upto)
    kept = {key: found for key, found in before.items() if found.live or found.stamp.hlc > upto}
    assert {found.key: found for found in table.cells()} == kept
    assert gone == len(before) - len(kept)
    assert table.floor == upto
    for key in set(before) - set(kept):
        assert not table.apply(Cell(key, Stamp(upto, "z"), True, b"back"))
        assert table.apply(Cell(key, Stamp(upto + 1, "z"), True, b"new"))


def test_a_collection_beside_growth_leaves_no_tombstone():
    for _ in range(30):
        table = LWWTable()
        table.merge(one(*(cell(b"old %d" % i, 5, live=False) for i in range(300))))
        news = [one(*(cell(b"%d %d" % (k, i), 9) for i in range(2000))) for k in range(3)]
        threads = [threading.Thread(target=table.merge, args=(delta,)) for delta in news]
        for thread in threads:
            thread.start()
        assert table.collect(5) == 300
        for thread in threads:
            thread.join()
        assert (len(table), table.stats()["tombstones"]) == (6000, 0)


def test_a_count_is_never_below_zero_while_others_merge():
    table = LWWTable()
    deltas = [one(*(cell(b"%d" % (i % 40), hlc * 100 + i, live=i % 2 == 0) for i in range(80)))
              for hlc in range(1, 150)]

    def merge():
        for delta in deltas:
            table.merge(delta)

    threads = [threading.Thread(target=merge) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(table) <= 80
        assert all(0 <= n < 2**40 for n in table.stats().values())
    for thread in threads:
        thread.join()
    assert len(table) == sum(split_cell.live for split_cell in table.cells())


def test_a_table_dropped_while_another_thread_merges_into_it_lives_until_the_end():
    delta = one(*(cell(b"%d" % i, 1) for i in range(50_000)))
    tables = [LWWTable()]
    applied = []
    threads = [threading.Thread(target=lambda merge: applied.append(merge(delta)), args=(tables[0].merge,))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    tables.clear()
    for thread in threads:
        thread.join()
    assert sum(applied) == 50_000


def test_every_cell_of_a_delta_is_in_its_copy():
    table = LWWTable()
    table.merge(one(*(cell(b"%d" % i, i + 1) for i in range(500))))
    assert len(split(table.delta())) == 500

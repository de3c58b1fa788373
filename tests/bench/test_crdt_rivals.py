"""The rival must be a last-write-wins dictionary too, or beating it means nothing."""
from hypothesis import given
from hypothesis import strategies as st

from bench.crdt_rivals import PlainDict, decoded
from hotpath.core.data.lww import Stamp, bundle, encode
from hotpath.crdt import LWWDict

KEYS, NAMES = st.sampled_from(["a", "b", "c", "ä"]), st.sampled_from("xy")
CELLS = st.lists(st.tuples(KEYS, st.integers(1, 4), NAMES, st.booleans(), st.binary(max_size=2)))


def delta_of(cells):
    return bundle([encode(key.encode(), Stamp(hlc, name), live, b"\0" + value if live else b"")
                   for key, hlc, name, live, value in cells], "add")


@given(first=CELLS, second=CELLS)
def test_it_merges_as_we_do(first, second):
    # Of one stamp the rival keeps the last that is in a delta; a stamp has one value wherever clocks work.
    unique = {(key, hlc, name): (key, hlc, name, live, value) for key, hlc, name, live, value in first + second}
    deltas = [delta_of([unique[cell[:3]]]) for cell in first + second]
    ours, theirs = LWWDict("a"), PlainDict("a")
    for delta in deltas:
        assert ours.merge(delta) == theirs.merge_bytes(delta)
    live = {key: cell[3] for key, cell in theirs.cells.items() if cell[1]}
    assert dict(ours.items()) == live


def test_what_it_put_it_finds_with_and_without_the_lock():
    plain = PlainDict("a")
    first, second = plain.put("k", b"1"), plain.put("k", b"2")
    assert second > first
    assert plain.lookup("k") == plain.lookup_unlocked("k") == b"2"
    assert plain.lookup("x", 7) == plain.lookup_unlocked("x", 7) == 7


def test_it_writes_above_what_it_merged():
    plain = PlainDict("a")
    future = 1 << 60
    plain.merge(decoded(delta_of([("k", future, "x", True, b"v")])))
    assert plain.put("k", b"w") == (future + 1, "a")
    assert plain.lookup("k") == b"w"

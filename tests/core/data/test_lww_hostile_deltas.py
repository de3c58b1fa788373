"""Deltas, cells and digests of hostile senders: refused in whole, or merged and passed on as they came."""
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotpath.core.data.crc32c import crc32c
from hotpath.core.data.lww import (
    BiasMismatch,
    Damaged,
    LWWTable,
    Stamp,
    bundle,
    differing,
    encode,
    parse,
    records,
    split,
)
from tests.core.wire.page import page

HEAD = b"LWWD\1\1\0\0"
LAST_HLC = 2**64 - 1 - 2**32


def sealed(cells, n, head=HEAD):
    """A delta whose sum is right, whatever its cells are."""
    body = head + struct.pack(">Q", n) + cells
    return body + struct.pack(">I", crc32c(body))


def raw(hlc=1, replica=b"a", live=1, key=b"k", payload=b"\0v", *, klen=None, plen=None):
    return struct.pack(">Q8sBHI", hlc, replica, live, len(key) if klen is None else klen,
                       len(payload) if plen is None else plen) + key + payload


def test_a_sound_delta_is_merged():
    table = LWWTable()
    assert table.merge(sealed(raw(), 1)) == 1
    assert table["k"] == b"v"


@pytest.mark.parametrize("cell", [
    raw(replica=b""), raw(replica=b"A"), raw(replica=b"a b"), raw(replica=b"a\0b"), raw(replica=b"\0a"),
    raw(replica=b"\xff" * 8), raw(live=2), raw(live=255), raw(live=0), raw(live=0, payload=b"\0"),
    raw(payload=b""), raw(payload=b"\2"), raw(payload=b"\xff"), raw(hlc=2**64 - 1), raw(hlc=LAST_HLC + 1),
    raw(klen=0), raw(klen=2), raw(klen=65535), raw(plen=0), raw(plen=1), raw(plen=2**32 - 1),
    raw()[:-1], raw()[:22], raw() + b"x",
])
def test_a_cell_that_cannot_be_damages_its_delta(cell):
    table = LWWTable()
    for bad, n in ((cell, 1), (raw() + cell, 2), (cell + raw(), 2)):
        for use in (table.merge, table.examine, table.winning, split, records):
            with pytest.raises(Damaged):
                use(sealed(bad, n))
    for use in (parse, lambda one: bundle([one], "add")):
        with pytest.raises(Damaged):
            use(cell)
    assert list(table.cells()) == []


@pytest.mark.parametrize("n", [0, 2, 2**16, 2**32, 2**63, 2**64 - 1])
def test_a_count_that_is_not_that_of_the_cells_damages_it(n):
    with pytest.raises(Damaged):
        LWWTable().merge(sealed(raw(), n))


@pytest.mark.parametrize("head", [
    b"LWWG\1\1\0\0", b"LWWD\2\1\0\0", b"LWWD\1\2\0\0", b"LWWD\1\1\1\0", b"LWWD\1\1\0\1", b"lwwd\1\1\0\0"])
def test_another_head_is_no_delta(head):
    for use in (LWWTable().merge, split, records):
        with pytest.raises(Damaged):
            use(sealed(raw(), 1, head))


def test_the_other_bias_is_said():
    with pytest.raises(BiasMismatch):
        LWWTable(bias="remove").merge(sealed(raw(), 1))
    with pytest.raises(BiasMismatch):
        differing(LWWTable(bias="remove").digest(), LWWTable().digest())
    with pytest.raises(BiasMismatch):
        LWWTable(bias="remove").delta(than=LWWTable().digest())


@pytest.mark.parametrize("use", [split, records])
def test_whatever_is_cut_off_a_delta_damages_it_and_nothing_behind_its_end_is_read(use):
    cells = raw() + raw(key=b"l", live=0, payload=b"")
    delta = sealed(cells, 2)
    with page() as guarded:
        for size in range(len(delta)):
            with pytest.raises(Damaged):
                use(guarded.holding(delta[:size]))
        for size in range(len(cells)):
            with pytest.raises(Damaged):
                use(guarded.holding(sealed(cells[:size], 2)))
        use(guarded.holding(delta))


def test_a_cell_is_not_read_behind_its_end():
    with page() as guarded:
        for size in range(len(raw())):
            with pytest.raises(Damaged):
                parse(guarded.holding(raw()[:size]))
        assert parse(guarded.holding(raw()))[0] == b"k"


def test_no_flipped_bit_gets_through():
    delta = sealed(raw(), 1)
    for i in range(8 * len(delta)):
        bad = bytearray(delta)
        bad[i // 8] ^= 1 << i % 8
        with pytest.raises((Damaged, BiasMismatch)):
            LWWTable().merge(bad)


CELLS = st.builds(
    raw, st.integers(0, 2**64 - 1), st.binary(max_size=8) | st.sampled_from([b"a", b"z9"]), st.integers(0, 2),
    st.binary(max_size=4), st.binary(max_size=4),
    klen=st.none() | st.integers(0, 9), plen=st.none() | st.integers(0, 9))


@given(st.lists(CELLS, max_size=6).map(b"".join) | st.binary(max_size=200), st.integers(0, 7), st.integers(0, 3))
@example(raw(replica=b"") + raw(), 2, 0)
def test_what_is_merged_can_be_passed_on_and_what_is_not_changes_nothing(cells, n, cut):
    table = LWWTable()
    delta = sealed(cells[:len(cells) - cut], n)
    try:
        count = table.examine(delta)[0]
    except Damaged:
        with pytest.raises(Damaged):
            table.merge(delta)
        assert (len(table), table.clock, table.root) == (0, 0, 0)
        return
    assert len(split(delta)) == count == n
    assert bundle(split(delta), "add") == delta
    winners, ignored, stale = table.winning(delta)
    applied = table.merged(delta)
    assert sum(applied) == n
    assert split(winners) or not n
    assert (ignored, stale) == (0, applied[2])
    again = LWWTable("b")
    again.merge(table)
    assert again.digest() == table.digest()
    assert table.merged(delta) == (0, n, 0) or applied[2]
    for cell in split(table.delta()):
        key, stamp, live, payload = parse(cell)
        assert Stamp.parse(str(stamp)) == stamp
        assert encode(key, stamp, live, payload) == cell


@given(st.binary(max_size=60))
def test_any_bytes_are_a_cell_or_damaged(data):
    try:
        key, stamp, live, payload = parse(data)
    except Damaged:
        return
    assert encode(key, stamp, live, payload) == data


def test_what_no_cell_can_hold_is_not_encoded():
    stamp = Stamp(1, "a")
    for key, at, live, payload in [
            (b"k" * 65536, stamp, True, b"\0"), (b"k", stamp, True, b""), (b"k", stamp, True, b"\2"),
            (b"k", stamp, False, b"\0"), (b"k", Stamp(LAST_HLC + 1, "a"), False, b"")]:
        with pytest.raises(ValueError):     # noqa: PT011  each says something else
            encode(key, at, live, payload)


@pytest.mark.parametrize("digest", [b"", b"LWWG", bytes(16 + 4096 * 8), b"LWWG\1\2\0\0" + bytes(8 + 4096 * 8),
                                    b"LWWG\1\1\0\1" + bytes(8 + 4096 * 8), b"LWWG\1\1\0\0" + bytes(7 + 4096 * 8)])
def test_what_is_no_digest_is_refused(digest):
    sound = LWWTable().digest()
    for use in (lambda one: differing(one, sound), lambda one: differing(sound, one), LWWTable().delta):
        with pytest.raises(Damaged):
            use(digest)


@given(st.sets(st.binary(max_size=3), max_size=30), st.sets(st.binary(max_size=3), max_size=30))
def test_what_differs_by_the_digest_makes_both_equal(ours, theirs):
    one, other = LWWTable("a", wall_ms=lambda: 1), LWWTable("b", wall_ms=lambda: 1)
    for table, keys in ((one, ours), (other, theirs)):
        for key in sorted(keys):
            table.put(key, key)
    to_other, to_one = one.delta(other.digest()), other.delta(one.digest())
    other.merge(to_other)
    one.merge(to_one)
    assert one.digest() == other.digest()
    assert differing(one.digest(), other.digest()) == []


def test_a_record_is_its_length_its_sum_and_the_cell():
    cells = [raw(), raw(key=b"l")]
    expected = b"".join(struct.pack(">II", len(cell), crc32c(cell)) + cell for cell in cells)
    assert records(sealed(b"".join(cells), 2)) == expected

"""Deltas, digests and fingerprints are enough to replicate over any transport; bytes that are none change nothing."""
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data import lww
from hotpath.core.data.lww import BiasMismatch, Damaged, LWWTable
from tests.crdt import twinbytes
from tests.crdt.oracle import state_of
from tests.crdt.strategies import BIAS, CELLS, HLCS, WORLDS, wide_cells
from tests.crdt.twin import Table
from tests.crdt.twinbytes import BIASES, DELTA, LAST_HLC, Stamp, bucket_of, bundle, crc32c, encode, parse

WIDE = st.lists(wide_cells(), max_size=6)


def table_of(bias, *worlds, name="a"):
    table = LWWTable(name, bias=bias)
    for world in worlds:
        table.merge(bundle(world, bias))
    return table


def key_of(cell):
    return parse(cell)[0]


def in_full(stamp):
    return stamp.hlc, stamp.replica


def other_bias(bias):
    return BIASES[1 - BIASES.index(bias)]


@given(bias=BIAS, x=WORLDS | WIDE)
def test_a_delta_carries_the_whole_state(bias, x):
    table, fresh = table_of(bias, x), LWWTable("b", bias=bias)
    assert fresh.merge(table.delta()) == len(state_of(table))
    assert state_of(fresh) == state_of(table)
    assert fresh.digest() == table.digest()


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_the_delta_than_a_digest_is_enough(bias, x, y):
    one, other, whole = table_of(bias, x), table_of(bias, y), table_of(bias, x, y)
    there, back = one.delta(than=other.digest()), other.delta(than=one.digest())
    one.merge(back)
    other.merge(there)
    assert state_of(one) == state_of(other) == state_of(whole)
    assert one.digest() == other.digest() == whole.digest()


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_a_delta_than_holds_exactly_the_buckets_that_differ(bias, x, y):
    one, other = table_of(bias, x), table_of(bias, y)
    sides = [{bucket: {cell for cell in lww.split(table.delta()) if bucket_of(key_of(cell)) == bucket}
              for bucket in {bucket_of(key_of(cell)) for cell in x + y}} for table in (one, other)]
    differ = sorted(bucket for bucket in sides[0] if sides[0][bucket] != sides[1][bucket])
    assert lww.differing(one.digest(), other.digest()) == differ
    assert set(lww.split(one.delta(than=other.digest()))) == {cell for bucket in differ for cell in sides[0][bucket]}


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_digests_and_roots_are_equal_exactly_where_states_are(bias, x, y):
    one, other = table_of(bias, x), table_of(bias, y)
    equal = state_of(one) == state_of(other)
    assert (one.digest() == other.digest()) is equal
    assert (one.root == other.root) is equal


@given(bias=BIAS, x=WORLDS, y=WORLDS, limit=st.integers(0, 200))
def test_an_exchange_in_pieces_makes_both_equal(bias, x, y, limit):
    one, other = table_of(bias, x), table_of(bias, y, name="b")
    buckets = lww.differing(one.digest(), other.digest())
    while buckets:
        delta, wanted, done = other.missing(one.fingerprints(buckets), limit)
        assert 1 <= done <= len(buckets)
        other.merge(one.pick(buckets[:done], wanted))
        one.merge(delta)
        buckets = buckets[done:]
    assert state_of(one) == state_of(other) == state_of(table_of(bias, x, y))
    assert one.digest() == other.digest()


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_an_exchange_sends_only_what_the_other_lacks(bias, x, y):
    one, other = table_of(bias, x), table_of(bias, y)
    ours, theirs = set(lww.split(one.delta())), set(lww.split(other.delta()))
    every = range(twinbytes.BUCKETS)
    delta, wanted, done = other.missing(one.fingerprints(every), 2**20)
    assert done == len(every)
    assert set(lww.split(delta)) == theirs - ours
    assert set(lww.split(one.pick(every, wanted))) == ours - theirs


@given(bias=BIAS, x=WORLDS)
def test_fingerprints_stand_in_ascending_order_behind_their_bucket(bias, x):
    table = table_of(bias, x)
    buckets = sorted({bucket_of(key_of(cell)) for cell in x} | {0, 4095})
    data, at = table.fingerprints(buckets), 0
    for bucket in buckets:
        number, n = struct.unpack_from(">HI", data, at)
        row = struct.unpack_from(f">{n}Q", data, at + 6)
        held = sum(bucket_of(key) == bucket for key in state_of(table))
        assert (number, n, list(row)) == (bucket, held, sorted(set(row)))
        at += 6 + 8 * n
    assert at == len(data)


@given(data=st.binary(max_size=40))
def test_fingerprints_of_any_bytes_are_answered_or_damaged(data):
    table = table_of("add", [])
    try:
        delta, wanted, done = table.missing(data, 100)
    except Damaged:
        with pytest.raises(twinbytes.Damaged):
            Table().missing(data, 100)
        return
    assert (lww.split(delta), wanted, done) == ([], *Table().missing(data, 100)[1:])


@given(bias=BIAS, x=WORLDS, y=WORLDS, upto=HLCS)
def test_what_would_win_is_what_wins(bias, x, y, upto):
    table, other = table_of(bias, x), table_of(bias, x)
    for one in (table, other):
        one.collect(upto)
    before = state_of(table), table.digest(), table.clock, table.stats()
    winners, ignored, stale = table.winning(bundle(y, bias))
    assert (state_of(table), table.digest(), table.clock, table.stats()) == before
    assert len(lww.split(winners)) + ignored + stale == len(y)
    table.merge(winners)
    other.merge(bundle(y, bias))
    assert state_of(table) == state_of(other)
    assert lww.split(table.winning(winners)[0]) == []


@given(bias=BIAS, x=WORLDS | WIDE)
def test_a_delta_is_examined_without_merging_it(bias, x):
    table = LWWTable("a", bias=bias)
    hlcs = [parse(cell)[1].hlc for cell in x]
    count, *bounds = table.examine(bundle(x, bias))
    assert count == len(x)
    assert not x or bounds == [min(hlcs), max(hlcs)]
    assert (len(table), table.clock, table.stats()["applied"]) == (0, 0, 0)


@given(bias=BIAS, x=WORLDS)
def test_another_bias_is_refused_and_nothing_merged(bias, x):
    table, delta = LWWTable("a", bias=bias), bundle(x, other_bias(bias))
    stranger = table_of(other_bias(bias), x)
    for refused in (lambda: table.merge(delta), lambda: table.merge(stranger), lambda: table.examine(delta),
                    lambda: table.winning(delta), lambda: table.merged(delta),
                    lambda: table.delta(than=stranger.digest()),
                    lambda: lww.differing(table.digest(), stranger.digest())):
        with pytest.raises(BiasMismatch):
            refused()
    assert (state_of(table), table.clock) == ({}, 0)


@given(bias=BIAS, x=st.lists(CELLS, min_size=1, max_size=4), data=st.data())
def test_a_changed_bit_is_damage_and_nothing_merged(bias, x, data):
    delta = bytearray(bundle(x, bias))
    bit = data.draw(st.integers(0, 8 * len(delta) - 1))
    delta[bit // 8] ^= 1 << bit % 8
    table = LWWTable("a", bias=bias)
    for refused in (table.merge, table.examine, table.winning, table.merged, lww.split, lww.records):
        with pytest.raises(Damaged):
            refused(bytes(delta))
    assert (state_of(table), table.clock) == ({}, 0)


@given(bias=BIAS, x=st.lists(CELLS, max_size=4), data=st.data())
def test_a_delta_that_was_cut_or_has_more_behind_it_is_damage(bias, x, data):
    delta = bundle(x, bias)
    cut = delta[:data.draw(st.integers(0, len(delta) - 1))]
    more = delta + data.draw(st.binary(min_size=1, max_size=8))
    table = LWWTable("a", bias=bias)
    for wrong in (cut, more):
        with pytest.raises(Damaged):
            table.merge(wrong)
        with pytest.raises(Damaged):
            lww.split(wrong)


def sealed(cells, bias):
    body = DELTA.pack(b"LWWD", 1, BIASES.index(bias), 0, len(cells)) + b"".join(cells)
    return body + crc32c(body).to_bytes(4, "big")


def verdict(call, data):
    try:
        return call(data)
    except (twinbytes.Damaged, Damaged):
        return "damaged"
    except (twinbytes.BiasMismatch, BiasMismatch):
        return "bias"


@given(x=st.lists(CELLS, max_size=3), edits=st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=3))
def test_sealed_nonsense_is_judged_as_the_twin_judges_it(x, edits):
    body = bytearray(bundle(x, "add")[:-4])
    for at, piece in edits:
        body[at:at + len(piece)] = piece
    nonsense = bytes(body) + crc32c(bytes(body)).to_bytes(4, "big")
    table, twin = LWWTable("b"), Table("b")
    judged = verdict(twin.merged, nonsense)
    assert verdict(table.examine, nonsense) == verdict(twin.examine, nonsense)
    assert verdict(table.merged, nonsense) == judged
    assert verdict(lww.split, nonsense) == verdict(twinbytes.split, nonsense)
    assert state_of(table) == state_of(twin)
    assert table.clock == twin.clock


@given(bias=BIAS, x=WORLDS, above=st.integers(LAST_HLC + 1, 2**64 - 1))
def test_a_stamp_that_no_clock_could_follow_is_damage(bias, x, above):
    cell = bytearray(encode(b"k", Stamp(LAST_HLC, "z"), True, b"\0"))
    table = LWWTable("a", bias=bias)
    assert table.merge(sealed([*x, bytes(cell)], bias)) > 0
    cell[:8] = above.to_bytes(8, "big")
    table = LWWTable("a", bias=bias)
    with pytest.raises(Damaged):
        table.merge(sealed([*x, bytes(cell)], bias))
    assert (state_of(table), table.clock) == ({}, 0)


@given(data=st.binary(max_size=64))
def test_any_bytes_are_a_cell_or_damage(data):
    expected = verdict(twinbytes.parse, data)
    got = verdict(lww.parse, data)
    assert got == expected or (got[0], in_full(got[1]), *got[2:]) == (expected[0], in_full(expected[1]), *expected[2:])


@given(digest=st.binary(max_size=64), size=st.integers(0, 40000))
def test_bytes_that_are_no_digest_are_damage(digest, size):
    for wrong in (digest, digest.ljust(size, b"\0")[:size], LWWTable().digest()[:-1], LWWTable().digest() + b"\0"):
        for refused in (lambda wrong=wrong: LWWTable().delta(than=wrong),
                        lambda wrong=wrong: lww.differing(LWWTable().digest(), wrong)):
            with pytest.raises(Damaged):
                refused()


@given(cell=wide_cells())
def test_a_cell_comes_back_out_of_its_bytes(cell):
    key, stamp, live, payload = lww.parse(cell)
    assert lww.encode(key, stamp, live, payload) == cell
    expected = parse(cell)
    assert (key, in_full(stamp), live, payload) == (expected[0], in_full(expected[1]), *expected[2:])


@given(bias=BIAS, x=WORLDS | WIDE)
def test_a_bundle_is_split_into_what_it_was_made_of(bias, x):
    delta = lww.bundle(iter(x), bias)
    assert delta == bundle(x, bias)
    assert lww.split(delta) == x
    assert lww.records(delta) == twinbytes.records(delta)


@given(bias=BIAS, x=WORLDS | WIDE)
def test_the_twin_reads_what_the_table_writes(bias, x):
    table, twin = table_of(bias, x), Table("b", bias=bias)
    twin.merge(table.delta())
    assert state_of(twin) == state_of(table)
    assert sorted(lww.split(twin.delta())) == sorted(lww.split(table.delta()))

"""Fingerprints between two tables: both end up equal, and hostile ones are refused."""
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data.lww import Damaged, LWWTable, Stamp, bundle, differing, encode, split

EVERY = range(4096)


def table_of(name, writes):
    table = LWWTable(name)
    table.merge(bundle([encode(b"%d" % key, Stamp(hlc, name), live, b"\0" + name.encode() if live else b"")
                        for key, hlc, live in writes], "add"))
    return table


WRITES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.booleans()), max_size=40)


@given(WRITES, WRITES, st.integers(-1, 400))
def test_rounds_of_fingerprints_make_two_tables_equal(ours, theirs, limit):
    one, other = table_of("a", ours), table_of("b", theirs)
    buckets = differing(one.digest(), other.digest())
    while buckets:
        prints = one.fingerprints(buckets)
        delta, wanted, done = other.missing(prints, limit)
        assert done >= 1
        back = one.pick(buckets, wanted)
        assert len(split(back)) == len(wanted) // 8
        one.merge(delta)
        other.merge(back)
        buckets = buckets[done:]
    assert one.digest() == other.digest()
    assert one.missing(other.fingerprints(EVERY), 0)[:2] == (one.delta(one.digest()), b"")


def test_an_empty_table_has_no_fingerprints():
    assert LWWTable().fingerprints([]) == b""
    assert LWWTable().fingerprints([7, 4095]) == b"\0\7\0\0\0\0\x0f\xff\0\0\0\0"
    assert split(LWWTable().missing(b"", 0)[0]) == []
    assert split(LWWTable().pick([1], b"")) == []


@pytest.mark.parametrize("bucket", [-1, 4096, 2**31, 2**64])
def test_there_is_no_such_bucket(bucket):
    table = LWWTable()
    for use in (table.fingerprints, lambda buckets: table.pick(buckets, b"")):
        with pytest.raises(Damaged):
            use([bucket])


def message(*buckets):
    """Of (bucket, how many it says it has: None is the truth, its fingerprints)."""
    return b"".join(struct.pack(f">HI{len(sums)}Q", bucket, len(sums) if n is None else n, *sums)
                    for bucket, n, sums in buckets)


@pytest.mark.parametrize("hostile", [
    b"\0", message((0, None, ()))[:5], message((0, 1, ())), message((0, 2, (1,))), message((0, 2**32 - 1, (1, 2))),
    message((0, 2**29, ())), message((0, 1, (1,))) + b"x", message((4096, None, ())), message((65535, None, ())),
    message((1, None, ()), (1, None, ())), message((2, None, ()), (1, None, ())), message((0, None, (1, 1))),
    message((0, None, (2, 1))), message((0, None, (2**64 - 1, 0))),
])
def test_hostile_fingerprints_are_refused(hostile):
    table = table_of("a", [(i, 1, True) for i in range(50)])
    with pytest.raises(Damaged):
        table.missing(hostile, 10**9)


@pytest.mark.parametrize("size", [1, 7, 9])
def test_wanted_fingerprints_have_eight_bytes(size):
    with pytest.raises(Damaged):
        LWWTable().pick(EVERY, bytes(size))


@given(st.binary(max_size=80), st.integers(-2**40, 2**40))
def test_any_bytes_are_fingerprints_or_damaged(data, limit):
    table = table_of("a", [(i, 1, True) for i in range(20)])
    try:
        delta, wanted, done = table.missing(data, limit)
    except Damaged:
        return
    assert done >= (len(data) > 0)
    assert len(wanted) % 8 == 0
    assert set(split(delta)) <= set(split(table.delta()))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=5), WRITES)
def test_only_what_was_asked_for_is_picked(others, writes):
    table = table_of("a", writes)
    prints = table.fingerprints(EVERY)
    own, at = [], 0
    while at < len(prints):
        n = int.from_bytes(prints[at + 2:at + 6], "big")
        own += [prints[at + 6 + 8 * i:at + 14 + 8 * i] for i in range(n)]
        at += 6 + 8 * n
    asked = b"".join(own[::2]) + b"".join(struct.pack(">Q", one) for one in others)
    picked = split(table.pick(EVERY, asked))
    assert len(picked) == len(set(own[::2]) | ({struct.pack(">Q", one) for one in others} & set(own)))
    assert set(picked) <= set(split(table.delta()))

"""records: what is whole is found, what is not is named, and nothing is read past the end."""
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data import records
from tests.core.wire.page import page
from tests.crdt.journal.cells import cell, commit, control, delta, record, split

CELLS = st.builds(cell, st.binary(min_size=1, max_size=20), st.integers(0, 2**64 - 1), st.binary(max_size=40),
                  live=st.sampled_from([0, 1]))
JOURNAL = b"".join([
    b"x" * 16,
    control("clock", 77), control("floor", 3),
    record(cell(b"k", 5, b"v")), record(cell(b"", 2**64 - 1)), record(cell(b"gone", 9, live=0)),
    control("floor", 8), control("clock", 50), control("later", 2**64 - 1),
])


def test_marks_and_the_greatest_stamp_are_found():
    assert records.check(JOURNAL, 16) == (len(JOURNAL), 3, 2**64 - 1, 77, 8)
    assert records.check(b"") == (0, 0, 0, 0, 0)


@given(cells=st.lists(CELLS, max_size=20), limit=st.integers(1, 300))
def test_the_cells_come_back_in_deltas_however_small(cells, limit):
    data = b"".join(control("clock", i) + record(one) for i, one in enumerate(cells))
    at, got = 0, []
    while at < len(data):
        end, encoded, n = records.delta(data, at, limit, 1)
        pieces = list(split(encoded))
        assert end > at
        assert n == len(pieces)
        assert n <= 1 or sum(map(len, pieces)) <= limit
        got += pieces
        at = end
    assert got == cells
    assert records.delta(data, 0, 10**6, 0)[1] == delta(cells, bias=0)


def test_a_record_cut_anywhere_is_not_whole():
    starts = [16]
    while (end := next((n for n in range(starts[-1] + 1, len(JOURNAL) + 1)
                        if records.check(JOURNAL[:n], 16)[0] > starts[-1]), None)) is not None:
        starts.append(end)
    assert len(starts) == 9
    for n in range(16, len(JOURNAL)):
        assert records.check(JOURNAL[:n], 16)[0] == max(start for start in starts if start <= n)


def test_no_flipped_bit_passes():
    for at in range(16, len(JOURNAL)):
        for bit in range(8):
            broken = bytearray(JOURNAL)
            broken[at] ^= 1 << bit
            end = records.check(broken, 16)[0]
            assert 16 <= end <= at


@pytest.mark.parametrize("zeros", [1, 7, 8, 31, 100, 5000])
def test_zeros_are_no_record(zeros):
    assert records.check(JOURNAL + bytes(zeros), 16)[0] == len(JOURNAL)
    assert records.find_commit(bytes(zeros)) == -1


def test_a_commit_is_found_where_it_says_it_stands():
    data = b"?" * 100 + commit(100) + b"?" * 50
    assert records.find_commit(data) == 100
    assert records.find_commit(data, 100) == 100
    assert records.find_commit(data, 101) == -1
    assert records.find_commit(data[:-51]) == -1


def test_a_commit_within_a_value_is_none():
    data = record(cell(b"k", 1, commit(0) + commit(40) + commit(10**6)))
    assert records.find_commit(data) == -1
    assert records.find_commit(commit(0)[:-1] + b"?") == -1
    assert records.find_commit(control("commit", 0, bytes(10))) == -1
    assert records.find_commit(record(cell(b"commit", 0, bytes(8)))) == -1


@given(data=st.binary(max_size=200))
def test_any_bytes_are_scanned_without_reading_past_the_end(data):
    with page(4096) as guarded:
        for text in (data, record(cell(b"k", 1))[:1 + len(data) % 40], JOURNAL[16:] + data):
            held = guarded.holding(text)
            end = records.check(held)[0]
            assert 0 <= end <= len(text)
            assert records.delta(held, 0, 100, 1)[0] <= end
            assert records.find_commit(held) == -1


def test_a_length_that_lies_is_not_followed():
    for length in (0, 22, 23, 2**31, 2**32 - 1):
        assert records.check(struct.pack(">II", length, 0) + bytes(64))[0] == 0


@pytest.mark.parametrize("start", [-1, 5])
def test_a_start_outside_is_refused(start):
    for call in (records.check, records.find_commit):
        with pytest.raises(ValueError, match="start"):
            call(b"1234", start)
    with pytest.raises(ValueError, match="start"):
        records.delta(b"1234", start, 1, 1)
    with pytest.raises(ValueError, match="limit"):
        records.delta(b"1234", 0, 0, 1)

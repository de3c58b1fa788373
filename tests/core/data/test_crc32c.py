"""crc32c against the RFC's own vectors, and its two ways against each other."""
import array
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data.crc32c import crc32c, crc32c_by_tables
from tests.core.wire.page import page

WAYS = pytest.mark.parametrize("way", [crc32c, crc32c_by_tables], ids=["chosen", "tables"])

# RFC 3720 B.4; the CRC stands there byte by byte, least significant first.
READ_COMMAND = bytes.fromhex(
    "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000")
RFC_3720_B_4 = [
    (bytes(32), "aa36918a"),
    (b"\xff" * 32, "43aba862"),
    (bytes(range(32)), "4e79dd46"),
    (bytes(range(31, -1, -1)), "5cdb3f11"),
    (READ_COMMAND, "563a96d9"),
]


@WAYS
@pytest.mark.parametrize(("data", "expected"), RFC_3720_B_4)
def test_the_vectors_of_rfc_3720_hold(way, data, expected):
    assert way(data).to_bytes(4, "little").hex() == expected


@WAYS
def test_the_check_value_of_the_catalogue_holds(way):
    assert way(b"123456789") == 0xE3069283
    assert way(b"") == 0


def bit_by_bit(data, value=0):
    """The definition: a division in GF(2), a bit at a time."""
    word = value ^ 0xFFFFFFFF
    for byte in data:
        word ^= byte
        for _ in range(8):
            word = word >> 1 ^ (0x82F63B78 if word & 1 else 0)
    return word ^ 0xFFFFFFFF


@WAYS
@given(data=st.binary(max_size=100), value=st.integers(0, 2**32 - 1))
def test_it_is_the_division_that_defines_it(way, data, value):
    assert way(data, value) == bit_by_bit(data, value)


@WAYS
@given(data=st.binary(max_size=60), value=st.integers(0, 2**32 - 1))
def test_data_may_come_in_two_pieces_cut_anywhere(way, data, value):
    for i in range(len(data) + 1):
        assert way(data[i:], way(data[:i], value)) == way(data, value)


@WAYS
def test_no_byte_before_or_behind_the_data_counts(way):
    expected = [bit_by_bit(bytes(range(1, 1 + n))) for n in range(40)]
    with page(4096) as guarded:
        for n in range(40):
            assert way(guarded.holding(bytes(range(1, 1 + n)))) == expected[n]     # a byte further: SIGSEGV
    for offset in range(8):
        around = bytearray(b"\xa5" * 64)
        for n in range(40):
            around[offset:offset + n] = bytes(range(1, 1 + n))
            assert way(memoryview(around)[offset:offset + n]) == expected[n]


@WAYS
def test_a_buffer_of_any_shape_is_its_bytes(way):
    numbers = array.array("i", range(8))
    table = memoryview(numbers).cast("B").cast("i", (2, 4))
    assert way(table) == way(numbers.tobytes()) == way(bytearray(numbers.tobytes()))


@WAYS
def test_what_is_no_contiguous_buffer_is_refused(way):
    for data in ("text", 1, None):
        with pytest.raises(TypeError):
            way(data)
    with pytest.raises(BufferError):
        way(memoryview(b"abcd")[::2])
    for value in (-1, 2**32):
        with pytest.raises(OverflowError):
            way(b"", value)


@WAYS
def test_other_threads_go_on_while_a_large_buffer_is_summed(way):
    # With a switch interval of an hour a waiting thread gets the GIL only from somebody who gives it up.
    data = bytes(1 << 24)
    may_go_on, went_on = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: may_go_on.wait() and went_on.set(), daemon=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    try:
        other.start()
        may_go_on.set()
        for _ in range(1000):
            way(data)
            if went_on.is_set():
                break
        assert went_on.is_set()
    finally:
        sys.setswitchinterval(interval)
    other.join()

"""Stamps: ordered by time and then by name, in their text as in their numbers, and never changed."""
import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data.lww import Stamp

NAMES = st.text("abz019", min_size=1, max_size=8)
STAMPS = st.builds(Stamp, st.integers(0, 3) | st.integers(0, 2**64 - 1), NAMES)


@given(STAMPS, STAMPS)
def test_stamps_order_as_their_pairs_and_as_their_texts_do(one, other):
    pairs = (one.hlc, one.replica), (other.hlc, other.replica)
    assert (one < other) == (pairs[0] < pairs[1]) == (str(one) < str(other))
    assert (one == other) == (pairs[0] == pairs[1])
    assert one != other or hash(one) == hash(other)


@given(STAMPS)
def test_a_stamp_comes_back_from_its_text_and_its_pickle(stamp):
    assert Stamp.parse(str(stamp)) == stamp == pickle.loads(pickle.dumps(stamp)) == copy.deepcopy(stamp)
    assert eval(repr(stamp)) == stamp


@pytest.mark.parametrize("name", ["", "A", "ab cd", "a-b", "123456789", "é", "a\n", "a\0"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="no replica's name"):
        Stamp(1, name)


@pytest.mark.parametrize("hlc", [-1, 2**64, 2**100])
def test_what_fits_no_word_is_refused(hlc):
    with pytest.raises(ValueError, match="not in 0 to"):
        Stamp(hlc, "a")


@pytest.mark.parametrize("text", [
    "", "1-a", "0" * 16, "0" * 16 + "-", "0" * 15 + "G-a", "0" * 16 + "-A", "0" * 16 + "-a\n", "0" * 16 + "-a" * 5,
    " " + "0" * 16 + "-a", "0" * 15 + "A-a", "٠" * 16 + "-a"])
def test_another_text_is_no_stamp(text):
    with pytest.raises(ValueError, match="no stamp"):
        Stamp.parse(text)


def test_a_stamp_does_not_change():
    stamp = Stamp(1, "a")
    with pytest.raises(TypeError):
        stamp.__init__(2, "b")
    with pytest.raises(AttributeError):
        stamp.hlc = 2
    assert (stamp.hlc, stamp.replica) == (1, "a")
    assert stamp != "0000000000000001-a"
    with pytest.raises(TypeError):
        _ = stamp < "0000000000000001-b"

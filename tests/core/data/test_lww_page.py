"""Pages: live keys in byte order, after a key, below a prefix, as many as there are and were asked for."""
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotpath.core.data.lww import LWWTable

KEYS = st.binary(max_size=3) | st.text("ab", max_size=3).map(str.encode)


@given(st.sets(KEYS, max_size=40), st.sets(KEYS, max_size=10), KEYS, st.none() | KEYS, st.integers(1, 50))
@example({b"", b"a"}, set(), b"", b"", 5)
def test_a_page_is_the_first_of_the_sorted_live_keys(keys, gone, prefix, after, limit):
    table = LWWTable()
    for key in keys:
        table.put(key, key + b"!")
    for key in gone:
        table.remove(key)
    live = sorted(key for key in keys - gone if key.startswith(prefix) and (after is None or key > after))
    rows = table.page(prefix, after, limit)
    assert [(key, body) for key, _stamp, _tag, body in rows] == [(key, key + b"!") for key in live[:limit]]
    assert [(stamp, tag, body) for _key, stamp, tag, body in rows] == [table.read(key) for key in live[:limit]]


@pytest.mark.parametrize("limit", [2**61, 2**61 + 1, 2**62, 2**63 - 1])
def test_room_is_taken_for_what_is_found_not_for_what_is_asked_for(limit):
    table = LWWTable()
    for i in range(1000):
        table.put(b"%04d" % i, {"n": i})
    assert [row[0] for row in table.page(b"", None, limit)] == [b"%04d" % i for i in range(1000)]


@pytest.mark.parametrize("limit", [0, -1, -2**63])
def test_a_page_has_at_least_one_row(limit):
    with pytest.raises(ValueError, match="at least 1"):
        LWWTable().page(b"", None, limit)

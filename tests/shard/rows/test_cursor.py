"""A cursor leads back to its place, and only in its own query."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.shard.rows.checks import row_of_python
from hotpath.shard.rows.cursor import cursor_of, last_of, place_of
from hotpath.shard.rows.filters import filters_of_python
from hotpath.shard.rows.sorting import orders_of
from hotpath.shard.rows.values import base64url_text, bytes_of_base64url

from .samples import BY_BYTES, BY_NUMBER, BY_STRING, SORTED, rows, same

PLAIN = orders_of(BY_NUMBER, None)


@settings(max_examples=60)
@given(data=st.data(), table=st.sampled_from([BY_NUMBER, BY_STRING, BY_BYTES]),
       names=st.lists(st.sampled_from(SORTED), unique=True, max_size=3))
def test_a_cursor_leads_back_to_the_row_it_was_made_of(data, table, names):
    orders = orders_of(table, names)
    row = row_of_python(table, data.draw(rows(table)))
    text = cursor_of(table, (), orders, last_of(orders, row))
    assert text.isascii()
    assert not set(text) & set("+/=&?%# ")
    place = place_of(table, (), orders, text)
    assert all(same(a, b) for a, b in zip(place, last_of(orders, row), strict=True))


def test_a_cursor_is_of_one_query_however_that_is_spelled():
    where = filters_of_python(BY_NUMBER, {"whole": {"gt": 3}, "word": "a"})
    text = cursor_of(BY_NUMBER, where, PLAIN, (5,))
    assert place_of(BY_NUMBER, where[::-1], orders_of(BY_NUMBER, "id"), text) == (5,)
    for table, other, orders in [
        (BY_NUMBER, (), PLAIN), (BY_NUMBER, where, orders_of(BY_NUMBER, "-id")),
        (BY_NUMBER, filters_of_python(BY_NUMBER, {"whole": {"gt": 4}, "word": "a"}), PLAIN),
        (BY_NUMBER, filters_of_python(BY_NUMBER, {"whole": {"ge": 3}, "word": "a"}), PLAIN),
        (BY_NUMBER, where, orders_of(BY_NUMBER, "whole")), (BY_STRING, where, orders_of(BY_STRING, None)),
    ]:
        with pytest.raises(ValueError, match="of another query"):
            place_of(table, other, orders, text)


@given(text=st.one_of(st.text(max_size=40), st.binary(max_size=40).map(base64url_text)))
def test_any_other_text_is_refused(text):
    with pytest.raises(ValueError, match="cursor"):
        place_of(BY_NUMBER, (), PLAIN, text)


@pytest.mark.parametrize("behind", [b"", b"[", b"5", b"[]", b"[1,2]", b"[null]", b'["5"]', b"[9223372036854775808]",
                                    b"[1.0]", b"[" * 100_000])
def test_a_cursor_that_was_made_by_hand_is_refused_where_it_is_no_place(behind):
    head = bytes_of_base64url(cursor_of(BY_NUMBER, (), PLAIN, (5,)))[:8]
    with pytest.raises(ValueError, match="cursor"):
        place_of(BY_NUMBER, (), PLAIN, base64url_text(head + behind))

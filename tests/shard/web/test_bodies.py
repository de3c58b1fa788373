"""JSON read strictly: what two readers could understand differently is refused, all else is what json says."""
from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.errors import InvalidRow
from hotpath.core.serve import RequestError
from hotpath.shard.web.bodies import MAX_DIGITS, decoded, lines_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20)


@given(VALUES, st.booleans())
def test_whatever_json_writes_is_read_back(value, is_ascii):
    assert decoded(json.dumps(value, ensure_ascii=is_ascii).encode()) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_refusal(data):
    with suppress(RequestError):
        decoded(data)


@given(st.dictionaries(TEXT, st.integers(), min_size=1, max_size=4), st.data())
def test_a_member_that_is_there_twice_is_named_wherever_it_is(members, data):
    name = data.draw(st.sampled_from(sorted(members)))
    pairs = [f"{json.dumps(key)}: {value}" for key, value in members.items()]
    pairs.insert(data.draw(st.integers(0, len(pairs))), f"{json.dumps(name)}: 0")
    for text in (f"{{{', '.join(pairs)}}}", f'{{"a": [{{{", ".join(pairs)}}}]}}', f"[{{{', '.join(pairs)}}}]"):
        with pytest.raises(RequestError, match="there twice") as refused:
            decoded(text.encode())
        assert repr(name) in str(refused.value)


def test_a_number_is_as_long_as_it_may_be():
    assert decoded(b"9" * MAX_DIGITS) == int("9" * MAX_DIGITS)
    with pytest.raises(InvalidRow, match="digits"):
        decoded(b"-" + b"9" * MAX_DIGITS)


def test_where_it_stops_being_json_is_said_in_bytes():
    with pytest.raises(RequestError, match=r"at byte 8$"):
        decoded('{"ü": 1x}'.encode())
    with pytest.raises(RequestError, match="no UTF-8 at byte 2"):
        decoded(b'{"\xff"}')


@given(st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"\n", b""))), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_are_what_stands_between_line_ends_and_is_not_blank(lines, end):
    wanted = [line.strip(b" \t\r") for line in lines]
    assert list(lines_of(end.join(lines))) == [line for line in wanted if line]
    assert list(lines_of(end.join(lines) + end)) == [line for line in wanted if line]

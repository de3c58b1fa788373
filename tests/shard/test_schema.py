"""Types, keys, slots and marks."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data import Ring
from hotpath.shard.schema import BIGINT_RANGE, Column, Table, hash_of, key_of_mark, mark_of, parse_type, slot_of

BIGINTS = st.integers(*BIGINT_RANGE)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@pytest.mark.parametrize(("text", "parsed"), [
    ("int", ("int", 0, 0, False)), ("bigint?", ("bigint", 0, 0, True)), ("string(64)", ("string", 64, 0, False)),
    ("decimal(10,2)", ("decimal", 10, 2, False)), ("decimal(5, 5)?", ("decimal", 5, 5, True)),
    ("binary(16)", ("binary", 16, 0, False)), ("json?", ("json", 0, 0, True)),
])
def test_a_type_is_read_as_it_is_declared(text, parsed):
    assert parse_type(text) == parsed
    kind, n, s, nullable = parsed
    assert Column("c", kind, n, s, nullable).type == text.replace(" ", "")


@pytest.mark.parametrize("text", ["", "varchar(3)", "int(3)", "string", "string(0)", "string(16384)", "decimal(3,4)",
                                  "decimal(66,0)", "decimal(10)", "text(3)", "binary", "bigint??", " int", "INT"])
def test_what_is_no_type_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match="allowed: "):
        parse_type(text)


@given(key=st.one_of(BIGINTS, TEXTS, st.binary(max_size=20)))
def test_a_slot_is_the_first_16_bits_of_the_hash_that_the_ring_goes_by(key):
    ring = Ring({"a": 1, "b": 1, "c": 2})
    assert slot_of(key) == hash_of(key) >> 48 == ring.get_key(key) >> 48


@given(keys=st.lists(BIGINTS, min_size=2, max_size=2))
def test_marks_of_numbers_sort_as_the_numbers_do(keys):
    assert sorted(keys) == sorted(keys, key=mark_of)


@given(keys=st.lists(TEXTS, min_size=2, max_size=2))
def test_marks_of_strings_sort_by_their_utf8_bytes(keys):
    assert sorted(keys, key=mark_of) == sorted(keys, key=lambda text: text.encode())


@given(key=st.one_of(BIGINTS, TEXTS, st.binary(max_size=20)))
def test_a_mark_says_which_key_it_is_of(key):
    kind = {int: "bigint", str: "string", bytes: "binary"}[type(key)]
    table = Table("t", (Column("k", kind, 0 if kind == "bigint" else 20),), 0)
    assert key_of_mark(table, mark_of(key)) == key

"""JSON and URLs spell each value, and read back what they spelled."""
from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.shard.rows.checks import row_of_python
from hotpath.shard.rows.values import (
    json_key,
    json_row,
    json_value,
    key_of_path,
    key_of_text,
    of_json,
    of_text,
    path_of_key,
)

from .samples import BY_BYTES, BY_NUMBER, BY_STRING, SORTED, TYPES, column, rows, same, values

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(("declared", "spelled", "value"), [
    ("int", 5, 5), ("double", 5, 5.0), ("double", 1e308, 1e308), ("bool", False, False),
    ("decimal(5,2)", "-0.00", Decimal("0.00")), ("decimal(5,2)", "012.3", Decimal("12.30")),
    ("binary(3)", "AP8=", b"\0\xff"), ("blob", "", b""), ("string(3)", "", ""), ("json", {"$add": 1}, {"$add": 1}),
    ("datetime", "2026-01-31T12:00:00.000000Z", NOON), ("datetime", "2026-01-31t13:30:00+01:30", NOON),
    ("datetime", "2026-01-31 12:00:00.0z", NOON), ("datetime", "2026-01-31T12:00:00-00:00", NOON),
    ("datetime", "9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
])
def test_json_is_read_as_the_type_says(declared, spelled, value):
    assert same(of_json(column(declared), spelled), value)


@pytest.mark.parametrize(("declared", "spelled"), [
    ("int", "1"), ("int", 1.0), ("int", True), ("bigint", 2**63), ("double", "1"), ("bool", 0), ("bool", "true"),
    ("decimal(5,2)", 1.5), ("decimal(5,2)", 1), ("decimal(5,2)", "1e2"), ("decimal(5,2)", " 1"), ("decimal(5,2)", "+1"),
    ("decimal(5,2)", "NaN"), ("decimal(5,2)", ""), ("decimal(5,2)", "1."), ("decimal(5,2)", "٣"),
    ("decimal(5,2)", "1234.00"), ("decimal(5,2)", "1.005"), ("decimal(5,2)", "9" * 10**6), ("binary(3)", "AP8"),
    ("binary(3)", "AP_="), ("binary(3)", "A P8="), ("binary(1)", "AP8="), ("binary(3)", 5), ("blob", "é"),
    ("string(3)", "abcd"), ("string(3)", 5), ("string(3)", "\0"), ("datetime", "2026-01-31"), ("datetime", 5),
    ("datetime", "2026-01-31T12:00:00"), ("datetime", "2026-02-30T12:00:00Z"), ("datetime", "2026-01-31T24:00:00Z"),
    ("datetime", "2026-01-31T12:00:60Z"), ("datetime", "2026-01-31T12:00:00.1234567Z"), ("datetime", "now"),
    ("datetime", "2026-01-31T12:00:00+25:00"), ("datetime", "2026-01-31T12:00:00+00:60"),
    ("datetime", "0999-12-31T23:59:59Z"), ("datetime", "0001-01-01T00:00:00+10:00"),
    ("datetime", "٢026-01-31T12:00:00Z"),
])
def test_other_json_is_refused(declared, spelled):
    with pytest.raises(ValueError, match=r"^.{1,200}$"):
        of_json(column(declared), spelled)


@given(data=st.data(), name=st.sampled_from(list(TYPES)))
def test_a_value_survives_json(data, name):
    of = column(TYPES[name])
    row = row_of_python(BY_NUMBER, {"id": 1, name: data.draw(values(of))})
    text = msgspec.json.encode(json_value(of, row[name]))
    back = msgspec.json.decode(text)
    assert same(None if back is None else of_json(of, back), row[name])


@settings(max_examples=40)
@given(row=rows(BY_BYTES))
def test_a_row_becomes_json_as_its_values_do_and_stays_as_it_is(row):
    row = row_of_python(BY_BYTES, row)
    before = dict(row)
    assert json_row(BY_BYTES, row) == {one.name: json_value(one, row[one.name]) for one in BY_BYTES.columns}
    assert row == before
    del row["moment"], row["data"]
    assert list(json_row(BY_BYTES, row)) == list(row)       # also of some columns


def test_a_moment_always_has_its_microseconds_and_a_decimal_never_an_exponent():
    assert json_value(column("datetime"), NOON) == "2026-01-31T12:00:00.000000Z"
    assert json_value(column("decimal(12,10)"), Decimal("0E-10")) == "0.0000000000"


@given(data=st.data(), name=st.sampled_from(SORTED))
def test_a_parameter_of_a_query_can_spell_any_value_that_compares(data, name):
    of = column(TYPES[name])
    value = row_of_python(BY_NUMBER, {"id": 1, name: data.draw(values(of))})[name]
    if value is not None:
        spelled = json_value(of, value)
        text = spelled if isinstance(spelled, str) else msgspec.json.encode(spelled).decode()
        assert same(of_text(of, text), value)


@pytest.mark.parametrize(("declared", "text"), [
    ("int", ""), ("int", "1.0"), ("int", "+1"), ("int", " 1"), ("int", "1_0"), ("int", "9" * 5000), ("int", "٣"),
    ("double", "nan"), ("double", "inf"), ("double", "1e999"), ("double", "0x1"), ("double", ""), ("bool", "True"),
    ("bool", "1"), ("binary(3)", "A"), ("binary(3)", "AP9"), ("blob", "AP 8"), ("json", "{}"), ("string(2)", "abc"),
])
def test_a_parameter_that_spells_no_value_is_refused(declared, text):
    with pytest.raises(ValueError, match=r"^.{1,200}$"):
        of_text(column(declared), text)


@pytest.mark.parametrize("table", [BY_NUMBER, BY_STRING, BY_BYTES])
@given(data=st.data())
def test_each_key_has_a_path_that_leads_back_to_it(table, data):
    key = data.draw(values(table.key))
    path = path_of_key(table, key)
    assert key_of_path(table, path) == key
    assert path.isascii()
    assert not set(path) & set("/?# %") - {"%"}
    assert path not in (".", "..")
    assert of_json(table.key, json_key(table, key)) == key


@pytest.mark.parametrize(("key", "path"), [("a/b c", "a%2Fb%20c"), ("..", "%2E%2E"), (".", "%2E"), ("...", "..."),
                                           ("é", "%C3%A9"), ("", ""), ("%41", "%2541"), ("a?b#c", "a%3Fb%23c")])
def test_a_string_key_is_spelled_so_that_no_client_takes_it_for_something_else(key, path):
    assert path_of_key(BY_STRING, key) == path
    assert key_of_path(BY_STRING, path) == key


def test_a_key_in_a_query_is_decoded_already():
    assert key_of_text(BY_STRING, "%41") == "%41"
    assert key_of_path(BY_STRING, "%41") == "A"
    assert key_of_text(BY_BYTES, "AP8") == b"\0\xff"


@pytest.mark.parametrize(("table", "path"), [
    (BY_NUMBER, "abc"), (BY_NUMBER, "007"), (BY_NUMBER, "+7"), (BY_NUMBER, "-0"), (BY_NUMBER, ""), (BY_NUMBER, "1.0"),
    (BY_NUMBER, str(2**63)), (BY_NUMBER, "9" * 5000), (BY_STRING, "x" * 256), (BY_STRING, "%00"), (BY_STRING, "%ff"),
    (BY_BYTES, "A"), (BY_BYTES, "AP8=="), (BY_BYTES, "AP9"), (BY_BYTES, "A+8"), (BY_BYTES, "A" * 400), (BY_BYTES, "é"),
])
def test_a_path_that_is_no_row_s_is_refused(table, path):
    with pytest.raises(ValueError, match=r"^.{1,200}$"):
        key_of_path(table, path)

"""What a column takes, and in which form."""
from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.shard.rows.kinds import MAX_DEPTH, aware, checked, naive, shown

from .samples import MOMENTS, TYPES, column, same, values


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    HI = "hi"


class Clock(datetime):
    pass


def nested(depth: int) -> object:
    document: object = 1
    for _ in range(depth):
        document = [document]
    return document


GOOD = [
    ("int", -2**31, -2**31), ("int", 2**31 - 1, 2**31 - 1), ("int", Level.HIGH, 3), ("bigint", -2**63, -2**63),
    ("double", 1, 1.0), ("double", -0.0, 0.0), ("double", 5e-324, 5e-324), ("bool", True, True),
    ("decimal(4,2)", Decimal("1.5"), Decimal("1.50")), ("decimal(4,2)", 7, Decimal("7.00")),
    ("decimal(4,2)", Decimal("-0"), Decimal("0.00")), ("decimal(4,2)", Decimal("12.300000"), Decimal("12.30")),
    ("decimal(4,2)", Decimal("1E+1"), Decimal("10.00")), ("decimal(2,2)", Decimal("0.99"), Decimal("0.99")),
    ("decimal(65,30)", Decimal("9" * 35 + "." + "9" * 30), Decimal("9" * 35 + "." + "9" * 30)),
    ("string(2)", "\U0001f600\U0001f600", "\U0001f600\U0001f600"), ("string(2)", Word.HI, "hi"), ("string(1)", "", ""),
    ("text", "é", "é"), ("binary(2)", bytearray(b"\0\xff"), b"\0\xff"), ("blob", memoryview(b""), b""),
    ("datetime", datetime(1000, 1, 1, tzinfo=UTC), datetime(1000, 1, 1, tzinfo=UTC)),
    ("datetime", datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ("datetime", Clock(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ("json", {"a": [1, None, "\0"]}, {"a": [1, None, "\0"]}), ("json", 0, 0),
    ("json", nested(MAX_DEPTH), nested(MAX_DEPTH)),
]
BAD = [
    ("int", 2**31), ("int", -2**31 - 1), ("int", 1.0), ("int", True), ("int", "1"), ("bigint", 2**63),
    ("bigint", -2**63 - 1), ("bigint", 10**4000), ("bigint", 2.0**60),
    ("double", math.nan), ("double", math.inf), ("double", 10**400), ("double", True),
    ("double", "1"), ("double", Decimal(1)), ("bool", 1), ("bool", "true"), ("decimal(4,2)", Decimal("100")),
    ("decimal(4,2)", Decimal("1.005")), ("decimal(4,2)", 1.5), ("decimal(4,2)", "1.5"), ("decimal(4,2)", True),
    ("decimal(4,2)", Decimal("NaN")), ("decimal(4,2)", Decimal("-Infinity")), ("decimal(4,2)", Decimal("1E+999999")),
    ("decimal(4,2)", Decimal("1E-999999")), ("decimal(2,2)", Decimal(1)), ("string(2)", "abc"), ("string(2)", "\0"),
    ("string(2)", "\ud800"), ("string(2)", b"a"), ("text", 3), ("text", "a\0"), ("text", "\udfff"),
    ("binary(2)", b"abc"), ("binary(2)", "ab"), ("blob", [1]), ("datetime", datetime(2026, 1, 1)),    # naive
    ("datetime", datetime(1, 1, 1, tzinfo=UTC)), ("datetime", datetime(999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ("datetime", datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2)))),
    ("datetime", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))), ("datetime", "2026-01-31T12:00:00Z"),
    ("json", nested(MAX_DEPTH + 1)), ("json", [math.nan]), ("json", {"a": math.inf}), ("json", "\ud800"),
    ("json", {"\ud800": 1}), ("json", {1: 2}), ("json", {"a": b"b"}), ("json", (1, 2)), ("json", [2**1025]),
    ("json", Decimal(1)),
]


@pytest.mark.parametrize(("declared", "given", "kept"), GOOD)
def test_a_value_is_kept_in_one_form(declared, given, kept):
    assert same(checked(column(declared), given), kept)


@pytest.mark.parametrize(("declared", "given"), [*BAD, pytest.param("int", 10**5000, id="10**5000")])
def test_any_other_is_refused_in_a_short_line_that_can_be_sent(declared, given):
    with pytest.raises(ValueError, match=r"^.{1,200}$") as caught:
        checked(column(declared), given)
    str(caught.value).encode()


@given(data=st.data(), name=st.sampled_from(list(TYPES)))
def test_what_is_kept_is_taken_again_as_it_is(data, name):
    of = column(TYPES[name])
    value = data.draw(values(of))
    if value is not None:
        kept = checked(of, value)
        assert same(checked(of, kept), kept)
        assert kept == value


@given(moment=MOMENTS)
def test_a_moment_loses_its_offset_and_has_it_back(moment):
    utc = moment.astimezone(UTC)
    assert naive(utc) == utc.replace(tzinfo=None)
    assert same(aware(naive(utc)), utc)


@pytest.mark.parametrize(("value", "text"), [
    (None, "null"), (True, "true"), ({"a": 1}, "an object"), ([1], "an array"), ("x" * 10**6, "'" + "x" * 39 + "…"),
    (2**4000, "an integer of many digits"), ("\ud800", r"'\ud800'"), (Decimal("1.50"), "1.50"),
])
def test_a_message_quotes_little(value, text):
    assert shown(value) == text

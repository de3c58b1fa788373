"""Literals are exact, and end where their value ends. That a server reads them so is in `test_mysql.py`."""
from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.shard.engine import Statement
from hotpath.shard.engine.errors import OutOfRange, StatementRefused
from hotpath.shard.engine.literals import literal, render


@pytest.mark.parametrize(("value", "text"), [
    (None, b"NULL"), (0, b"0"), (-5, b"-5"), (True, b"1"), (0.1, b"0.1e0"), (1e300, b"1e+300"), (-0.0, b"-0.0e0"),
    (Decimal("1E-7"), b"0.0000001"), (Decimal("1E+3"), b"1000"), ("a'b", b"'a\\'b'"), ("\\", b"'\\\\'"),
    (b"\x00'", b"_binary'\x00\\''"), (datetime(2026, 1, 31, 12, 0, 0, 1), b"'2026-01-31 12:00:00.000001'"),
])
def test_a_value_is_written_as(value, text):
    assert literal(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"), "\ud800"])
def test_what_no_column_can_hold_is_out_of_range(value):
    with pytest.raises(OutOfRange):
        literal(value)
    with pytest.raises(OutOfRange):
        render(Statement("SELECT ?"), (value,))


@pytest.mark.parametrize("values", [(), (1,), (1, 2, 3), (1, object()), (1, [2])])
def test_values_that_do_not_fit_the_statement_are_refused(values):
    with pytest.raises(StatementRefused):
        render(Statement("SELECT ?, ?"), values)


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.binary())
def test_a_quote_ends_a_literal_only_at_its_end(value):
    text = literal(value)
    body = text[text.index(b"'") + 1:-1]
    n = 0
    while n < len(body):
        assert body[n:n + 1] != b"'"
        n += 2 if body[n:n + 1] == b"\\" else 1
    assert n == len(body)       # the last backslash does not take the quote with it

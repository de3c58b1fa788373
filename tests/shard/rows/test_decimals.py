"""Decimals on a real SQLite: they sort by value, and sums are exact."""
from __future__ import annotations

import sqlite3
from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from hotpath.shard.rows.decimals import add, compare, register
from hotpath.shard.rows.values import decimal_text

from .samples import decimals

PRICES = st.lists(decimals(65, 30).map(lambda number: Decimal(format(number, "f"))), max_size=20)


def filled(numbers: list[Decimal]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    register(connection)
    connection.execute("CREATE TABLE t (c TEXT)")
    connection.executemany("INSERT INTO t VALUES (?)", [(decimal_text(number),) for number in numbers])
    return connection


@given(numbers=PRICES)
def test_text_sorts_by_value(numbers):
    found = filled(numbers).execute("SELECT c FROM t ORDER BY c COLLATE hp_decimal").fetchall()
    assert [Decimal(text) for text, in found] == sorted(numbers)


@given(numbers=PRICES)
def test_a_sum_has_every_digit_whatever_the_thread_rounds_to(numbers):
    (text,), = filled([*numbers, *numbers]).execute("SELECT hp_decimal_sum(c) FROM t").fetchall()
    units = sum(int(decimal_text(number).replace(".", "")) for number in numbers)
    assert text is None if not numbers else int(text.replace(".", "")) == 2 * units
    with localcontext(prec=3):
        assert add(Decimal("1234.5"), Decimal("0.25")) == Decimal("1234.75")


def test_the_sum_of_nothing_is_null():
    connection = filled([])
    connection.execute("INSERT INTO t VALUES (NULL)")
    assert connection.execute("SELECT hp_decimal_sum(c) FROM t").fetchall() == [(None,)]


def test_equal_values_compare_equal_however_they_are_spelled():
    assert (compare("1.50", "1.5"), compare("-2", "1"), compare("10", "9")) == (0, -1, 1)

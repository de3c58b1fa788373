"""Rows sort in Python as they are asked for."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.shard.rows.checks import row_of_python
from hotpath.shard.rows.sorting import MAX_BYTES, MAX_CHARACTERS, Order, orders_of, sort_key

from .samples import BY_NUMBER, BY_STRING, SORTED, column, rows


def names(orders):
    return ["-" * order.descending + order.column.name for order in orders]


@pytest.mark.parametrize(("given_order", "meant"), [
    (None, ["id"]), ((), ["id"]), ("word", ["word", "id"]), ("-word,whole", ["-word", "whole", "id"]),
    (["-word", "whole"], ["-word", "whole", "id"]), ("-id", ["-id"]), ("word,-id,whole", ["word", "-id"]),
])
def test_the_key_decides_at_the_end(given_order, meant):
    assert names(orders_of(BY_NUMBER, given_order)) == meant


@pytest.mark.parametrize("order", ["", "colour", "word,word", "word,-word", "--word", "+word", "word,", " word",
                                   "document", [5], [None]])
def test_an_order_of_something_else_is_refused(order):
    with pytest.raises(ValueError, match=r"^order: .*allowed: "):
        orders_of(BY_NUMBER, order)


def test_long_values_sort_by_their_beginning():
    assert [Order(column(declared)).cut for declared in (
        "text", "blob", "string(1000)", "string(1001)", "binary(4000)", "binary(4001)", "int", "decimal(65,30)",
    )] == [MAX_CHARACTERS, MAX_BYTES, None, MAX_CHARACTERS, None, MAX_BYTES, None, None]
    key = sort_key(orders_of(BY_NUMBER, "body"))
    shared = "x" * MAX_CHARACTERS
    assert key({"id": 1, "body": shared + "b"}) < key({"id": 2, "body": shared + "a"})


@settings(max_examples=40)
@given(data=st.data(), table=st.sampled_from([BY_NUMBER, BY_STRING]), name=st.sampled_from(SORTED))
def test_null_comes_first_and_turned_round_last(data, table, name):
    found = [row_of_python(table, row) for row in data.draw(st.lists(rows(table), min_size=1, max_size=6))]
    nulls = [row[name] is None for row in sorted(found, key=sort_key(orders_of(table, name)))]
    assert nulls == sorted(nulls, reverse=True)
    turned = [row[name] is None for row in sorted(found, key=sort_key(orders_of(table, "-" + name)))]
    assert turned == sorted(turned)


@settings(max_examples=40)
@given(data=st.data(), order=st.lists(st.sampled_from(SORTED), unique=True, max_size=3))
def test_turned_round_column_by_column_an_order_is_turned_round(data, order):
    found = [row_of_python(BY_NUMBER, row) for row in data.draw(st.lists(rows(BY_NUMBER), max_size=6, unique_by=(
        lambda row: row["id"],)))]
    there = sorted(found, key=sort_key(orders_of(BY_NUMBER, [*order, "id"])))
    back = sorted(found, key=sort_key(orders_of(BY_NUMBER, ["-" + name for name in [*order, "id"]])))
    assert there == back[::-1]

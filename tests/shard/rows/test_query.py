"""Requests for lists, as HTTP and Python spell them."""
from __future__ import annotations

import pytest

from hotpath.shard.rows.query import query_of_pairs, query_of_python

from .samples import BY_NUMBER as TABLE

ALL = tuple(column.name for column in TABLE.columns)


def test_what_is_not_asked_for_is_all_in_the_order_of_the_key():
    query = query_of_pairs(TABLE, [], max_limit=1000)
    assert (query.where, query.limit, query.after, query.fields, query.columns) == ((), 50, None, None, ALL)
    assert query == query_of_python(TABLE, max_limit=1000)


def test_both_forms_mean_the_same():
    assert query_of_pairs(TABLE, [
        ("where.whole.gt", "3"), ("order", "-word,price"), ("limit", "7"), ("fields", "word,id")], max_limit=9,
    ) == query_of_python(TABLE, where={"whole": {"gt": 3}}, order=["-word", "price"], limit=7, fields=["word", "id"],
                         max_limit=9)


def test_no_page_is_longer_than_allowed_also_by_default():
    assert query_of_pairs(TABLE, [], max_limit=7).limit == query_of_python(TABLE, max_limit=7).limit == 7
    assert query_of_pairs(TABLE, [("limit", "7")], max_limit=7).limit == 7


def test_columns_are_read_that_are_shown_or_sorted_by():
    query = query_of_python(TABLE, order="-word", fields="price,whole", max_limit=9)
    assert query.columns == ("id", "whole", "price", "word")
    assert list(query.shown({"id": 1, "whole": 2, "price": 3, "word": 4}).items()) == [("price", 3), ("whole", 2)]


def test_a_page_goes_on_behind_a_row_with_a_text_or_without():
    row = {"id": 5, "word": None}
    query = query_of_python(TABLE, order="-word", fields=["id"], max_limit=9)
    text = query.cursor(row)
    assert query.behind(row).after == (None, 5)
    assert query_of_python(TABLE, order="-word", fields=["id"], cursor=text, max_limit=9) == query.behind(row)
    # Neither how many nor what is shown is the query's.
    other = query_of_pairs(TABLE, [("order", "-word"), ("cursor", text), ("limit", "3")], max_limit=9)
    assert other.after == (None, 5)


@pytest.mark.parametrize("pairs", [
    [("limit", "0")], [("limit", "1001")], [("limit", "-1")], [("limit", "1.0")], [("limit", "")], [("limit", "٣")],
    [("limit", "9" * 5000)], [("limit", "5"), ("limit", "5")], [("order", "word"), ("order", "id")], [("order", "")],
    [("fields", "")], [("fields", "id,id")], [("fields", "colour")], [("cursor", "")], [("cursor", "x" * 9)],
    [("offset", "5")], [("", "")], [("where", "x")], [("Where.id", "5")], [("aggregate", "count")],
    [("x" * 10**6, "")],
])
def test_a_parameter_that_is_none_is_refused_with_what_is_allowed(pairs):
    with pytest.raises(ValueError, match=r"^.{1,300}allowed: .{1,300}$"):
        query_of_pairs(TABLE, pairs, max_limit=1000)


@pytest.mark.parametrize("asked", [
    {"limit": 0}, {"limit": 1001}, {"limit": True}, {"limit": "5"}, {"limit": 5.0}, {"order": "colour"},
    {"fields": []}, {"fields": ["id", "id"]}, {"fields": [5]}, {"cursor": 5}, {"cursor": b""}, {"where": {"colour": 1}},
])
def test_python_is_refused_in_the_same_way(asked):
    with pytest.raises(ValueError, match=r"^.{1,300}allowed: .{1,300}$"):
        query_of_python(TABLE, max_limit=1000, **asked)

"""Conditions, as HTTP and Python spell them."""
from __future__ import annotations

from decimal import Decimal

import pytest

from hotpath.shard.rows.filters import Filter, filters_of_pairs, filters_of_python

from .samples import BY_NUMBER as TABLE


def of(name):
    found = TABLE.column(name)
    assert found is not None
    return found


@pytest.mark.parametrize(("pairs", "where", "filters"), [
    ([], None, ()),
    ([("where.word", "ada")], {"word": "ada"}, (Filter(of("word"), "eq", "ada"),)),
    ([("where.word", "")], {"word": ""}, (Filter(of("word"), "eq", ""),)),
    ([("where.whole.gt", "3"), ("where.whole.le", "9")], {"whole": {"gt": 3, "le": 9}},
     (Filter(of("whole"), "gt", 3), Filter(of("whole"), "le", 9))),
    ([("where.document.null", "true")], {"document": {"null": True}}, (Filter(of("document"), "null", True),)),
    ([("where.id.null", "false")], {"id": {"null": False}}, (Filter(of("id"), "null", False),)),
    ([("where.price.ne", "1.5")], {"price": {"ne": Decimal("1.5")}}, (Filter(of("price"), "ne", Decimal("1.500")),)),
    ([("where.token", "AP_-")], {"token": b"\0\xff\xfe"}, (Filter(of("token"), "eq", b"\0\xff\xfe"),)),
    ([("where.flag", "true"), ("order", "-id")], {"flag": True}, (Filter(of("flag"), "eq", True),)),
])
def test_both_forms_mean_the_same(pairs, where, filters):
    assert filters_of_pairs(TABLE, pairs) == filters_of_python(TABLE, where) == filters


@pytest.mark.parametrize("pairs", [
    [("where.colour", "red")], [("where.", "1")], [("where.word.like", "a%")], [("where.word.eq", "a")],
    [("where.word.gt.lt", "a")], [("where.word.", "a")], [("where.whole", "x")], [("where.whole", "3000000000")],
    [("where.word", "x" * 65)], [("where.word", "\0")], [("where.word", "a"), ("where.word", "b")],
    [("where.word.ne", "a"), ("where.word.ne", "a")], [("where.document", "{}")], [("where.word.null", "1")],
    [("where.price.lt", "1.2345")], [("where.moment", "2026")], [("where.number", "nan")],
])
def test_a_parameter_that_is_no_condition_is_refused_with_what_is_allowed(pairs):
    with pytest.raises(ValueError, match=r"^.{1,400}$"):
        filters_of_pairs(TABLE, pairs)


@pytest.mark.parametrize("where", [
    {"colour": 1}, {1: 1}, {"word": None}, {"word": {"ne": None}}, {"word": {}}, {"word": {"eq": "a"}}, {"word": 5},
    {"word": {"null": 1}}, {"document": [1]}, {"document": {"a": 1}}, {"document": {"gt": 1}}, {"price": 1.5},
    {"whole": True}, {"word": {5: "a"}}, {"word": ["a", "b"]},
])
def test_python_that_is_no_condition_is_refused_with_what_is_allowed(where):
    with pytest.raises(ValueError, match=r"^.{1,400}$"):
        filters_of_python(TABLE, where)


def test_a_refusal_names_the_parameter_and_what_is_allowed():
    with pytest.raises(ValueError, match=r"^where\.whole\.gt: 'x' is no integer; allowed: one"):
        filters_of_pairs(TABLE, [("where.whole.gt", "x")])
    with pytest.raises(ValueError, match=r"'like' is no operator; allowed: ne, lt, le, gt, ge, null, or none"):
        filters_of_pairs(TABLE, [("where.word.like", "x")])
    with pytest.raises(ValueError, match=r"'colour' is no column of everything; allowed: id, whole, long"):
        filters_of_python(TABLE, {"colour": "red"})

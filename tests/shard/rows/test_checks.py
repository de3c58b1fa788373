"""Bodies become rows or changes, or all that is wrong with them is said."""
from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.errors import InvalidRow
from hotpath.shard.rows.checks import (
    MAX_ERRORS,
    Changes,
    changes_of_json,
    changes_of_python,
    key_of_python,
    largest_row,
    row_of_json,
    row_of_python,
)
from hotpath.shard.rows.values import json_row
from hotpath.shard.schema import Column, Table

from .samples import BY_BYTES, BY_NUMBER, BY_STRING, rows, same

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
POSTS = Table("posts", (
    Column("id", "bigint", generate=True), Column("author", "string", 64), Column("body", "text", nullable=True),
    Column("likes", "int", has_default=True, default=0), Column("created", "datetime", is_now=True),
    Column("score", "double", nullable=True, has_default=True, default=0.5), Column("meta", "json", nullable=True)), 0)
SHORT = Table("short", (Column("id", "string", 8), Column("n", "int")), 0)


def paths(errors):
    return [one["path"] for one in errors.value.errors]


def test_what_a_body_leaves_out_has_its_default_or_is_null():
    row = row_of_json(POSTS, {"author": "ada"}, now=lambda: NOW)
    assert row == {"id": None, "author": "ada", "body": None, "likes": 0, "created": NOW, "score": 0.5, "meta": None}
    assert list(row) == [one.name for one in POSTS.columns]


def test_null_is_not_the_same_as_left_out():
    assert row_of_json(POSTS, {"author": "ada", "score": None})["score"] is None
    with pytest.raises(InvalidRow) as caught:
        row_of_json(POSTS, {"author": None, "likes": None, "id": None, "created": None})
    assert paths(caught) == ["id", "author", "likes", "created"]
    assert all(one["message"].startswith("null is not allowed") for one in caught.value.errors)


def test_all_mistakes_of_a_body_are_said_at_once():
    with pytest.raises(InvalidRow) as caught:
        row_of_json(POSTS, {"id": "5", "likes": 2**31, "created": "now", "meta": 3, "colour": "red", "body": "\0"})
    assert paths(caught) == ["id", "author", "body", "likes", "created", "colour"]
    assert caught.value.errors[1]["message"] == "is missing; allowed: string(64)"
    assert "allowed: id, author" in caught.value.errors[-1]["message"]


@pytest.mark.parametrize("body", [None, 5, "x", [], [{"author": "ada"}], True])
def test_what_is_no_object_is_no_row(body):
    for read in (row_of_json, row_of_python, changes_of_json, changes_of_python):
        with pytest.raises(InvalidRow) as caught:
            read(POSTS, body)
        assert paths(caught) == [""]


def test_a_body_of_nothing_but_mistakes_gets_a_short_answer():
    with pytest.raises(InvalidRow) as caught:
        row_of_json(POSTS, {f"c{i}": i for i in range(100_000)})
    assert len(caught.value.errors) == MAX_ERRORS
    with pytest.raises(InvalidRow) as caught:
        row_of_json(POSTS, {"x" * 10**6: 1})
    assert len(str(caught.value)) < 1000


def test_the_key_of_the_path_may_be_left_out_and_must_not_differ():
    assert row_of_json(POSTS, {"author": "ada"}, key=7)["id"] == 7
    assert row_of_json(POSTS, {"author": "ada", "id": 7}, key=7)["id"] == 7
    with pytest.raises(InvalidRow) as caught:
        row_of_json(POSTS, {"author": "ada", "id": 8}, key=7)
    assert caught.value.errors == [{"path": "id", "message": "the key of a row never changes; allowed: 7"}]


def test_only_an_insert_may_leave_a_generated_key_out():
    with pytest.raises(InvalidRow) as caught:
        row_of_python(POSTS, {"author": "ada"}, generate=False)
    assert paths(caught) == ["id"]
    with pytest.raises(InvalidRow) as caught:
        row_of_python(SHORT, {"n": 1})
    assert paths(caught) == ["id"]


def test_python_rows_have_python_values():
    given_row = {"author": "ada", "created": NOW, "score": 1}
    assert row_of_python(POSTS, given_row)["score"] == 1.0
    with pytest.raises(InvalidRow) as caught:
        row_of_python(POSTS, {**given_row, "created": "2026-01-31T12:00:00Z", "author": b"ada"})
    assert paths(caught) == ["author", "created"]


@settings(max_examples=40)
@given(row=rows(BY_STRING))
def test_a_row_is_the_same_through_json_and_through_python(row):
    kept = row_of_python(BY_STRING, row)
    assert same(row_of_json(BY_STRING, json_row(BY_STRING, kept)), kept)


@pytest.mark.parametrize("read", [changes_of_json, changes_of_python])
def test_changes_set_or_add(read):
    assert read(POSTS, {"author": "bob", "likes": {"$add": -2}, "score": {"$add": 1}}) == Changes(
        {"author": "bob"}, {"likes": -2, "score": 1.0})
    assert read(POSTS, {}) == Changes({}, {})
    assert read(POSTS, {"body": None}) == Changes({"body": None}, {})
    # A document is only a document, whatever is in it.
    assert read(POSTS, {"meta": {"$add": 1}}) == Changes({"meta": {"$add": 1}}, {})


@pytest.mark.parametrize(("body", "path"), [
    ({"likes": {"$add": 1.0}}, "likes"), ({"likes": {"$add": "1"}}, "likes"), ({"likes": {"$add": True}}, "likes"),
    ({"likes": {"$add": 2**32}}, "likes"), ({"likes": {"$add": 1, "x": 2}}, "likes"), ({"likes": {}}, "likes"),
    ({"likes": {"$sub": 1}}, "likes"), ({"score": {"$add": float("inf")}}, "score"),
    ({"author": {"$add": 1}}, "author"), ({"created": {"$add": 1}}, "created"), ({"likes": None}, "likes"),
    ({"colour": 1}, "colour"), ({"id": 6}, "id"), ({"id": {"$add": 1}}, "id"), ({"id": "5"}, "id"),
    ({"author": "x" * 65}, "author"),
])
@pytest.mark.parametrize("read", [changes_of_json, changes_of_python])
def test_changes_that_a_column_does_not_take_are_refused(read, body, path):
    with pytest.raises(InvalidRow) as caught:
        read(POSTS, body, key=5)
    assert paths(caught) == [path]


def test_changes_may_repeat_the_key():
    assert changes_of_json(POSTS, {"id": 5, "likes": 1}, key=5) == Changes({"likes": 1}, {})
    with pytest.raises(InvalidRow):
        changes_of_json(POSTS, {"id": 5})


@pytest.mark.parametrize("read", [row_of_json, changes_of_json])
def test_a_row_has_no_more_bytes_than_allowed(read):
    assert read(POSTS, {"author": "ada", "body": "x" * 800}, limit=1024)
    for body in ({"body": "x" * 1025}, {"body": "é" * 520}, {"meta": ["x" * 1024]}):
        with pytest.raises(InvalidRow, match="allowed: up to 1024 in a row"):
            read(POSTS, {"author": "ada", **body}, limit=1024)


def test_the_size_of_rows_that_cannot_be_long_is_not_counted():
    assert largest_row(SHORT) == 64
    assert largest_row(POSTS) == float("inf")
    assert row_of_json(SHORT, {"id": "x", "n": 1}, limit=64)


@given(key=st.binary(max_size=255))
def test_a_key_is_checked_as_its_column_is(key):
    assert key_of_python(BY_BYTES, key) == key
    for table, wrong in ((BY_NUMBER, key), (BY_BYTES, None), (BY_STRING, "x" * 256), (BY_NUMBER, Decimal(1))):
        with pytest.raises(InvalidRow) as caught:
            key_of_python(table, wrong)
        assert paths(caught) == ["id"]

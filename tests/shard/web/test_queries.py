"""Queries read strictly: each parameter is known, once, and UTF-8; a value keeps its percents where a path would."""
from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.serve import RequestError
from hotpath.shard.web.queries import MAX_PARAMETERS, nothing_asked, only, pairs_of, raw_pairs_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


class Asked:
    """A request with this query."""

    def __init__(self, query: str) -> None:
        self.query_string = query


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_what_is_encoded_is_read_back_in_order(pairs):
    assert pairs_of(Asked(urlencode(pairs))) == pairs
    quoted = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    assert pairs_of(Asked(quoted)) == pairs


def test_a_raw_value_is_what_a_path_would_have():
    assert raw_pairs_of(Asked("key=a+b&key=a%2Bb&k%65y=%2f&x&&y=1=2")) == [
        ("key", "a%20b"), ("key", "a%2Bb"), ("key", "%2f"), ("x", ""), ("y", "1=2")]


@pytest.mark.parametrize("query", ["a=%FF", "%FF=a", "a=%C3", "&".join(["a=1"] * (MAX_PARAMETERS + 1))])
def test_what_cannot_be_read_is_400(query):
    with pytest.raises(RequestError) as refused:
        pairs_of(Asked(query))
    assert refused.value.error_status_hint == 400


def test_only_what_is_allowed_and_once():
    assert only([("a", "1"), ("b", "")], ("a", "b", "c")) == {"a": "1", "b": ""}
    with pytest.raises(RequestError, match="unknown query parameter 'x'; allowed: a, b"):
        only([("x", "1")], ("a", "b"))
    with pytest.raises(RequestError, match="'a' is there twice"):
        only([("a", "1"), ("a", "1")], ("a",))
    nothing_asked(Asked(""))
    nothing_asked(Asked("&"))
    with pytest.raises(RequestError, match="allowed: none here"):
        nothing_asked(Asked("a"))

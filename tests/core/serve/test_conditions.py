"""If-Match and If-None-Match, as RFC 9110 section 13.1 has them."""
from __future__ import annotations

import pytest

from hotpath.core.serve import RequestError
from hotpath.core.serve.conditions import is_current, is_known, tags_of


@pytest.mark.parametrize(("condition", "tags"), [
    ("*", None), (" * ", None), ('"a"', [(False, "a")]), ('W/"a"', [(True, "a")]), ('""', [(False, "")]), ("", []),
    ('"a", W/"b" ,"c"', [(False, "a"), (True, "b"), (False, "c")]), (',, "a",', [(False, "a")]),
    ('"a,b", "*"', [(False, "a,b"), (False, "*")]), ('"\xe9\\"', [(False, "\xe9\\")])])
def test_a_condition_names_tags(condition, tags):
    assert tags_of(condition) == tags


@pytest.mark.parametrize("condition", [
    "a", '"a', 'a"', '"a" "b"', '*, "a"', '"a", *', 'w/"a"', 'W/ "a"', '"a b"', '"a"b'])
def test_anything_else_is_none(condition):
    with pytest.raises(RequestError) as caught:
        tags_of(condition)
    assert caught.value.error_status_hint == 400


@pytest.mark.parametrize(("condition", "current", "known"), [
    ('"a"', True, True), ('W/"a"', False, True), ('"b", "a"', True, True), ('"b", W/"a"', False, True),
    ("*", True, True), ('"b"', False, False), ('"A"', False, False), ("", False, False)])
def test_a_weak_tag_is_known_but_never_current(condition, current, known):
    assert (is_current(condition, "a"), is_known(condition, "a")) == (current, known)

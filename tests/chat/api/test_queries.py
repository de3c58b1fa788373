"""What may stand in a URL."""
from contextlib import suppress

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from hotpath.chat.api.problems import Refusal
from hotpath.chat.api.queries import BEHIND_ALL, IdConverter, Query, emoji

app = Flask(__name__)


def query(text, *names):
    with app.test_request_context():
        from flask import request
        request.environ["QUERY_STRING"] = text
        return Query(*names)


def blamed(made):
    with pytest.raises(Refusal) as caught:
        made.check()
    return [error["field"] for error in caught.value.errors]


def test_each_value_is_read_as_what_it_should_be():
    made = query("a=3&b=x%20y&c=9223372036854775807", "a", "b", "c", "d")
    assert (made.integer("a"), made.text("b", longest=3), made.seq("c"), made.seq("d")) == (3, "x y", BEHIND_ALL, None)
    assert "a" in made
    assert "d" not in made
    made.check()


@given(st.text(alphabet="ab=&%0123456789+;\xff\0x", max_size=40))
def test_no_query_breaks_it(text):
    with suppress(Refusal):
        made = query(text, "a", "b")
        made.integer("a")
        made.text("b", longest=9)
        made.check()


def test_a_limit_has_a_default_and_bounds():
    assert query("", "limit").limit(50, 200) == 50
    assert query("limit=200", "limit").limit(50, 200) == 200
    made = query("limit=201", "limit")
    made.limit(50, 200)
    assert blamed(made) == ["limit"]


def test_what_must_be_there_is_missed():
    made = query("", "q")
    made.require("q")
    assert blamed(made) == ["q"]


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("9223372036854775807", 2**63 - 1)])
def test_an_id_in_a_path(text, number):
    assert IdConverter(app.url_map).to_python(text) == number


@given(st.text(max_size=20))
def test_any_text_is_an_emoji_or_is_refused(text):
    with suppress(Refusal):
        assert emoji(text) == text

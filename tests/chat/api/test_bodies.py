"""From bytes to typed values, or to every field that is wrong."""
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.chat.api import bodies
from hotpath.chat.api.bodies import Body, Connect, NewChannel, NewDm, NewMessage, NewUser, UserChange, decode
from hotpath.chat.api.problems import Refusal

KINDS = [one for one in vars(bodies).values() if isinstance(one, type) and issubclass(one, Body) and one is not Body]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "\0", "dm", "g1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8)
names = st.sampled_from(sorted({field.encode_name for kind in KINDS for field in msgspec.structs.fields(kind)}))


def refused(kind, raw):
    """The Refusal; None: it was read."""
    try:
        assert isinstance(decode(kind, raw), kind)
    except Refusal as refusal:
        return refusal
    return None


@pytest.mark.parametrize("kind", KINDS)
@given(found=st.dictionaries(names | st.text(max_size=8), values, max_size=6))
def test_whatever_an_object_holds_it_is_read_or_its_fields_are_blamed(kind, found):
    raw = json.dumps(found).encode()
    refusal = refused(kind, raw)
    if refusal is None:
        return
    assert refusal.status in (400, 422)
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    for error in refusal.errors:
        assert error["what"]
        assert error["field"] in known or error["what"] == "unknown"
    msgspec.json.encode(refusal.errors)     # what nobody could send would not leave


@pytest.mark.parametrize("kind", KINDS)
@given(raw=st.binary(max_size=60))
def test_whatever_the_bytes_it_is_a_refusal(kind, raw):
    refusal = refused(kind, raw)
    assert refusal is None or refusal.status in (400, 422)


def test_a_good_body_is_what_it_says():
    said = decode(NewMessage, b'{"client_msg_id": "a", "text": "\\ud83d\\ude00"}')
    assert said == NewMessage("a", "\U0001f600", None)
    assert decode(Connect, b"{}") == Connect(())
    assert decode(NewDm, b'{"kind": "dm", "members": [2, 3]}') == NewDm("dm", (2, 3))
    assert decode(UserChange, b"{}").display is msgspec.UNSET


def test_all_that_is_wrong_is_told_at_once_with_what_is_allowed():
    with pytest.raises(Refusal) as caught:
        decode(NewUser, b'{"name": "X", "password": 3, "display": "\\n", "more": 1}')
    assert [(error["field"], error["what"]) for error in caught.value.errors] == [
        ("name", "2 to 32 of a-z, 0-9, '.', '_', '-' are allowed, a letter or digit first"),
        ("password", "8 to 256 characters are allowed, no NUL"),
        ("display", "1 to 80 characters are allowed, not all white space, no line end, no control character"),
        ("more", "unknown"),
    ]
    assert "name: 2 to 32" in caught.value.detail


def test_in_a_list_the_place_is_told():
    with pytest.raises(Refusal) as caught:
        decode(NewChannel, b'{"name": "x", "kind": "public", "members": [1, 2, "3"]}')
    assert caught.value.errors == [
        {"field": "members", "what": "up to 1000 ids are allowed (at [2])"}]


def test_every_text_says_in_words_what_is_allowed():
    for kind in KINDS:
        for name, field in ((field.encode_name, field) for field in msgspec.structs.fields(kind)):
            if name in ("kind", "role", "archived", "back"):
                continue        # msgspec says it well
            assert name in bodies._allowed(kind), (kind, field)

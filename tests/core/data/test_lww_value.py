"""Values: what goes in comes out, equal values are equal bytes, and hostile payloads are refused."""
import collections
import enum
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data.lww import Damaged, LWWTable, Stamp, bundle, encode, pack, unpack

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20)


@given(JSON)
def test_json_comes_back_and_any_decoder_agrees(value):
    payload = pack(value)
    assert payload[0] == 1
    assert unpack(payload) == value == json.loads(payload[1:])
    assert pack(unpack(payload)) == payload


@given(st.binary())
def test_bytes_come_back(value):
    assert pack(value) == b"\0" + value
    assert unpack(pack(value)) == value


@given(st.dictionaries(st.text("ab\"\\é", max_size=3), st.integers(), max_size=6))
def test_the_order_of_members_does_not_matter(value):
    assert pack(dict(reversed(value.items()))) == pack(value)
    assert pack(collections.OrderedDict(value)) == pack(collections.defaultdict(int, value)) == pack(value)


def test_kinds_of_str_and_int_are_what_they_are_kinds_of():
    number = enum.IntEnum("number", {"three": 3})
    text = enum.Enum("text", {"t": "t"}, type=str)
    assert pack([number.three, text.t, True]) == b'\1[3,"t",true]'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [float("nan")], "\ud800", {"\udfff": 1}])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(ValueError):     # noqa: PT011  each says something else
        pack(value)


@pytest.mark.parametrize("value", [
    {1}, (1, 2), [(1,)], bytearray(b"x"), memoryview(b"x"), object(), {1: 2}, {None: 1}, [b"x"], 1j, {"a": {b"k": 1}},
])
def test_what_is_no_value_is_refused(value):
    with pytest.raises(TypeError):
        pack(value)


def test_depth_has_an_end():
    inner = []
    for _ in range(199):
        inner = [inner]
    assert unpack(pack(inner)) == inner
    around = {}
    around["around"] = around
    for value in ([inner], around):
        with pytest.raises(ValueError, match="within each other"):
            pack(value)


HOSTILE = [
    b"\1", b'\1"', b"\1[", b"\1{}x", b'\1"\xff"', b'\1"\\u00', b'\1"\xed\xa0\x80"', b"\1nul", b"\1NaN",
    b"\1" + b"[" * 100_000, b"\1" + b'{"a":' * 50_000, b'\1"a"b"', b"\1 ", b"\1'x'"]


@pytest.mark.parametrize("payload", HOSTILE)
def test_a_payload_that_is_no_json_is_damaged_wherever_it_is_read(payload):
    table = LWWTable()
    table.merge(bundle([encode(b"k", Stamp(1, "b"), True, payload)], "add"))
    for use in (lambda: unpack(payload), lambda: table["k"], lambda: table.cell("k"), lambda: list(table.cells())):
        with pytest.raises(Damaged):
            use()
    assert table.read(b"k") == (Stamp(1, "b"), 1, payload[1:])
    table.put("k", 1)
    assert table["k"] == 1


@pytest.mark.parametrize("payload", [b"", b"\2", b"\xff123"])
def test_what_begins_with_no_tag_is_no_payload(payload):
    with pytest.raises(ValueError, match="begins with"):
        unpack(payload)


@given(st.binary())
def test_any_payload_is_a_value_that_can_be_packed_or_a_value_error(payload):
    try:
        value = unpack(payload)
    except ValueError:
        return
    assert unpack(pack(value)) == value

"""Values come back with their type, stamps with their text, and what is neither bytes nor JSON is refused."""
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data import lww
from hotpath.core.data.lww import LWWTable, Stamp
from tests.crdt import twinbytes

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(LEAVES, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXT, inside, max_size=4),
                    max_leaves=12)
VALUES = JSON | st.binary(max_size=40)
NAMES = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
STAMPS = st.builds(Stamp, st.integers(0, 2**64 - 1), NAMES)
SMALL = st.builds(Stamp, st.integers(0, 2), st.sampled_from(["a", "b", "ab"]))


def exact(value):
    """Equal only where the types are too: 1, 1.0 and True differ, 0.0 and -0.0 too."""
    if isinstance(value, list):
        return [exact(inside) for inside in value]
    if isinstance(value, dict):
        return {key: exact(inside) for key, inside in value.items()}
    return type(value), repr(value)


@given(value=VALUES)
def test_a_value_comes_back_with_its_type(value):
    table = LWWTable()
    table.put("k", value)
    for got in (table.lookup("k"), table["k"], table.cell("k").value, lww.unpack(lww.pack(value))):
        assert exact(got) == exact(value)


@given(value=VALUES)
def test_a_payload_is_the_fixed_one(value):
    assert lww.pack(value) == twinbytes.pack(value)


@given(value=st.dictionaries(TEXT, LEAVES, max_size=6), data=st.data())
def test_equal_objects_have_equal_payloads(value, data):
    shuffled = dict(data.draw(st.permutations(list(value.items()))))
    assert lww.pack(shuffled) == lww.pack(value)


@given(value=JSON)
def test_json_is_stored_without_blanks(value):
    payload = lww.pack(value)
    assert payload[:1] == b"\1"
    assert json.loads(payload[1:]) == value
    assert payload[1:].decode() == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan], {"k": [math.inf]}, "\ud800", ["\udfff"]])
def test_what_json_cannot_say_is_a_value_error(value):
    table = LWWTable()
    for refused in (lambda: lww.pack(value), lambda: table.put("k", value), lambda: table.add("k", value)):
        with pytest.raises(ValueError, match=r"."):
            refused()
    assert "k" not in table


@pytest.mark.parametrize("value", [object(), {1: 2}, {"k": {None: 1}}, {1, 2}, 1j, b"x".decode, [b"x"],
                                   {"k": b"x"}, range(3)])
def test_other_types_are_a_type_error(value):
    table = LWWTable()
    for refused in (lambda: lww.pack(value), lambda: table.put("k", value), lambda: table.add("k", value)):
        with pytest.raises(TypeError):
            refused()
    assert "k" not in table


@pytest.mark.parametrize("key", [1, None, 1.5, ("a",), object()])
def test_a_key_that_is_neither_text_nor_bytes_is_a_type_error(key):
    table = LWWTable()
    for refused in (lambda: table.put(key, 1), lambda: table.lookup(key), lambda: table.remove(key),
                    lambda: table[key], lambda: table.stamp(key)):
        with pytest.raises(TypeError):
            refused()


@given(key=st.binary(max_size=8))
def test_text_and_bytes_are_one_key_space(key):
    table, text = LWWTable(), key.decode("utf-8", "surrogateescape")
    table.put(key, 1)
    assert table[text] == table[key] == 1
    assert list(table) == [text]
    table.remove(text)
    assert key not in table


def test_a_key_of_another_surrogate_is_a_value_error():
    with pytest.raises(ValueError, match=r"."):
        LWWTable().put("\ud800", 1)


@given(size=st.sampled_from([0xFFFF, 0x10000]))
def test_a_key_has_at_most_65535_bytes(size):
    table = LWWTable()
    if size <= 0xFFFF:
        table.put(b"k" * size, 1)
        assert b"k" * size in table
    else:
        with pytest.raises(ValueError, match=r"."):
            table.put(b"k" * size, 1)


@given(stamp=STAMPS)
def test_a_stamp_comes_back_out_of_its_text(stamp):
    assert Stamp.parse(str(stamp)) == stamp
    assert str(stamp) == f"{stamp.hlc:016x}-{stamp.replica}"


@given(one=SMALL, other=SMALL)
def test_stamps_are_ordered_by_clock_then_name(one, other):
    def both(stamp):
        return stamp.hlc, stamp.replica

    assert (one < other) is (both(one) < both(other))
    assert (one >= other) is (both(one) >= both(other))
    assert (one == other) is (both(one) == both(other))
    assert one != other or hash(one) == hash(other)
    assert max(one, other) >= min(one, other)


ZEROS = "0" * 16


@pytest.mark.parametrize("text", ["", "0-a", ZEROS, f"{ZEROS}-", f"{ZEROS}-A", f"{ZEROS}-ninechars", f"{ZEROS[1:]}g-a",
                                  f"0{ZEROS}-a", f" {ZEROS}-a", f"{ZEROS}-a\n", f"{ZEROS[1:]}A-a", f"{ZEROS}_a",
                                  f"+{ZEROS[1:]}-a", f"{ZEROS}-é"])
def test_text_that_is_no_stamp_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        Stamp.parse(text)


@pytest.mark.parametrize(("hlc", "replica"), [(-1, "a"), (2**64, "a"), (0, ""), (0, "A"), (0, "a b"), (0, "ninechars"),
                                              (0, "a\0"), (0, "é")])
def test_a_stamp_has_64_bits_and_a_short_plain_name(hlc, replica):
    with pytest.raises((ValueError, OverflowError)):
        Stamp(hlc, replica)


@pytest.mark.parametrize("name", ["", "A", "a-b", "ninechars", "é", "a\0"])
def test_a_table_has_a_short_plain_name(name):
    with pytest.raises(ValueError, match=r"."):
        LWWTable(name)


def test_a_table_knows_two_biases():
    assert [LWWTable("a", bias=bias).bias for bias in ("add", "remove")] == ["add", "remove"]
    with pytest.raises(ValueError, match=r"."):
        LWWTable("a", bias="both")


def test_a_stamp_cannot_be_changed():
    stamp = Stamp(1, "a")
    with pytest.raises((AttributeError, TypeError)):
        stamp.hlc = 2

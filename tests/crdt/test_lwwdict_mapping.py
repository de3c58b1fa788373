"""An LWWDict used as a dict is a dict."""
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotpath.crdt.lwwdict import LWWDict

KEYS = st.sampled_from(["", "a", "b", "key", "é", "\udcff", b"a", b"\xff", "é".encode()])
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8"), max_size=3)
VALUES = st.recursive(LEAVES,
                      lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inside),
                      max_leaves=5) | st.binary(max_size=5)


def text(key):
    return key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key


class AsADict(RuleBasedStateMachine):
    """Each rule is done to an LWWDict and to a dict with text keys."""

    def __init__(self):
        super().__init__()
        self.ours = LWWDict("a")
        self.dict = {}

    @rule(key=KEYS, value=VALUES)
    def set(self, key, value):
        self.ours[key] = value
        self.dict[text(key)] = value

    @rule(key=KEYS)
    def delete(self, key):
        if text(key) in self.dict:
            del self.ours[key]
            del self.dict[text(key)]
        else:
            with pytest.raises(KeyError):
                del self.ours[key]

    @rule(key=KEYS, default=VALUES)
    def pop(self, key, default):
        assert self.ours.pop(key, default) == self.dict.pop(text(key), default)
        with pytest.raises(KeyError):
            self.ours.pop(key)

    @rule()
    def pop_any(self):
        if self.dict:
            key, value = self.ours.popitem()
            assert self.dict.pop(key) == value
        else:
            with pytest.raises(KeyError):
                self.ours.popitem()

    @rule(key=KEYS, value=VALUES)
    def set_default(self, key, value):
        assert self.ours.setdefault(key, value) == self.dict.setdefault(text(key), value)

    @rule(items=st.dictionaries(KEYS, VALUES, max_size=3))
    def update(self, items):
        self.ours.update(items)
        self.dict.update({text(key): value for key, value in items.items()})

    @rule()
    def clear(self):
        self.ours.clear()
        self.dict.clear()

    @rule(key=KEYS, default=VALUES)
    def get(self, key, default):
        expected = self.dict.get(text(key), default)
        assert self.ours.get(key, default) == self.ours.lookup(key, default) == expected
        assert (key in self.ours) is (text(key) in self.dict)

    @rule(key=KEYS)
    def get_or_raise(self, key):
        if text(key) in self.dict:
            assert self.ours[key] == self.dict[text(key)]
        else:
            with pytest.raises(KeyError):
                self.ours[key]

    @rule(key=KEYS, value=VALUES)
    def add(self, key, value):
        if text(key) in self.dict:
            stamp = self.ours.stamp(key)
            with pytest.raises(KeyError) as refused:
                self.ours.add(key, value)
            assert refused.value.stamp == stamp
        else:
            self.ours.add(key, value)
            self.dict[text(key)] = value

    @rule(key=KEYS, value=VALUES)
    def replace(self, key, value):
        if text(key) in self.dict:
            self.ours.replace(key, value)
            self.dict[text(key)] = value
        else:
            with pytest.raises(KeyError):
                self.ours.replace(key, value)

    @rule(key=KEYS)
    def remove(self, key):
        stamp = self.ours.remove(key)
        self.dict.pop(text(key), None)
        assert not self.ours.cell(key).live
        assert self.ours.stamp(key) == stamp

    @invariant()
    def both_are_one(self):
        assert len(self.ours) == len(self.dict)
        assert dict(self.ours.items()) == self.dict
        assert sorted(self.ours) == sorted(self.ours.keys()) == sorted(self.dict)
        assert bool(self.ours) is bool(self.dict)
        assert self.ours == self.dict


TestAsADict = AsADict.TestCase
TestAsADict.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_items_are_put_in_at_the_start():
    ours = LWWDict("a", items={"x": 1, "y": b"2"})
    assert dict(ours) == {"x": 1, "y": b"2"}


def test_a_reader_that_iterates_bears_a_writer():
    ours = LWWDict("a", items={str(number): number for number in range(100)})
    for key in ours:
        ours[key + "'"] = 1
        ours.pop(key)
    assert len(ours) == 100

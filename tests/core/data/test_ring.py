"""The ring against ten lines over mmh3, and the two promises of consistent hashing: balance and minimal movement."""
import os
import subprocess
import sys
import threading
from array import array
from bisect import bisect_left
from collections import Counter
from itertools import pairwise

import mmh3
import pytest
import uhashring
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.data import Ring

CIRCLE = 2**64
NAMES = st.lists(st.text(max_size=8).filter(lambda name: name.isprintable()), max_size=6, unique=True)
KEYS = st.text() | st.binary() | st.integers(-2**63, CIRCLE - 1)

# h("node-0") == h("EsvKSx&r?S(?RS-1"), found by running MurmurHash3 backwards.
TWIN = "EsvKSx&r?S(?RS"


def place(key):
    data = key.encode() if isinstance(key, str) else key
    if isinstance(key, int):
        data = (key % CIRCLE).to_bytes(8, "little")
    return mmh3.hash64(data, signed=False)[0]


class SlowRing:
    def __init__(self, counts):
        self.points = sorted((place(f"{name}-{i}"), name) for name, n in counts.items() for i in range(n))

    def at(self, where):
        return self.points[bisect_left(self.points, (where, "")) % len(self.points)][1]


@given(weights=st.dictionaries(st.text(max_size=8), st.integers(1, 40) | st.floats(0.01, 3), min_size=1, max_size=6),
       keys=st.lists(KEYS))
def test_placement_is_the_fixed_one(weights, keys):
    ring = Ring(weights, vnodes=16)
    slow = SlowRing({name: max(1, round(16 * weight)) for name, weight in weights.items()})
    assert ring.get_points() == slow.points
    for key in keys:
        owner = slow.at(place(key))
        assert ring.owner(key) == ring.get_node(key) == ring.get(key)["nodename"] == owner
        assert ring.get_key(key) == place(key)
        assert ring.get_points()[ring.get_node_pos(key)] == ring.get_server(key)
    assert [ring.names[i] for i in ring.owners(keys)] == [slow.at(place(key)) for key in keys]


@given(names=NAMES.filter(bool), keys=st.lists(st.integers(-2**63, 2**63 - 1)))
def test_a_batch_of_integers_is_owned_as_each_alone(names, keys):
    ring = Ring(names, vnodes=8)
    expected = [ring.owner(key) for key in keys]
    for buffer in (array("q", keys), memoryview(array("q", keys)), array("Q", [key % CIRCLE for key in keys])):
        owners = ring.owners(buffer)
        assert owners.typecode == "H"
        assert [ring.names[i] for i in owners] == expected


def test_the_owner_is_the_first_point_at_or_after_the_key_and_wraps():
    ring = Ring(["a", "b"], vnodes=4)
    keys = {f"{name}-{i}": name for name in "ab" for i in range(4)}
    assert {key: ring.owner(key) for key in keys} == keys          # a node's own points are at, not after
    last = ring.get_points()[-1][0]
    beyond = next(key for key in range(100000) if place(key) > last)
    assert ring.get_node_pos(beyond) == 0


@pytest.mark.parametrize("names", [["node", TWIN], [TWIN, "node"]])
def test_on_equal_points_the_smaller_name_wins(names):
    ring = Ring(names, vnodes=2)
    assert place("node-0") == place(f"{TWIN}-1")
    assert ring.owner("node-0") == TWIN
    ring.remove_node(TWIN)
    assert ring.owner("node-0") == "node"


@settings(max_examples=30)
@given(names=st.lists(st.text(max_size=6), min_size=2, max_size=8, unique=True), data=st.data())
def test_only_keys_of_a_node_that_comes_or_goes_move(names, data):
    gone = data.draw(st.sampled_from(names))
    ring = Ring(names, vnodes=32)
    before = [ring.owner(key) for key in range(2000)]
    ring.remove_node(gone)
    after = [ring.owner(key) for key in range(2000)]
    assert gone not in after
    assert all(old in (new, gone) for old, new in zip(before, after, strict=True))
    ring.add_node(gone)
    assert [ring.owner(key) for key in range(2000)] == before


@settings(max_examples=20)
@given(prefix=st.text(max_size=10), n=st.integers(4, 16))
def test_nodes_own_about_equal_shares(prefix, n):
    shares = dict.fromkeys(range(n), 0)
    points = Ring([f"{prefix}{i}" for i in range(n)]).get_points()
    for (start, _), (stop, name) in zip([(points[-1][0] - CIRCLE, ""), *points], points, strict=False):
        shares[int(name.removeprefix(prefix))] += stop - start
    assert sum(shares.values()) == CIRCLE
    # 256 points each: the share's relative deviation is 1/16, so five of them are out of reach of a dozen nodes.
    assert max(shares.values()) < CIRCLE / n * (1 + 5 / 16)
    assert min(shares.values()) > CIRCLE / n * (1 - 5 / 16)


def test_a_weight_is_a_share():
    ring = Ring({"small": 1, "large": 3}, vnodes=256)
    assert ring.distribution == Counter({"small": 256, "large": 768})
    owned = Counter(ring.owner(key) for key in range(20000))
    assert 2.5 < owned["large"] / owned["small"] < 3.6


def test_the_owner_is_the_same_in_every_process():
    code = ("from hotpath.core.data import Ring; ring = Ring({'a': 1, 'b': 2, 'é': 1.5});"
            "print([ring.owner(key) for i in range(200) for key in (i, str(i), bytes([i]))])")
    answers = {subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True,
                              env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("0", "1", "271828")}
    assert len(answers) == 1


def test_the_order_of_the_nodes_does_not_matter():
    ring, turned = Ring(["a", "b", "c"]), Ring(["c", "a", "b"])
    assert ring.names == turned.names == ("a", "b", "c")
    assert ring.table(8) == turned.table(8)
    assert turned.get_nodes() == ["c", "a", "b"]


@given(names=NAMES.filter(bool), bits=st.integers(1, 12))
def test_a_slot_belongs_to_the_owner_of_its_first_place(names, bits):
    ring = Ring(names, vnodes=8)
    slow = SlowRing(dict.fromkeys(names, 8))
    table = ring.table(bits)
    assert table.typecode == "H"
    assert [ring.names[i] for i in table] == [slow.at(slot << (64 - bits)) for slot in range(2**bits)]


@settings(max_examples=50)
@given(before=NAMES, after=NAMES)
def test_diff_is_every_place_whose_owner_differs(before, after):
    old, new = Ring(before, vnodes=4), Ring(after, vnodes=4)
    ranges = old.diff(new)
    assert all(start < stop and a != b for start, stop, a, b in ranges)
    assert all(x[1] < y[0] or (x[1] == y[0] and x[2:] != y[2:]) for x, y in pairwise(ranges))
    assert new.diff(old) == [(start, stop, b, a) for start, stop, a, b in ranges]

    # Owners change at points only, so the places around each point tell everything.
    edges = {0, CIRCLE - 1}
    for where, _ in old.get_points() + new.get_points():
        edges |= {where, (where + 1) % CIRCLE}
    for where in edges:
        owners = [SlowRing(dict.fromkeys(names, 4)).at(where) if names else None for names in (before, after)]
        found = [(a, b) for start, stop, a, b in ranges if start <= where < stop]
        assert found == ([] if owners[0] == owners[1] else [tuple(owners)])


def test_diff_with_an_empty_ring_is_everything():
    assert Ring().diff(Ring(["a"])) == [(0, CIRCLE, None, "a")]
    assert Ring(["a"]).diff(Ring()) == [(0, CIRCLE, "a", None)]
    assert Ring().diff(Ring()) == []


@pytest.mark.parametrize("nodes", [
    ["a", "b"], {"a": 1, "b": 3}, "one",
    {"a": {"weight": 2, "vnodes": 8, "hostname": "h", "port": 80, "instance": "I"}, "b": {}},
])
def test_methods_mean_what_they_mean_in_uhashring(nodes, capsys):
    ring = Ring(nodes, vnodes=16)
    theirs = uhashring.HashRing(nodes, vnodes=16, hash_fn=place)
    assert ring.nodes == ring.conf == theirs.nodes
    assert ring.get_nodes() == list(theirs.get_nodes())
    assert ring.size == theirs.size
    assert ring.distribution == theirs.distribution
    assert ring.get_points() == theirs.get_points()
    assert ring.get_instances() == theirs.get_instances()
    for key in map(str, range(100)):
        assert ring[key] == theirs[key] == ring.get_node_instance(key)
        assert list(ring.range(key)) == list(theirs.range(key))
        assert list(ring.range(key, size=1)) == list(theirs.range(key, size=1))
        assert list(ring.range(key, size=5, unique=False)) == list(theirs.range(key, size=5, unique=False))
        assert list(ring.range(key, unique=False)) == list(theirs.range(key, unique=False))
        assert list(ring.iterate_nodes(key)) == list(theirs.iterate_nodes(key))
        assert list(ring.iterate_nodes(key, distinct=False)) == list(theirs.iterate_nodes(key, distinct=False))
        for name in ("get", "get_key", "get_node", "get_node_hostname", "get_node_port", "get_node_pos",
                     "get_node_weight", "get_server"):
            assert getattr(ring, name)(key) == getattr(theirs, name)(key)
    ring.print_continuum()
    printed = capsys.readouterr().out
    theirs.print_continuum()
    assert printed == capsys.readouterr().out


def test_an_empty_ring_owns_nothing(capsys):
    ring = Ring()
    theirs = uhashring.HashRing()
    for name in ("get", "get_node", "get_node_hostname", "get_node_instance", "get_node_port", "get_node_pos",
                 "get_node_weight", "get_server", "__getitem__"):
        assert getattr(ring, name)("key") is None
    assert list(ring.range("key")) == list(theirs.range("key")) == []
    assert list(ring.iterate_nodes("key")) == list(theirs.iterate_nodes("key")) == [None]
    assert (ring.size, ring.names, ring.nodes, ring.get_points()) == (0, (), {}, [])
    ring.print_continuum()
    assert capsys.readouterr().out == "Continuum empty\n"
    for ask in (lambda: ring.owner("key"), lambda: ring.owners(["key"]), lambda: ring.owners([]), ring.table):
        with pytest.raises(LookupError, match="the ring is empty"):
            ask()


def test_adding_again_is_a_new_weight():
    ring = Ring(["a", "b"], vnodes=8)
    ring.add_node("a", 2)
    ring["b"] = {"weight": 3, "port": 1}
    assert ring.distribution == Counter(a=16, b=24)
    assert ring.nodes["b"]["port"] == 1
    ring.add_node("b")
    assert ring.distribution == Counter(a=16, b=8)
    assert ring.nodes["b"]["port"] is None
    del ring["a"]
    assert ring.get_nodes() == ["b"]


def test_version_counts_the_changes():
    ring = Ring(["a"])
    assert ring.version == 0
    ring.add_node("b")
    ring.remove_node("a")
    ring.regenerate()
    assert ring.version == 3


def test_weight_fn_is_asked_when_a_node_comes_and_on_regenerate():
    factor = 1

    def weight(*, hostname, weight, **_settings):
        return len(hostname) * factor

    ring = Ring({"a": {"instance": "A"}, "bb": 1}, vnodes=10, weight_fn=weight)
    assert ring.distribution == Counter(a=10, bb=20)
    factor = 2
    assert ring.distribution == Counter(a=10, bb=20)
    ring.regenerate()
    assert ring.distribution == Counter(a=20, bb=40)
    assert ring.get_instances() == ["A"]


def test_what_it_answers_is_a_copy():
    ring = Ring({"a": {"port": 1}})
    ring.get("key")["port"] = 2
    ring.nodes["a"]["port"] = 2
    next(ring.range("key"))["port"] = 2
    assert ring.get_node_port("key") == 1


@pytest.mark.parametrize(("make", "error", "words"), [
    (lambda: Ring({"a": 0}), ValueError, "node 'a': weight 0, should be above 0"),
    (lambda: Ring({"a": -1.5}), ValueError, "above 0"),
    (lambda: Ring({"a": float("nan")}), ValueError, "above 0"),
    (lambda: Ring({"a": float("inf")}), ValueError, "above 0"),
    (lambda: Ring({"a": "2"}), TypeError, "a weight is a number, not str"),
    (lambda: Ring({"a": {"wieght": 2}}), ValueError, "unknown 'wieght'; allowed are hostname"),
    (lambda: Ring({"a": {"nodename": "b"}}), ValueError, "should be the same"),
    (lambda: Ring({"a": {"vnodes": 0}}), ValueError, "vnodes 0"),
    (lambda: Ring({"a": 1e9}), ValueError, "at most"),
    (lambda: Ring({"a": 1e308}), ValueError, "inf points, at most"),
    (lambda: Ring({"a": 50000, "b": 50000}), ValueError, "at most"),
    (lambda: Ring([1]), TypeError, "a node's name is a str, not int"),
    (lambda: Ring(1), TypeError, "iterable"),
    (lambda: Ring(["\ud800"]), UnicodeEncodeError, "surrogates"),
    (lambda: Ring(vnodes=0), ValueError, "vnodes 0"),
    (lambda: Ring(vnodes=1.5), TypeError, "vnodes is an int"),
    (lambda: Ring(weight_fn=1), TypeError, "callable"),
    (lambda: Ring(map(str, range(65537)), vnodes=1), ValueError, "at most 65536"),
])
def test_a_ring_refuses_what_makes_no_sense(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_change_that_fails_changes_nothing():
    ring = Ring(["a"])
    with pytest.raises(KeyError, match="no node 'b'; there are a"):
        ring.remove_node("b")
    with pytest.raises(ValueError, match="above 0"):
        ring.add_node("b", 0)
    assert (ring.names, ring.version) == (("a",), 0)


@pytest.mark.parametrize(("key", "error"), [
    (1.5, TypeError), (None, TypeError), (bytearray(b"a"), TypeError),
    (2**64, OverflowError), (-2**63 - 1, OverflowError), ("\ud800", UnicodeEncodeError),
])
def test_a_key_is_str_or_bytes_or_a_64_bit_int(key, error):
    ring = Ring(["a"])
    for ask in (ring.owner, ring.get_node, ring.get_key, lambda key: ring.owners([key])):
        with pytest.raises(error):
            ask(key)


@pytest.mark.parametrize("keys", ["ab", b"ab", 1, array("i", [1]), array("d", [1.0]), memoryview(bytes(8)).cast("B"),
                                  memoryview(bytes(32)).cast("B").cast("q", (2, 2))])
def test_a_batch_is_a_sequence_or_64_bit_integers(keys):
    with pytest.raises(TypeError):
        Ring(["a"]).owners(keys)


def test_a_batch_with_gaps_is_refused():
    with pytest.raises(BufferError):
        Ring(["a"]).owners(memoryview(array("q", [1, 2, 3, 4]))[::2])


@pytest.mark.parametrize("bits", [0, -1, 25, 64])
def test_a_table_has_a_bounded_size(bits):
    with pytest.raises(ValueError, match=f"bits {bits}: allowed are 1 to 24"):
        Ring(["a"]).table(bits)


def test_a_range_goes_on_over_the_ring_it_began_on():
    ring = Ring(["a", "b", "c"])
    found = ring.iterate_nodes("key")
    first = next(found)
    for name in "abc":
        ring.remove_node(name)
    assert sorted([first, *found]) == ["a", "b", "c"]


def test_a_batch_without_the_gil_outlives_the_snapshot_it_reads():
    ring = Ring(["a", "b"])
    keys = array("q", range(200_000))
    expected = ring.owners(keys)
    done = threading.Event()
    found = []

    def read():
        found.extend(ring.owners(keys) for _ in range(20))
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    while not done.is_set():
        ring.add_node("b", 1)      # the same placement in new memory
    thread.join()
    assert all(owners == expected for owners in found)
    assert ring.version > 0

"""The checker finds each anomaly, and says nothing of a history that some order explains."""
from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.locking.history.checker import Append, Read, Txn, anomalies, is_serial

KEYS = (1, 2)


def a(key, value):
    return Append(key, value)


def r(key, *values):
    return Read(key, values)


def txn(name, *ops, outcome="ok"):
    return Txn(name, ops, outcome)


# name: (the history, the lists at its end)
HISTORIES = {
    "G0": ([txn("A", a(1, 1), a(2, 2)), txn("B", a(1, 3), a(2, 4))], {1: (1, 3), 2: (4, 2)}),
    "G1a": ([txn("A", a(1, 1), outcome="failed"), txn("B", r(1, 1))], {}),
    "undone in vain": ([txn("A", a(1, 1), outcome="failed")], {1: (1,)}),
    "G1b": ([txn("A", a(1, 1), a(1, 2)), txn("B", r(1, 1))], {1: (1, 2)}),
    "G1c": ([txn("A", a(1, 1), r(2, 2)), txn("B", a(2, 2), r(1, 1))], {1: (1,), 2: (2,)}),
    "G-single": ([txn("A", a(1, 1), a(2, 2)), txn("B", r(1), r(2, 2))], {1: (1,), 2: (2,)}),
    "G2-item": ([txn("A", r(1), r(2), a(1, 1)), txn("B", r(1), r(2), a(2, 2))], {1: (1,), 2: (2,)}),
    "lost append": ([txn("A", r(1), a(1, 1)), txn("B", r(1), a(1, 2))], {1: (2,)}),
    "half a transaction": ([txn("A", a(1, 1), a(2, 2), outcome="unknown")], {1: (1,)}),
    "duplicate": ([txn("A", a(1, 1))], {1: (1, 1)}),
    "garbage": ([txn("A", r(1, 7))], {1: (7,)}),
    "internal": ([txn("A", a(1, 1), r(1))], {1: (1,)}),
    "no order": ([txn("A", a(1, 1)), txn("B", a(1, 2)), txn("C", r(1, 2))], {1: (1, 2)}),
}
GOOD = {
    "nothing": ([], {}),
    "one behind the other": ([txn("A", r(1), a(1, 1)), txn("B", r(1, 1), a(1, 2), r(1, 1, 2))], {1: (1, 2)}),
    "a reader of the past": ([txn("A", a(1, 1), a(2, 2)), txn("B", r(1), r(2))], {1: (1,), 2: (2,)}),
    "a lost commit that stands": ([txn("A", a(1, 1), outcome="unknown"), txn("B", r(1, 1))], {1: (1,)}),
    "a lost commit that does not": ([txn("A", a(1, 1), outcome="unknown")], {}),
    "what was rolled back is not there": ([txn("A", a(1, 1), outcome="failed")], {}),
    "several to one list": ([txn("A", a(1, 1), a(1, 2)), txn("B", a(1, 3), r(1, 1, 2, 3))], {1: (1, 2, 3)}),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_each_anomaly_is_found(name):
    assert name in {found.name for found in anomalies(*HISTORIES[name])}


@pytest.mark.parametrize("name", ["G0", "G1c", "G-single", "G2-item"])
def test_a_circle_has_one_name(name):
    assert {found.name for found in anomalies(*HISTORIES[name])} == {name}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_shows_nothing(name):
    assert anomalies(*GOOD[name]) == []


def test_a_circle_of_three_is_told():
    history = [txn("A", r(1), a(2, 1)), txn("B", r(2), a(3, 2)), txn("C", r(3), a(1, 3))]
    (found, *_) = anomalies(history, {1: (3,), 2: (1,), 3: (2,)})
    assert found.name == "G2-item"
    assert all(name in found.witness for name in "ABC")


programs = st.lists(
    st.lists(st.tuples(st.booleans(), st.sampled_from(KEYS)), min_size=1, max_size=3), min_size=1, max_size=4)


def played(program, order, sees):
    """The history of the program's steps in `order`, each read showing what `sees` decides."""
    lists = dict.fromkeys(KEYS, ())
    taken = [[] for _ in program]
    began = [None for _ in program]
    value = 0
    for i in order:
        if len(taken[i]) == len(program[i]):
            continue
        if began[i] is None:
            began[i] = dict(lists)
        is_read, key = program[i][len(taken[i])]
        if is_read:
            taken[i].append(Read(key, sees(lists, began[i], key, [op for op in taken[i] if op.key == key])))
        else:
            value += 1
            taken[i].append(Append(key, value))
            lists[key] += (value,)
    return [Txn(f"T{i}", tuple(ops)) for i, ops in enumerate(taken)], lists


def as_is(lists, _began, key, _mine):
    return lists[key]


def as_at_first(_lists, began, key, mine):
    return began[key] + tuple(op.value for op in mine if isinstance(op, Append))


@given(programs, st.data(), st.sampled_from([as_is, as_at_first]))
@settings(max_examples=400)
def test_it_finds_something_exactly_if_no_order_explains_the_history(program, data, sees):
    turns = [i for i, ops in enumerate(program) for _ in ops]
    history, final = played(program, data.draw(st.permutations(turns)), sees)
    explained = any(is_serial(order, final) for order in permutations(history))
    assert explained == (anomalies(history, final) == [])


@given(programs, st.data())
@settings(max_examples=200)
def test_a_serial_history_that_is_spoilt_is_found(program, data):
    history, final = played(program, [i for i, ops in enumerate(program) for _ in ops], as_is)
    assert anomalies(history, final) == []
    values = [(key, value) for key, order in final.items() for value in order]
    if values:
        key, value = data.draw(st.sampled_from(values))
        final[key] = tuple(each for each in final[key] if each != value)
        assert "lost append" in {found.name for found in anomalies(history, final)}

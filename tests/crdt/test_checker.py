"""The checker says what trying all orders says."""
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.crdt.checker import (
    Op,
    Violated,
    check_adds,
    check_kept,
    check_linearizable,
    check_rising,
    check_saw,
    check_unique,
)
from tests.crdt.oracle import Oracle
from tests.crdt.twinbytes import Stamp, encode

STAMPS = [(hlc, "a") for hlc in range(1, 5)]


@st.composite
def histories(draw):
    """Writes with stamps of their own, and reads that answer anything."""
    times = draw(st.permutations(range(10)))
    ops = []
    for number, stamp in enumerate(STAMPS[:draw(st.integers(0, 3))]):
        start, end = sorted(times[2 * number:2 * number + 2])
        ops.append(Op("put", b"k", start, end if draw(st.booleans()) else None, stamp))
    for number in range(3, 5):
        start, end = sorted(times[2 * number:2 * number + 2])
        ops.append(Op("read", b"k", start, end, draw(st.none() | st.sampled_from(STAMPS[:3]))))
    return ops


def fits(order):
    """Whether the calls, made one after the other in this order, would have answered this."""
    held = None
    for op in order:
        if op.is_write:
            held = max(held or op.stamp, op.stamp)
        elif op.stamp != held:
            return False
    return all(later.end is None or later.end >= earlier.start
               for place, earlier in enumerate(order) for later in order[place + 1:])


def subsets(history):
    """With and without each write that got no answer."""
    open_writes = [op for op in history if op.end is None]
    for mask in range(2 ** len(open_writes)):
        dropped = {id(op) for bit, op in enumerate(open_writes) if mask >> bit & 1}
        yield [op for op in history if id(op) not in dropped]


@settings(max_examples=400)
@given(history=histories())
def test_a_history_is_linearizable_exactly_where_some_order_explains_it(history):
    explained = any(fits(order) for subset in subsets(history) for order in permutations(subset))
    try:
        check_linearizable(history)
    except Violated:
        assert not explained
    else:
        assert explained


@pytest.mark.parametrize("history", [
    [Op("put", b"k", 0, 1, (1, "a")), Op("read", b"k", 2, 3, None)],
    [Op("read", b"k", 0, 1, (1, "a")), Op("put", b"k", 2, 3, (1, "a"))],
    [Op("read", b"k", 0, 1, (1, "a"))],
    [Op("put", b"k", 0, 9, (1, "a")), Op("read", b"k", 1, 2, (1, "a")), Op("read", b"k", 3, 4, None)],
])
def test_a_history_that_no_cell_could_make_is_found(history):
    with pytest.raises(Violated):
        check_linearizable(history)


def test_a_write_that_saw_a_greater_stamp_is_found():
    check_saw([Op("read", b"k", 0, 1, (5, "b")), Op("put", b"k", 2, 3, (6, "a"))])
    with pytest.raises(Violated):
        check_saw([Op("read", b"k", 0, 1, (5, "b")), Op("put", b"k", 2, 3, (5, "a"))])


def test_a_second_add_that_wins_is_found():
    adds = [Op("add", b"k", 0, 1, (1, "a")), Op("add", b"k", 0, 1, (3, "a"))]
    with pytest.raises(Violated):
        check_adds(adds)
    check_adds([*adds, Op("remove", b"k", 0, 1, (2, "a"))])


def test_a_lost_write_is_found():
    write, greater = (encode(b"k", Stamp(hlc, "a"), True, b"\0") for hlc in (1, 2))
    removal = encode(b"k", Stamp(1, "a"), False, b"")
    state = Oracle()
    check_kept([removal], state, floor=1)
    for lost in (write, removal):
        with pytest.raises(Violated):
            check_kept([lost], state)
    state.record(write)
    check_kept([write], state)
    with pytest.raises(Violated):
        check_kept([greater], state)
    state.record(greater)
    check_kept([write, greater], state)


def test_a_stamp_given_twice_is_found():
    one, other = (encode(key, Stamp(1, "a"), True, b"\0") for key in (b"k", b"l"))
    check_unique([one, one])
    with pytest.raises(Violated):
        check_unique([one, other])
    with pytest.raises(Violated):
        check_rising([one, other])

"""What was promised holds for whatever is under way."""
from __future__ import annotations

import threading

import pytest

from hotpath.core.data.lww import LWWTable, parse
from hotpath.crdt.gossip.promise import Promise
from tests.waiting import wait_for

HLC = 5 << 16


def test_later_merges_are_judged_by_it_and_later_stamps_are_above_it():
    table = LWWTable("a", wall_ms=lambda: 1)
    promise, said = Promise(table), []
    promise.raise_to(HLC, said.append)
    with promise.entering() as bar:
        assert bar == HLC
    assert said == [HLC]
    assert parse(table.write("put", b"k", b"\0"))[1].hlc > HLC


def test_it_never_falls_and_an_old_one_is_not_said():
    promise, said = Promise(LWWTable("a"), HLC), []
    promise.raise_to(HLC - 1, said.append)
    promise.raise_to(HLC, said.append)
    with promise.entering() as bar:
        assert bar == HLC
    assert said == []


def test_stamps_are_above_what_an_earlier_start_promised_however_the_clock_was_set_back():
    table = LWWTable("a", wall_ms=lambda: 1)
    Promise(table, HLC)
    assert parse(table.write("put", b"k", b"\0"))[1].hlc > HLC


def test_it_is_not_said_before_merges_judged_by_the_old_one_have_ended():
    promise, said = Promise(LWWTable("a")), []
    with promise.entering() as old:
        assert old == 0
        thread = threading.Thread(target=promise.raise_to, args=(HLC, said.append))
        thread.start()

        def is_raised() -> bool:
            with promise.entering() as bar:     # a later one does not hold it up
                return bar == HLC

        wait_for(is_raised, "the bar to rise")
        assert said == []
    thread.join(20)
    assert said == [HLC]


def test_a_merge_that_fails_holds_it_up_no_longer():
    promise, said = Promise(LWWTable("a")), []
    with pytest.raises(ValueError, match="damaged"), promise.entering():
        raise ValueError("damaged")
    promise.raise_to(HLC, said.append)
    assert said == [HLC]


def test_the_end_of_the_replica_waits_for_no_merge():
    promise, said = Promise(LWWTable("a")), []
    with promise.entering():
        thread = threading.Thread(target=promise.raise_to, args=(HLC, said.append))
        thread.start()
        promise.close()
        thread.join(20)
        assert not thread.is_alive()
    assert said == []

"""Each shard has a lane of its own: what fills one leaves the others free."""
from __future__ import annotations

import threading

import pytest

from hotpath.core.errors import PoolTimeout, ShardUnavailable
from hotpath.shard.scatter.lanes import ForeignEpoch, Lanes
from tests.waiting import DEADLINE_S


@pytest.fixture
def lanes():
    lanes = Lanes(2, 0.01)
    yield lanes
    lanes.close()


def raising(error):
    def ask():
        raise error
    return ask


def test_all_are_asked_at_once(lanes):
    meeting = threading.Barrier(3, timeout=DEADLINE_S)

    def ask(name):
        meeting.wait()
        return name.upper()

    answers = lanes.ask({name: (lambda name=name: ask(name)) for name in ("c", "a", "b")})
    assert answers == {"c": "C", "a": "A", "b": "B"}


def test_one_shard_alone_is_asked_by_the_caller_itself(lanes):
    assert lanes.ask({"a": threading.get_ident}) == {"a": threading.get_ident()}


def test_nothing_is_on_its_way_any_more_when_it_raises(lanes):
    go, ended = threading.Event(), []

    def slow():
        assert go.wait(DEADLINE_S)
        ended.append("slow")

    threading.Timer(0.05, go.set).start()
    with pytest.raises(ShardUnavailable):
        lanes.ask({"a": slow, "b": raising(ShardUnavailable("b", "away"))})
    assert ended == ["slow"]


def test_that_the_map_is_old_is_said_before_what_may_come_of_it(lanes):
    with pytest.raises(ForeignEpoch):
        lanes.ask({"a": raising(ShardUnavailable("a", "away")), "b": raising(ForeignEpoch("b", "old"))})
    with pytest.raises(ZeroDivisionError):
        lanes.ask({"a": raising(ShardUnavailable("a", "away")), "b": raising(ZeroDivisionError())})


def test_a_stuck_shard_keeps_neither_others_nor_those_with_a_connection_of_it_waiting(lanes):
    go = threading.Event()
    stuck = [threading.Thread(target=lanes.ask, args=({"a": lambda: go.wait(DEADLINE_S), "b": int},)) for _ in range(2)]
    try:
        for thread in stuck:
            thread.start()
        for thread in stuck:
            while lanes._lane("a")._free._value:
                thread.join(0.001)
        with pytest.raises(PoolTimeout) as found:
            lanes.ask({"a": int, "b": int})
        assert found.value.shard == "a"
        assert found.value.outcome == "none"
        assert lanes.ask({"c": int, "b": int}) == {"c": 0, "b": 0}
        assert lanes.ask({"a": int, "b": int}, held=["a"]) == {"a": 0, "b": 0}
    finally:
        go.set()
        for thread in stuck:
            thread.join(DEADLINE_S)
    assert lanes.ask({"a": int, "b": int}) == {"a": 0, "b": 0}


def test_the_lane_of_a_shard_that_left_goes_and_comes_back_with_it(lanes):
    lanes.ask({"a": int, "b": int, "c": int})
    lanes.keep(["b"])
    assert set(lanes._lanes) == {"b"}
    assert lanes.ask({"a": int, "b": int}) == {"a": 0, "b": 0}


def test_who_asks_a_shard_that_leaves_just_now_reads_the_map_again(lanes, monkeypatch):
    lane = lanes._lane("a")
    lanes.keep([])
    monkeypatch.setattr(lanes, "_lane", lambda name: lane)
    for held in ([], ["a"]):
        with pytest.raises(ForeignEpoch):
            lanes.ask({"a": int, "b": int}, held)
    assert lane._free._value == 2

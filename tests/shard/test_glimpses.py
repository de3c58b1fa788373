"""What is asked in the background is waited for a little, and not asked too often."""
from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from hotpath.core.errors import ShardUnavailable
from hotpath.shard import glimpses
from hotpath.shard.glimpses import Glimpse, Glimpses
from tests.waiting import DEADLINE_S, wait_for


@pytest.fixture
def seen():
    seen = Glimpses()
    yield seen
    seen.close()


def test_an_answer_that_comes_in_time_is_the_newest(seen):
    answers = iter(range(3))
    assert seen.look({"a": lambda: next(answers)}, within_s=DEADLINE_S) == {"a": Glimpse(0, True)}
    assert seen.look({"a": lambda: next(answers)}, within_s=DEADLINE_S) == {"a": Glimpse(1, True)}


def test_who_does_not_answer_keeps_nobody_waiting_for_the_others(seen):
    go = threading.Event()
    questions = {"stuck": lambda: go.wait(DEADLINE_S), "a": int}
    wait_for(lambda: seen.look(questions, within_s=0.05) == {"stuck": Glimpse(None, False), "a": Glimpse(0, True)},
             "the others to be told while one is stuck")
    go.set()
    wait_for(lambda: seen.look({"stuck": lambda: True}, within_s=DEADLINE_S)["stuck"].ok, "an answer")


def test_who_fails_is_not_up_and_what_he_said_before_stays(seen):
    def away():
        raise ShardUnavailable("a", "away")

    seen.look({"a": lambda: 7}, within_s=DEADLINE_S)
    assert seen.look({"a": away}, within_s=DEADLINE_S) == {"a": Glimpse(7, False)}
    assert seen.look({"a": lambda: 8}, within_s=DEADLINE_S) == {"a": Glimpse(8, True)}


def test_what_took_long_rests(seen, monkeypatch):
    monkeypatch.setattr(glimpses, "QUICK_S", -1.0)
    monkeypatch.setattr(glimpses, "REST", 1e9)
    n = []
    seen.look({"a": lambda: n.append(1)}, within_s=DEADLINE_S)
    assert seen.look({"a": lambda: n.append(1)}, within_s=DEADLINE_S)["a"].ok
    assert len(n) == 1


def test_a_hiccup_is_no_reason_to_rest(seen, monkeypatch):
    now_s = 0.0

    def took(seconds):
        def answer():
            nonlocal now_s
            now_s += seconds
            asked.append(seconds)
        return answer

    monkeypatch.setattr(glimpses, "time", SimpleNamespace(monotonic=lambda: now_s))
    asked = []
    for seconds in (0.01, 10, 0.01, 10, 10, 10):
        assert seen.look({"a": took(seconds)}, within_s=DEADLINE_S)["a"].ok
    assert asked == [0.01, 10, 0.01, 10, 10]        # twice is a habit


def test_who_was_quicker_before_and_is_silent_now_is_not_up(seen, monkeypatch):
    monkeypatch.setattr(glimpses, "SILENT_S", 0.0)
    seen.look({"a": int}, within_s=DEADLINE_S)
    go = threading.Event()
    try:
        assert seen.look({"a": lambda: go.wait(DEADLINE_S)}, within_s=0.2) == {"a": Glimpse(0, False)}
    finally:
        go.set()


def test_a_fault_of_ours_is_no_answer_either(seen, caplog):
    assert seen.look({"a": lambda: 1 // 0}, within_s=DEADLINE_S) == {"a": Glimpse(None, False)}
    assert "ZeroDivisionError" in caplog.text


def test_who_left_is_forgotten(seen):
    seen.look({"a": lambda: 1, "b": lambda: 2}, within_s=DEADLINE_S)
    seen.keep({"b"})
    assert seen.look({"a": lambda: 3, "b": lambda: 2}, within_s=DEADLINE_S)["a"] == Glimpse(3, True)

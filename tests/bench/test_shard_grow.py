from itertools import pairwise
from types import SimpleNamespace

import pytest

from bench.harness import BenchmarkError
from bench.shard_crowd import Answers
from bench.shard_grow import Phase, noticed_rows, quantile_ms, staged, state_of


class Crowd:
    """What one client was answered."""

    def __init__(self, *, failed=(), wrong=()):
        self.one = Answers([1.0, 2.0, 11.0, 12.0], [0.001, 0.002, 0.002, 0.004])
        self._failed, self._wrong = failed, wrong

    def took_s(self, began_s, ended_s):
        return self.one.between(began_s, ended_s)

    def failed(self):
        return self._failed

    def wrong(self):
        return self._wrong


def test_each_phase_is_compared_with_the_one_before_the_moves():
    before, move, turn, whole = noticed_rows(Crowd(), [
        Phase("nothing", 0, 10), Phase("add s2: copying", 10, 11.5), Phase("add s2: targets are fenced", 11.5, 20),
        Phase("add s2: verified", 20, 20)])
    assert before == ("nothing", "10.0", "2", "2.00", "2.00", "2.00", "2.0", "", "", "")
    assert move[:5] == ("add s2: copying", "1.5", "1", "2.00", "2.00")
    assert move[-1] == "p99 over that before ≤ 1.5: met"
    assert (turn[5], turn[-1]) == ("4.00", "p99.9 ≤ 50: met")
    assert whole[2] == "4"
    assert whole[-1] == "failed ≤ 0: met; lost, doubled, stale ≤ 0: met"


def test_what_failed_is_counted():
    *_, whole = noticed_rows(Crowd(failed=["x"]), [Phase("nothing", 0, 20)])
    assert whole[7:9] == ("1", "0")
    assert "failed ≤ 0: missed" in whole[-1]


def test_a_reshard_is_a_stretch_for_each_state():
    states = iter(["preparing", "preparing", "preparing", "opening", "copying", "copying", "done"])
    found = staged("add s2", SimpleNamespace(progress=lambda: {"state": next(states), "paused": False, "hold": False}))
    assert [one.name for one in found] == ["add s2: preparing", "add s2: sources are fenced", "add s2: copying"]
    assert [one.ended_s <= two.began_s for one, two in pairwise(found)] == [True, True]


def test_a_reshard_that_stands_still_ends_the_measure():
    assert state_of(SimpleNamespace(progress=lambda: {"state": "copying", "paused": False})) == "copying"
    with pytest.raises(BenchmarkError, match="disk full"):
        state_of(SimpleNamespace(progress=lambda: {"state": "copying", "paused": True, "error": "disk full"}))


def test_a_quantile_is_of_what_there_is():
    assert quantile_ms([0.001], 0.999) == 1.0
    assert quantile_ms([0.001 * n for n in range(1000)], 0.5) == 500.0

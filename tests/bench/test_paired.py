import time

import pytest

from bench.paired import Cost, Question, at_most, rows, timed, verdict


def cost(each_s: float) -> Cost:
    return Cost(each_s * 1000, 1.0, 1000)


def question(goals):
    return Question("put", {"hotpath": lambda: cost(1e-7), "dict": lambda: cost(4e-7)}, goals)


def test_the_cost_of_a_unit_is_cpu_time_over_units():
    assert Cost(2.0, 9.0, 4).each_s == pytest.approx(0.5)


def test_a_rival_is_compared_within_the_round_and_held_against_the_goal():
    taken = {"hotpath": [cost(1e-7), cost(2e-7)], "dict": [cost(4e-7), cost(6e-7)]}
    ours, theirs = rows(question({"dict": 4}), taken)
    assert ours == ("put", "hotpath", "150 ns", "6,666,667", "1", "")
    assert theirs == ("put", "dict", "500 ns", "2,000,000", "3.50 (3.00-4.00)", "≥ 4: missed")


def test_a_goal_for_ourselves_is_in_millions_a_second():
    taken = {"hotpath": [cost(1e-7)], "dict": [cost(4e-7)]}
    assert [row[-1] for row in rows(question({"hotpath": 5}), taken)] == ["≥ 5: met", ""]


def test_a_goal_is_met_at_its_edge():
    assert (verdict(4.0, 4), verdict(3.99, 4)) == ("≥ 4: met", "≥ 4: missed")
    assert (at_most(80.0, 80), at_most(80.1, 80)) == ("≤ 80: met", "≤ 80: missed")


def test_what_is_timed_is_done_once_and_charged_for():
    calls = []

    def work():
        calls.append(1)
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass

    found = timed(work, 10)
    assert calls == [1]
    assert found.units == 10
    assert found.cpu_s >= 0.01
    assert found.wall_s >= 0.01

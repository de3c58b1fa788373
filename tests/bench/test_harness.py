import pytest

from bench.harness import Sample, Spread, interleave, measure, middle, ratios
from bench.processes import Cpu
from bench.wrk import LoadError, Outcome


def sample(user_s: float, sys_s: float, requests: int = 1_000_000) -> Sample:
    return Sample(Outcome(requests, 1e9, 0, 4.0, 1.0, 2.0, 0.0), Cpu(user_s, sys_s), 0.0)


def test_cost_is_cpu_time_over_requests():
    assert sample(2.0, 8.0).cpu_us == pytest.approx(10.0)
    assert sample(2.0, 8.0).user_us == pytest.approx(2.0)


def test_shares_are_cpus_kept_busy():
    taken = Sample(Outcome(1, 1e9, 0, 4.0, 1.0, 2.0, 2.0), Cpu(1.0, 3.0), 0.0, beside_s=0.4)
    assert taken.shares == pytest.approx((1.0, 0.5, 0.1))


def test_ratios_pair_by_round():
    ours, theirs = [sample(0, 8), sample(0, 9), sample(0, 16)], [sample(0, 10), sample(0, 10), sample(0, 20)]
    found = ratios(ours, theirs, lambda s: s.cpu_us)
    assert (found.low, found.middle, found.high) == pytest.approx((0.8, 0.8, 0.9))


def test_the_middle_is_the_median():
    assert middle([sample(0, 1), sample(0, 2), sample(0, 90)], lambda s: s.cpu_us) == pytest.approx(2.0)


def test_a_spread_reads_middle_then_bounds():
    assert str(Spread.of([1.0, 3.0, 2.0])) == "2.00 (1.00-3.00)"
    assert str(Spread.of([0.0302, 0.0344, 0.0318])) == "0.032 (0.030-0.034)"


def test_contenders_take_turns():
    turns = []
    contenders = {name: lambda name=name: turns.append(name) or sample(0, 1) for name in "AB"}
    taken = interleave(contenders, rounds=3, title="turns")
    assert turns == ["A", "B"] * 3
    assert {name: len(samples) for name, samples in taken.items()} == {"A": 3, "B": 3}


def test_a_server_that_answers_nothing_has_no_cost():
    with pytest.raises(LoadError):
        measure(1, lambda: Outcome(0, 0.0, 64, 4.0, 0.0, 0.0, 0.0))

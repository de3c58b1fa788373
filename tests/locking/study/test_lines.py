from array import array
from statistics import fmean

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hotpath.locking.study.grid import Cell
from hotpath.locking.study.lines import COLUMNS, line_of, percentile_ms
from hotpath.locking.study.workers import Took

from .lines import HEADER, line

COUNT = st.integers(0, 50)
SECONDS = st.floats(0, 10)
TOOKS = st.lists(st.builds(
    Took, commits=COUNT, conflicts=COUNT, deadlocks=COUNT, timeouts=COUNT, disconnects=COUNT, gave_up=COUNT,
    wasted_s=SECONDS, busy_s=st.floats(10, 20), cpu_s=SECONDS, ended_s=SECONDS,
    latency_s=st.lists(SECONDS, max_size=5).map(lambda many: array("d", many))), min_size=1, max_size=5)
CELL = Cell(rows=4, workers=2, work_ms=0.5)


def of(tooks, *, policy="pessimistic", raised=0, conflict_prob=None, seconds=2.0):
    return line_of(tooks, backend="sqlite", policy=policy, cell=CELL, repeat=1, seconds=seconds, raised=raised,
                   conflict_prob=conflict_prob)


def test_the_columns_are_the_contracts():
    assert list(COLUMNS) == HEADER


@given(TOOKS, st.floats(0.1, 100))
def test_the_sums_are_the_workers_sums(tooks, seconds):
    got = of(tooks, seconds=seconds)
    failed = got.conflicts + got.deadlocks + got.timeouts + got.disconnects
    assert got.commits == sum(took.commits for took in tooks)
    assert failed == sum(took.conflicts + took.deadlocks + took.timeouts + took.disconnects for took in tooks)
    assert got.attempts == got.commits + failed
    assert got.throughput == got.commits / seconds
    assert got.gave_up == sum(took.gave_up for took in tooks)
    assert got.client_cpu_s == sum(took.cpu_s for took in tooks)
    if got.attempts:
        assert got.failed_pct == pytest.approx(100 * failed / got.attempts)
    assert got.wasted_pct == pytest.approx(100 * sum(t.wasted_s for t in tooks) / sum(t.busy_s for t in tooks))


@given(TOOKS)
def test_fairness_is_most_over_mean(tooks):
    assume(any(took.commits for took in tooks))
    commits = [took.commits for took in tooks]
    assert of(tooks).fairness == pytest.approx(max(commits) / fmean(commits))


def test_without_a_commit_nothing_is_fair_and_nothing_has_a_latency():
    idle = Took(0, 3, 0, 0, 0, 0, 1.0, 1.0, 0.0, 0.0, array("d"))
    got = of([idle, idle])
    assert (got.fairness, got.p50_ms, got.p99_ms, got.failed_pct) == (None, None, None, 100)


@given(TOOKS, COUNT)
def test_what_the_counters_do_not_show_was_lost(tooks, raised):
    assert of(tooks, raised=raised).lost_updates == sum(took.commits for took in tooks) - raised


@given(TOOKS)
def test_the_conflict_probability_is_that_of_the_optimistic_line(tooks):
    optimistic = of(tooks, policy="optimistic")
    assert optimistic.conflict_prob == optimistic.failed_pct / 100
    assert of(tooks, conflict_prob=0.25).conflict_prob == 0.25
    assert of(tooks).conflict_prob is None


@given(st.lists(SECONDS, min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(latencies, percent):
    latencies.sort()
    got = percentile_ms(latencies, percent) / 1000
    within = [each for each in latencies if each <= got * 1.000001]
    assert 100 * len(within) >= percent * len(latencies)
    below = [each for each in latencies if each < got * 0.999999]
    assert 100 * len(below) < percent * len(latencies)


def test_a_field_of_the_file_is_a_plain_number_or_empty():
    texts = dict(zip(COLUMNS, line("naive", conflict_prob=None, work_ms=0.5, throughput=1e-7).texts(), strict=True))
    assert (texts["policy"], texts["rows"], texts["work_ms"], texts["conflict_prob"]) == ("naive", "1", "0.5", "")
    assert texts["throughput"] == "0.000000"
    assert line(work_ms=10).texts()[COLUMNS.index("work_ms")] == "10"

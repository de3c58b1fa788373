import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.locking.study.summary import crossover, ratios, summary_of

from .lines import line

PROBABILITY = st.floats(0, 1)
RATIO = st.floats(0.01, 100)
POINTS = st.lists(st.tuples(PROBABILITY, RATIO), max_size=8, unique_by=lambda point: point[0])


@pytest.mark.parametrize(("points", "at"), [
    ([], None),
    ([(0.5, 2.0)], None),
    ([(0.0, 1.5), (0.5, 0.5)], 0.25),
    ([(0.5, 0.5), (0.0, 1.5)], 0.25),                           # sorted, however they came
    ([(0.0, 3.0), (0.4, 0.5)], 0.32),
    ([(0.0, 2.0), (0.5, 1.0)], None),                           # it touches 1 and does not fall through
    ([(0.0, 2.0), (0.5, 1.0), (0.9, 0.5)], 0.5),
    ([(0.0, 0.5), (0.5, 0.4)], None),                           # below from the beginning
    ([(0.0, 0.5), (0.2, 1.5), (0.4, 0.5)], 0.3),
    ([(0.0, 1.5), (0.2, 0.5), (0.4, 1.5), (0.6, 0.5)], 0.1),    # the first
    ([(0.0, 1.01), (0.0, 0.99)], None),                         # without conflicts: noise
])
def test_where_the_ratio_falls_through_1(points, at):
    assert crossover(points) == (at if at is None else pytest.approx(at))


@given(POINTS, st.randoms())
def test_the_order_of_the_lines_does_not_matter(points, random):
    shuffled = list(points)
    random.shuffle(shuffled)
    assert crossover(shuffled) == crossover(points)


@given(POINTS)
def test_it_lies_between_the_first_two_points_around_1(points):
    at = crossover(points)
    line = sorted(points)
    falls = [i for i in range(1, len(line)) if line[i - 1][1] >= 1 > line[i][1]]
    assert (at is None) == (not falls)
    if at is not None:
        (left, above), (right, below) = line[falls[0] - 1], line[falls[0]]
        assert left <= at <= right
        if right - left > 1e-9:         # on the straight line between them the ratio is 1 there
            assert above + (below - above) * (at - left) / (right - left) == pytest.approx(1, abs=1e-5)


@given(POINTS, st.floats(0, 0.9))
def test_moving_all_points_moves_the_crossover(points, by):
    moved = [(probability + by, ratio) for probability, ratio in points]
    if len({probability for probability, _ in moved}) == len(points):
        at = crossover(points)
        assert crossover(moved) == (None if at is None else pytest.approx(at + by))


def table(*, workers=2, work_ms=0, optimistic=(300.0, 100.0), pessimistic=(200.0, 200.0), probabilities=(0.1, 0.6)):
    return [line(policy, rows, workers=workers, work_ms=work_ms, throughput=throughput[i],
                 conflict_prob=probabilities[i])
            for policy, throughput in (("optimistic", optimistic), ("pessimistic", pessimistic), ("atomic", optimistic))
            for i, rows in enumerate((64, 1))]


def test_the_points_are_means_over_the_repeats():
    lines = [*table(), *table(optimistic=(500.0, 100.0), pessimistic=(200.0, 400.0), probabilities=(0.2, 0.8))]
    assert sorted(ratios(lines)) == [pytest.approx((0.15, 2.0)), pytest.approx((0.7, 1 / 3))]


def test_a_study_without_one_of_the_two_has_no_crossover():
    for missing in ("optimistic", "pessimistic"):
        lines = [line for line in table() if line.policy != missing]
        assert [one["conflict_prob"] for one in summary_of(lines, backend="b", server="s")["crossover"]] == [None]


def test_the_summary_has_a_crossover_for_each_number_of_workers_and_each_time_of_work():
    lines = [*table(), *table(workers=8, work_ms=1.5, optimistic=(300.0, 300.0))]
    summary = summary_of(lines, backend="sqlite", server="SQLite 3")
    assert list(summary) == ["backend", "server", "machine", "crossover"]
    assert (summary["backend"], summary["server"]) == ("sqlite", "SQLite 3")
    assert "Python" in summary["machine"]
    assert json.loads(json.dumps(summary["crossover"])) == [
        {"workers": 2, "work_ms": 0, "conflict_prob": pytest.approx(0.35)},
        {"workers": 8, "work_ms": 1.5, "conflict_prob": None}]


def test_pessimistic_work_that_never_ends_has_no_ratio():
    assert ratios(table(pessimistic=(0.0, 0.0))) == []

"""Figures are sums of a family's samples, and rates are what they rose by."""
import pytest

from hotpath.core.telemetry import Exposition
from hotpath.figures import Figure, Reading

TEXT = """\
# HELP cells Cells held.
# TYPE cells gauge
cells{kind="live"} 3
cells{kind="dead",note="a \\"brace\\" }"} 4
cells_more 100
# TYPE none_yet_total counter
requests_total 10
"""


@pytest.mark.parametrize(("figure", "value"), [
    (Figure("", "", "cells"), 7), (Figure("", "", "cells", 'kind="live"'), 3), (Figure("", "", "requests_total"), 10),
    (Figure("", "", "cells", counts_samples=True), 2), (Figure("", "", "nothing"), None),
    (Figure("", "", "none_yet_total"), 0),
    (Figure("", "", "nothing", counts_samples=True), None),
])
def test_a_figure_is_the_sum_of_its_samples(figure, value):
    assert figure.read([TEXT]) == value


def test_servers_of_a_part_are_added():
    assert Figure("", "", "cells").read([TEXT, TEXT, ""]) == 14


def test_what_our_own_servers_write_is_read():
    page = Exposition()
    page.gauge("g", "A gauge.", [({"name": 'with "quotes", {braces} and \\'}, 2.5), ({}, 1)])
    assert Figure("", "", "g").read([page.text()]) == 3.5


def test_a_rate_needs_two_looks_and_a_counter_that_began_anew_has_none():
    reading = Reading(Figure("", "/s", "n", per_second=True))
    seen = [reading.value([f"n {n}\n"] if n is not None else [], now_s)
            for now_s, n in ((0, 10), (2, 15), (4, 15), (6, 3), (8, 4), (10, None), (12, 9), (14, 10))]
    assert seen == [None, 2.5, 0, None, 0.5, None, None, 0.5]


def test_whole_numbers_are_shown_whole():
    reading = Reading(Figure("", "", "n"))
    assert [repr(reading.value([f"n {n}\n"], 0)) for n in ("3.0", "3.14159")] == ["3", "3.1"]

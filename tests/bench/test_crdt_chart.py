from xml.etree import ElementTree

import pytest

from bench.crdt_chart import MOST_POINTS, drawn, round_up, thinned

SERIES = {"a–b": [(0.0, 1000), (0.2, 400), (0.5, 0)], "b–c": [(0.0, 0), (0.1, 300), (0.4, 0)]}


def test_the_picture_is_small_well_formed_and_readable_in_light_and_dark():
    text = drawn(SERIES, title="keys")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "prefers-color-scheme:dark" in text
    assert len(text) < 6000


def test_each_pair_has_a_line_that_ends_at_zero():
    root = ElementTree.fromstring(drawn(SERIES, title="keys"))
    paths = [each for each in root if each.tag.endswith("path")]
    lines = [each.get("d") for each in paths if "V" in each.get("d", "")]
    assert len(lines) == len(SERIES)
    floor = max(float(each.get("y1")) for each in root if each.get("class") == "axis")
    assert all(f"V{floor}H" in line for line in lines)


def test_many_points_become_few_and_the_ends_stay():
    points = [(i / 1000, 1000 - i) for i in range(1000)] + [(1.0, 0)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert (kept[0], kept[-1]) == (points[0], points[-1])


@pytest.mark.parametrize(("value", "expected"), [(1000, 1000), (1001, 2000), (0.03, 0.05), (34.9, 50), (1, 1)])
def test_axes_end_at_round_numbers(value, expected):
    assert round_up(value) == pytest.approx(expected)

import pytest

from hotpath.shard.cli.figures import cap, count, per_s, percent, plural, span


@pytest.mark.parametrize(("seconds", "text"), [
    (None, "–"), (-1, "0 s"), (0, "0 s"), (59.4, "59 s"), (59.6, "1 m 0 s"), (200, "3 m 20 s"), (7500, "2 h 5 m")])
def test_a_span_has_two_units_at_most(seconds, text):
    assert span(seconds) == text


def test_numbers_are_grouped_and_the_unknown_is_a_dash():
    assert count(1234567) == "1,234,567"
    assert count(None) == "–"
    assert per_s(18249.6) == "18,250/s"
    assert (plural(1, "slot"), plural(2000, "slot")) == ("1 slot", "2,000 slots")


def test_of_nothing_all_is_done():
    assert (percent(1, 4), percent(0, 0), percent(0.25)) == ("25.0 %", "100.0 %", "25.0 %")


def test_no_cap_is_said():
    assert (cap(0), cap(500)) == ("no cap", "cap 500/s")

"""The figures: percentiles within their promise, and the object that is printed."""
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from hotpath.chat.load.report import Histogram, Report


@given(times_s=st.lists(st.floats(0, 100), min_size=1, max_size=200), share=st.sampled_from([0.5, 0.99]))
def test_a_percentile_is_right_within_its_promise(times_s, share):
    histogram = Histogram()
    for each in times_s:
        histogram.add(each)
    exact_ms = sorted(times_s)[math.ceil(share * len(times_s)) - 1] * 1000
    assert exact_ms * (1 - 1 / 64) - 0.002 <= histogram.at_ms(share) <= exact_ms + 0.002


def test_nothing_measured_is_null():
    report = Report()
    assert report.summary()["ack_ms"] == {"p50": None, "p99": None}
    assert report.summary()["resume_s"] is None
    assert json.loads(json.dumps(report.summary())) == report.summary()
    assert "-" in report.table()


def test_a_time_below_zero_counts_as_none():
    histogram = Histogram()
    histogram.add(-1.0)
    assert histogram.percentiles() == {"p50": 0.0, "p99": 0.0}


def test_deliveries_are_counted_over_the_time_that_they_took():
    report = Report(delivered=300, first_sent_s=10.0, last_delivered_s=13.0)
    assert report.summary()["deliveries_per_s"] == 100.0


def test_whatever_is_wrong_is_not_clean():
    for name in ("lost", "duplicated", "out_of_order"):
        report = Report()
        assert report.is_clean
        setattr(report.tally, name, 1)
        assert not report.is_clean

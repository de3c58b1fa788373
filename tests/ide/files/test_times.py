"""Times of files are told as RFC 3339, whatever a program set them to."""
import pytest

from hotpath.ide.files.times import moment


@pytest.mark.parametrize(("ns", "text"), [
    (0, "1970-01-01T00:00:00.000Z"), (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123Z"),
    (-1_000_000, "1969-12-31T23:59:59.999Z"), (2**63 - 1, "2262-04-11T23:47:16.854Z"),
    (2**90, "9999-12-31T23:59:59.999Z"), (-2**90, "0001-01-01T00:00:00.000Z")])
def test_a_time_is_told(ns, text):
    assert moment(ns) == text

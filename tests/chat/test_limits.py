"""A rate, and twice as many at once."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.chat.limits import Limit, TooOften
from hotpath.core.config import Rate

START_US = 1_000_000_000


def passed(limit, key, n, now_us):
    """How many of n at that moment pass."""
    count = 0
    for _ in range(n):
        try:
            limit.take(key, now_us=now_us)
        except TooOften:
            break
        count += 1
    return count


@given(count=st.integers(1, 500), per_s=st.sampled_from([1.0, 60.0, 3600.0]))
def test_twice_the_rate_passes_at_once_and_then_the_rate(count, per_s):
    limit = Limit("things", Rate(count, per_s), slots=64)
    assert passed(limit, "a", 3 * count, START_US) == 2 * count
    later = sum(passed(limit, "a", 3 * count, START_US + round(part * per_s * 1e5)) for part in range(1, 11))
    # Periods are whole microseconds, rounded up.
    assert count - 1 <= later <= count


def test_each_key_has_its_own_rate():
    limit = Limit("things", Rate(2, 1))
    assert passed(limit, "a", 9, START_US) == 4
    assert passed(limit, "b", 9, START_US) == 4


def test_who_is_too_fast_is_told_how_long_to_wait():
    limit = Limit("messages", Rate(1, 60))
    assert passed(limit, "a", 9, START_US) == 2
    with pytest.raises(TooOften, match="too many messages; wait 60 s") as caught:
        limit.take("a", now_us=START_US)
    assert caught.value.retry_after_s == pytest.approx(60)
    limit.take("a", now_us=START_US + round(caught.value.retry_after_s * 1e6))


def test_what_is_refused_is_not_counted():
    limit = Limit("messages", Rate(1, 1))
    assert passed(limit, "a", 2, START_US) == 2
    for _ in range(100):
        with pytest.raises(TooOften):
            limit.take("a", now_us=START_US + 1)
    limit.take("a", now_us=START_US + 1_000_000)


def test_many_keys_take_no_more_memory():
    limit = Limit("messages", Rate(1, 1), slots=64)
    for i in range(10_000):
        limit.take(f"key {i}", now_us=START_US)
    assert limit._cells.slots == 64

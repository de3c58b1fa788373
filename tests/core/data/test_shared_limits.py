"""The rate limiter against a one-page model; several processes at once; full tables."""
import math
import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data import shared
from tests.core.data.forking import forked
from tests.waiting import wait_for

SECOND = 1_000_000
FOREVER = 1e-3      # requests per second: the next one comes after the test


class Model:
    """GCRA for one key: `arrival` is when its next request is due if they came evenly."""

    def __init__(self):
        self.arrival = 0

    def take(self, now, period, burst, cost):
        limit = (burst + 1) * period
        arrival = max(now, self.arrival)
        if arrival > now + limit + SECOND:      # booked under a slower rate
            arrival = self.arrival = now + limit
        after = arrival + cost * period
        allowed = after <= now + limit
        retry_after = 0
        if allowed and cost:
            self.arrival = arrival = after
        elif not allowed:
            retry_after = after - now - limit if cost <= burst + 1 else math.inf
        remaining = max(0, now + limit - arrival) // period
        return allowed, remaining, retry_after / SECOND, (arrival - now) / SECOND


@given(steps=st.lists(st.tuples(
    st.integers(0, 4), st.integers(-1000, 3 * SECOND), st.sampled_from([0.5, 1, 3, 10, 1000, 1e6]),
    st.integers(0, 5), st.integers(0, 7))))
def test_it_decides_as_the_model(steps):
    limiter = shared.RateLimiter(64)
    models = [Model() for _ in range(5)]        # five keys never fill a neighbourhood of eight
    now = 10 * SECOND
    for key, passed, rate, burst, cost in steps:
        now = max(1, now + passed)
        expected = models[key].take(now, math.ceil(SECOND / rate), burst, cost)
        assert limiter.take(f"key{key}", rate, burst, cost, now_us=now) == expected
    assert limiter.evicted == 0


def test_a_burst_of_b_lets_b_plus_one_pass_at_once():
    limiter = shared.RateLimiter()
    taken = [limiter.take("key", 10, 2, now_us=SECOND) for _ in range(4)]
    assert taken == [(True, 2, 0.0, 0.1), (True, 1, 0.0, 0.2), (True, 0, 0.0, 0.3), (False, 0, 0.1, 0.3)]
    assert limiter.take("key", 10, 2, now_us=SECOND + 99_999)[0] is False
    assert limiter.take("key", 10, 2, now_us=SECOND + 100_000)[0] is True


def test_a_denied_request_costs_nothing():
    limiter = shared.RateLimiter()
    limiter.take("key", 1, 0, now_us=SECOND)
    for _ in range(100):
        assert limiter.take("key", 1, 0, now_us=SECOND)[2] == 1.0
    assert limiter.take("key", 1, 0, now_us=2 * SECOND)[0]


def test_more_than_the_burst_never_passes():
    limiter = shared.RateLimiter()
    assert limiter.take("key", 1, 4, cost=6) == (False, 5, math.inf, 0.0)
    assert limiter.take("key", 1, 4, cost=5)[0]


def test_cost_zero_only_looks():
    limiter = shared.RateLimiter()
    assert limiter.take("key", 1, 1, cost=0, now_us=SECOND) == (True, 2, 0.0, 0.0)
    limiter.take("key", 1, 1, cost=2, now_us=SECOND)
    assert limiter.take("key", 1, 1, cost=0, now_us=SECOND) == (True, 0, 0.0, 2.0)


def test_the_rate_is_never_above_what_was_asked():
    limiter = shared.RateLimiter()
    for rate in (3, 7, 30_000, 999_999):
        passed = sum(limiter.take(f"{rate}", rate, 0, now_us=now)[0] for now in range(SECOND, SECOND + 10_000))
        assert 1 <= passed <= 1 + rate * 10_000 / SECOND


def test_a_faster_rate_is_not_held_back_by_what_a_slower_one_booked():
    limiter = shared.RateLimiter()
    assert limiter.take("key", 1 / 3600, 9, cost=10, now_us=SECOND)[3] == 36000
    allowed, _, retry_after_s, reset_s = limiter.take("key", 100, 9, now_us=SECOND)
    assert (allowed, retry_after_s, reset_s) == (False, 0.01, 0.1)
    assert limiter.take("key", 100, 9, now_us=SECOND + 10_000)[0]


def test_a_clock_that_steps_back_gives_nothing_away():
    limiter = shared.RateLimiter()
    for _ in range(3):
        limiter.take("key", 10, 2, now_us=10 * SECOND)
    assert limiter.take("key", 10, 2, now_us=10 * SECOND - 5000)[:2] == (False, 0)
    # However far back: the wait is at most the burst's.
    assert limiter.take("key", 10, 2, now_us=SECOND)[2:] == (0.1, 0.3)


def test_str_and_its_utf8_are_one_key():
    limiter = shared.RateLimiter()
    assert limiter.take("é", 1, 0, now_us=SECOND)[0]
    assert not limiter.take("é".encode(), 1, 0, now_us=SECOND)[0]


def test_without_a_time_the_clock_is_asked():
    limiter = shared.RateLimiter()
    assert [limiter.take("key", FOREVER, 1)[0] for _ in range(3)] == [True, True, False]
    assert 0 < limiter.take("key", FOREVER, 1)[3] <= 2 / FOREVER


class TestAFullTable:
    def test_gives_up_the_cell_that_would_be_free_first(self):
        limiter = shared.RateLimiter(8)
        for i in range(8):
            limiter.take(f"{i}", 1, 99, cost=10 + (i - 3) ** 2, now_us=SECOND)
        assert limiter.evicted == 0
        assert limiter.take("new", 1, 99, cost=50, now_us=SECOND)[0]
        assert limiter.evicted == 1
        remaining = [limiter.take(f"{i}", 1, 99, cost=0, now_us=SECOND)[1] for i in range(8)]
        assert remaining == [100 if i == 3 else 90 - (i - 3) ** 2 for i in range(8)]

    def test_takes_a_cell_that_ran_out_as_a_fresh_one(self):
        limiter = shared.RateLimiter(8)
        for turn in range(1, 50):
            for i in range(8):
                assert limiter.take(f"{turn} {i}", 10, 0, now_us=turn * SECOND)[0]
        assert limiter.evicted == 0

    def test_is_never_an_error(self):
        limiter = shared.RateLimiter(1)
        assert limiter.slots == 8
        for i in range(10_000):
            assert limiter.take(f"{i}", FOREVER, 3)[:2] == (True, 3)
        assert limiter.evicted == 10_000 - 8

    def test_far_from_full_forgets_nobody(self):
        # Nine keys would have to meet in eight cells: with one cell of 64 in use that does not happen.
        limiter = shared.RateLimiter(4096)
        keys = [f"10.0.0.{i}" for i in range(64)]
        for allowed in (True, False):
            assert all(limiter.take(key, FOREVER, 0)[0] is allowed for key in keys)
        assert limiter.evicted == 0


class TestSeveralProcesses:
    def test_four_processes_together_pass_exactly_the_burst(self):
        limiter = shared.RateLimiter()
        passed = shared.Counters(["passed"], 4)
        gate, open_gate = os.pipe()

        def work(worker):
            os.close(open_gate)
            passed.worker = worker
            os.read(gate, 1)                    # end of file, once the parent opens it
            for _ in range(5000):
                if limiter.take("key", FOREVER, 9999)[0]:
                    passed.add(0)

        with ExitStack() as stack:
            ends = [stack.enter_context(forked(lambda worker=worker: work(worker))) for worker in range(4)]
            os.close(open_gate)
            assert [end() for end in ends] == [0] * 4
        os.close(gate)
        assert passed.total(0) == 10_000

    def test_a_new_key_passes_once_however_many_meet_it_at_once(self):
        # One neighbourhood of eight cells, of which every second runs out between the clocks of the two: they choose
        # different cells for the same key.
        limiter = shared.RateLimiter(8)
        rounds = 4000
        passed = shared.Counters([f"{i}" for i in range(rounds)], 2)
        arrived = shared.Counters(["before", "behind"], 2)

        def meet(place, i):
            arrived.add(place)
            while arrived.total(place) < 2 * (i + 1):
                os.sched_yield()

        def work(worker):
            passed.worker = arrived.worker = worker
            for i in range(rounds):
                now = 1000 * (i + 1)
                if worker == 0:
                    for other in range(8):
                        period_us = 55 if other % 2 else 10
                        limiter.take(f"other {other}", 1e6 / period_us, 0, now_us=now - 50)
                meet(0, i)
                if limiter.take(f"key {i}", 1e4, 0, now_us=now + 10 * worker)[0]:
                    passed.add(i)
                meet(1, i)

        with ExitStack() as stack:
            ends = [stack.enter_context(forked(lambda worker=worker: work(worker))) for worker in range(2)]
            assert [end() for end in ends] == [0, 0]
        assert [passed.total(i) for i in range(rounds)] == [1] * rounds
        assert limiter.evicted == 0

    def test_killed_processes_leave_every_cell_usable(self):
        limiter = shared.RateLimiter(16)
        passed = shared.Counters(["passed", "tried"], 1)
        passed.worker = 0
        kills = 25

        def work():
            while True:
                if limiter.take("key", FOREVER, 10**6)[0]:
                    passed.add(0)
                limiter.take(f"{random.random()}", 1e5, 3)
                passed.add(1)

        for _ in range(kills):
            enough = passed.total(1) + random.randrange(1, 2000)
            with forked(work) as end:
                wait_for(lambda enough=enough: passed.total(1) >= enough, "the worker to take")
                assert end(signal.SIGKILL) == -signal.SIGKILL
        # What passed was booked; at most the one each was killed over was booked and not counted.
        remaining = limiter.take("key", FOREVER, 10**6, cost=0)[1]
        assert 0 <= 10**6 + 1 - remaining - passed.total(0) <= kills + 1
        for i in range(16):
            assert limiter.take(f"after {i}", FOREVER, 0)[0]


@pytest.mark.parametrize(("arguments", "error"), [
    ((1, 1, 1), TypeError), ((None, 1, 1), TypeError), (("\ud800", 1, 1), UnicodeEncodeError),
    (("a", "1", 1), TypeError), (("a", 0, 1), ValueError), (("a", -1, 1), ValueError),
    (("a", math.nan, 1), ValueError), (("a", math.inf, 1), ValueError), (("a", 1e7, 1), ValueError),
    (("a", 1, -1), ValueError), (("a", 1, 1.5), TypeError), (("a", 1, 2**62), ValueError),
    (("a", 1, 2**63), OverflowError),
    (("a", 1, 1, -1), ValueError), (("a", 1, 1, 1.5), TypeError), (("a", 1, 1, 2**62), ValueError),
])
def test_a_limit_that_makes_no_sense_is_refused(arguments, error):
    with pytest.raises(error):
        shared.RateLimiter(8).take(*arguments)


@pytest.mark.parametrize(("slots", "error"), [(0, ValueError), (-8, ValueError), (2**40, ValueError), (8.0, TypeError)])
def test_a_table_of_no_size_is_refused(slots, error):
    with pytest.raises(error):
        shared.RateLimiter(slots)


def test_slots_are_rounded_up_to_a_power_of_two():
    assert [shared.RateLimiter(slots).slots for slots in (1, 8, 9, 1000, 65536)] == [8, 8, 16, 1024, 65536]


def test_the_keyed_hash_is_siphash_as_in_cpython():
    code = "import sys; print(sys.hash_info.algorithm, *(hash(bytes(range(n))) for n in range(1, 80)))"
    answer = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True,
                            env={**os.environ, "PYTHONHASHSEED": "0"}).stdout.split()     # 0: a secret of zeros
    assert answer[0] == "siphash13"
    expected = [int(each) % 2**64 for each in answer[1:]]
    assert [shared.keyed_hash(bytes(range(n)), 0, 0) for n in range(1, 80)] == expected


def test_the_keyed_hash_depends_on_the_whole_secret():
    assert len({shared.keyed_hash(b"key", *secret) for secret in ((0, 0), (0, 1), (1, 0), (2**63, 0), (0, 2**63))}) == 5

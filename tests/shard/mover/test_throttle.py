"""Rates, chunks and politeness, by a clock that the test turns."""
from __future__ import annotations

import threading
import time
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.shard.config import ShardConfig
from hotpath.shard.directory import Directory
from hotpath.shard.mover.job import BEAT_S, Job
from hotpath.shard.mover.throttle import BURST_S, CHUNK_S, FIRST_CHUNK, LEAST, SLOWEST, Throttle


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def moved_in(throttle: Throttle, clock: Clock, seconds: float, took_s: float = 0.0) -> int:
    """Rows that it lets through in so long."""
    rows, until_s = 0, clock.now_s + seconds
    while True:
        pause_s = throttle.pause_s()
        if clock.now_s + pause_s >= until_s:
            clock.now_s = until_s
            return rows
        clock.now_s += pause_s + took_s
        rows += throttle.size
        throttle.moved(throttle.size, took_s)


@given(rate=st.floats(10, 1e5), chunk=st.integers(1, 10_000))
def test_the_rate_is_kept(rate: float, chunk: int) -> None:
    clock = Clock()
    throttle = Throttle(rate, chunk, clock=clock)
    seconds = 50 * chunk / rate         # some fifty chunks
    rows = moved_in(throttle, clock, seconds)
    assert abs(rows - seconds * rate) <= rate * BURST_S + 2 * chunk


def test_no_rate_is_no_pause() -> None:
    throttle = Throttle(0.0, 500)
    for _ in range(10):
        assert throttle.pause_s() == 0.0
        throttle.moved(throttle.size, 0.01)


def test_a_new_rate_holds_at_once() -> None:
    clock = Clock()
    throttle = Throttle(1000.0, 100, clock=clock)
    moved_in(throttle, clock, 5.0)
    throttle.rate = 100.0
    assert moved_in(throttle, clock, 20.0) <= 2000 + 300


@given(per_row_s=st.floats(1e-6, 1.0), chunk=st.integers(1, 10_000))
def test_a_chunk_takes_as_long_as_it_should(per_row_s: float, chunk: int) -> None:
    clock = Clock()
    throttle = Throttle(0.0, chunk, clock=clock)
    for _ in range(60):
        throttle.moved(throttle.size, throttle.size * per_row_s)
    wanted = min(chunk, CHUNK_S / per_row_s)
    assert 1 <= throttle.size <= chunk
    assert throttle.size == 1 or 0.5 * wanted <= throttle.size + 1


def test_the_first_chunk_is_small() -> None:
    assert Throttle(0.0, 5000).size == FIRST_CHUNK
    assert Throttle(0.0, 7).size == 7


def test_it_halves_while_others_suffer_and_comes_back() -> None:
    clock = Clock()
    p99_s = 0.1
    throttle = Throttle(1000.0, 100, latency=1.5, before_s=0.02, p99=lambda: p99_s, clock=clock)
    caps = []
    for _ in range(10):
        clock.now_s += 1.0
        throttle.pause_s()
        caps.append(throttle.cap)
    assert caps[:3] == [500.0, 250.0, 125.0]
    assert caps[-1] == 1000.0 * LEAST
    assert throttle.ease_s(0.01) == 0.01 * (1 / LEAST - 1)
    p99_s = 0.03        # 1.5 times, and no more
    for _ in range(40):
        clock.now_s += 1.0
        throttle.pause_s()
    assert throttle.cap == 1000.0
    assert throttle.ease_s(0.01) == 0.0


@pytest.mark.parametrize("suffers_s", [5, 10_000])
def test_a_rest_is_as_long_as_others_suffer(monkeypatch: pytest.MonkeyPatch, suffers_s: int) -> None:
    clock = Clock()

    class Turned(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            clock.now_s += timeout
            return False

    beats = []
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(Job, "beat", lambda self, state: beats.append(clock.now_s))
    until_s = clock.now_s + 10 + suffers_s
    throttle = Throttle(1000.0, 100, before_s=0.02, p99=lambda: 1.0 if clock.now_s < until_s else 0.0, clock=clock)
    job = Job("", "", cast(Directory, None), cast(ShardConfig, None), throttle, Turned(), {})
    for _ in range(10):
        clock.now_s += 1.0
        throttle.pause_s()
    began_s = clock.now_s
    job.ease("verifying", 10.0)
    rested_s = clock.now_s - began_s
    if suffers_s == 5:
        assert 5 < rested_s < 25                    # it has recovered: not the 630 s that it looked like at first
    else:
        assert rested_s == 10.0 * (1 / LEAST - 1)
    assert len(beats) >= rested_s / BEAT_S - 1


def test_without_a_rate_it_halves_what_it_does() -> None:
    clock = Clock()
    throttle = Throttle(0.0, 100, before_s=0.02, p99=lambda: 1.0, clock=clock)
    for _ in range(20):
        throttle.moved(100, 0.05)
    clock.now_s += 2.0
    throttle.pause_s()
    assert throttle.now == 1000.0
    assert throttle.cap == 500.0


def test_without_a_rate_it_goes_on_however_long_others_suffer() -> None:
    clock = Clock()
    throttle = Throttle(0.0, 100, before_s=0.02, p99=lambda: 1.0, clock=clock)
    moved_in(throttle, clock, 3.0, took_s=0.01)
    rows = moved_in(throttle, clock, 600.0, took_s=0.01)
    assert rows >= 600 * SLOWEST * LEAST - 100
    assert throttle.cap >= SLOWEST * LEAST


def test_nobody_is_asked_who_cannot_say() -> None:
    clock = Clock()
    throttle = Throttle(1000.0, 100, before_s=None, p99=lambda: 1.0, clock=clock)
    clock.now_s += 5.0
    throttle.pause_s()
    assert throttle.cap == 1000.0

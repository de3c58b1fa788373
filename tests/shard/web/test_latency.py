"""What p99 says: of the newest operations, and nothing of too few."""
from __future__ import annotations

import pytest

from hotpath.shard.web import latency
from hotpath.shard.web.latency import Latency


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(latency, "monotonic", lambda: now[0])
    return now


def test_too_few_say_nothing(clock):
    told = Latency()
    for _ in range(latency.ENOUGH - 1):
        told.took(1.0)
    assert told.p99() is None
    told.took(1.0)
    assert told.p99() == 1.0


def test_one_in_a_hundred_is_slower(clock):
    told = Latency()
    for n in range(1000):
        told.took(n / 1000)
    assert told.p99() == 0.99


def test_what_was_long_ago_is_forgotten(clock):
    told = Latency()
    for _ in range(200):
        told.took(9.0)
    clock[0] += latency.LATELY_S + 1
    assert told.p99() is None
    for _ in range(200):
        told.took(0.1)
    assert told.p99() == 0.1


def test_it_is_bounded(clock):
    told = Latency()
    for n in range(3 * latency.SAMPLES):
        told.took(float(n))
    assert len(told._samples) == latency.SAMPLES

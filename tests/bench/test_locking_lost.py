import pytest

from bench import locking_lost
from bench.harness import BenchmarkError
from bench.locking_lost import WAYS, row, run
from bench.rivals import WrongAnswer


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'bench.db'}"


def test_every_policy_is_tried_and_nothing_is_lost(url, monkeypatch):
    monkeypatch.setattr(locking_lost, "WORKERS", 4)
    lines = run("sqlite", url, increments=41)
    assert [(line[1], line[2]) for line in lines] == [(policy, "44") for policy in WAYS]
    assert {line[3] for line in lines[1:]} == {"0"}


def test_a_policy_that_loses_is_found_out(url, monkeypatch):
    monkeypatch.setattr(locking_lost, "WORKERS", 2)
    monkeypatch.setitem(WAYS, "optimistic", (lambda tx, key: tx.attempt, WAYS["optimistic"][1]))
    with pytest.raises(WrongAnswer, match="optimistic: 10 of 10 increments were lost"):
        run("sqlite", url, increments=10)


def test_a_worker_that_cannot_go_on_says_why(url, monkeypatch):
    monkeypatch.setattr(locking_lost, "WORKERS", 2)
    monkeypatch.setitem(WAYS, "naive", (lambda tx, key: 1 // 0, WAYS["naive"][1]))
    with pytest.raises(BenchmarkError, match="ZeroDivisionError"):
        run("sqlite", url, increments=10)


def test_escalating_is_held_to_three_attempts():
    assert row("x", "escalating", 0, [1] * 98 + [3, 4], 2.0) == (
        "x", "escalating", "100", "0", "1.05", "3", "4", "50", "0 lost: met; p99 ≤ 3: met")
    assert row("x", "escalating", 0, [1] * 97 + [4] * 3, 1.0)[-1] == "0 lost: met; p99 ≤ 3: missed"
    assert row("x", "naive", 7, [1] * 10, 1.0)[-1] == ""

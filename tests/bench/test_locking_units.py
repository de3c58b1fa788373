import pytest

from bench import locking_units
from bench.locking_units import rows, run
from bench.paired import Cost
from bench.rivals import WrongAnswer


def test_both_ways_raise_the_row(tmp_path):
    lines = run("sqlite", f"sqlite:///{tmp_path / 'bench.db'}", units=10, rounds=2)
    assert [line[1] for line in lines] == ["hotpath", "SQLAlchemy", "with expire_on_commit=False"]


def test_a_contender_that_does_nothing_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(locking_units, "raise_it", lambda tx: None)
    with pytest.raises(WrongAnswer, match="increments"):
        run("sqlite", f"sqlite:///{tmp_path / 'bench.db'}", units=1, rounds=1)


def test_the_goal_is_over_what_everybody_writes():
    cost = {"hotpath": [Cost(0.104, 0.11, 100)], "SQLAlchemy": [Cost(0.1, 0.1, 100)],
            "with expire_on_commit=False": [Cost(0.08, 0.1, 100)]}
    ours, plain, other = rows("x", cost)
    assert (ours[3], plain[3], other[3]) == ("1", "1.04 (1.04-1.04)", "1.30 (1.30-1.30)")
    assert (ours[-1], plain[-1], other[-1]) == ("", "CPU ≤ 1.05: met; time ≤ 1.05: missed", "")

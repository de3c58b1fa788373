from contextlib import contextmanager

import pytest

from bench.rivals import WrongAnswer
from bench.shard_house import house
from bench.shard_points import Round, check, measured, rows
from hotpath.shard.cli.bench.load import Taken
from hotpath.shard.cli.bench.ours import Ours


def taken(operations: int, cpu_s: float, server_s: float = 0.0) -> Round:
    return Round(Taken(1.0, cpu_s, [0.001] * operations), server_s)


def test_a_ratio_is_taken_within_the_round():
    ours, theirs = rows("read", {"ours": [taken(90, 0.0018, 0.009), taken(50, 0.001)],
                                 "theirs": [taken(100, 0.001), taken(50, 0.0005)]}, threads=4, least=0.95)
    assert ours[:5] == ("read", "ours", "4", "70", "0.95 (0.90-1.00)")
    assert ours[7:9] == ("20.0", "+10.0")
    assert ours[-1] == "≥ 0.95: met; CPU ≤ 15: met"
    assert (theirs[4], theirs[8], theirs[-1]) == ("1", "", "")


class Stale:
    """A contender that answers what was there before."""

    name = "stale"

    @contextmanager
    def client(self):
        yield self

    def get(self, key):
        return {"id": key, "likes": 0}

    def insert(self, key):
        pass

    update = delete = lambda self, *values: None

    def page(self, after):
        return 50


def test_another_answer_is_not_timed():
    with pytest.raises(WrongAnswer, match="stale"):
        check(Stale())


def test_both_do_the_work_they_are_charged_for(tmp_path):
    with house(tmp_path / "house", backend="embedded") as place:
        found = measured(place, ["crud"], threads=2, seconds=0.05, rounds=2)["crud"]
    assert [len(rounds) for rounds in found.values()] == [2, 2]
    assert next(iter(found)) == Ours.name
    assert all(one.taken.latencies_s for rounds in found.values() for one in rounds)
    assert not list(tmp_path.rglob("*.db")), "nothing stays"

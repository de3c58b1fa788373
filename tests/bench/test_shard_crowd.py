import sqlite3

from bench.shard_crowd import CLIENTS, Crowd, row_of
from bench.shard_house import house
from hotpath.shard import Cluster
from tests.waiting import wait_for

KEYS = 20 * CLIENTS


def test_a_crowd_knows_each_answer(tmp_path):
    with house(tmp_path / "house", backend="embedded", wait="60s") as place, Cluster.open(place.file) as cluster:
        crowd = Crowd(cluster, keys=KEYS, rate=2000)
        crowd.fill()
        with crowd.busy():
            wait_for(lambda: sum(len(one.at_s) for one in crowd.answers) > 500, "answers")
        assert (crowd.failed(), crowd.wrong(), crowd.differences()) == ([], [], [])
        assert len(crowd.took_s(0.0, float("inf"))) > 500

        # What would be a lost row, a stale one and a doubled one.
        key, other = sorted(crowd.rows[3])[:2]
        table = cluster.table("posts")
        table.delete(key)
        table.update(other, {"likes": 12345})
        assert sorted(crowd.differences()) == sorted([
            f"{key} is lost", f"{other} has 12345 likes, not {crowd.rows[3][other]}"])


def test_a_row_that_is_not_as_it_was_written_is_a_wrong_answer(tmp_path):
    with house(tmp_path / "house", backend="embedded", shards=1) as place, Cluster.open(place.file) as cluster:
        crowd = Crowd(cluster, keys=KEYS, rate=4000)
        crowd.fill()
        with sqlite3.connect(tmp_path / "house" / "data" / "s0.db") as file:
            file.execute("UPDATE posts SET title = 'another'")
        file.close()
        with crowd.busy():
            wait_for(crowd.wrong, "a wrong answer")
        assert "'another'" in crowd.wrong()[0]


def test_a_row_depends_on_its_key_alone():
    assert row_of(7, 1) == row_of(7, 1)
    assert row_of(7, 1)["author"] != row_of(8, 1)["author"]

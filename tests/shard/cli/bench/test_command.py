import json
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import mysql.connector
import pytest

from hotpath.shard import ReshardConflict
from hotpath.shard.cli.bench import command
from hotpath.shard.cli.bench.command import measure, summary, table
from hotpath.shard.cli.bench.load import Taken
from hotpath.shard.config import ShardConfig
from tests.shard.cli.screens import drawn


def taken(operations, cpu_s):
    return Taken(1.0, cpu_s, [0.001] * operations)


def test_the_ratio_is_taken_within_each_round():
    document = summary({"ours": [taken(90, 0.0018), taken(100, 0.002)],
                        "theirs": [taken(100, 0.001), taken(50, 0.0005)]}, mix="read", threads=16, backend="process")
    assert document == {
        "mix": "read", "backend": "process", "threads": 16, "rounds": 2, "ratio": pytest.approx(1.45),
        "ratio_min": 0.9, "ratio_max": 2.0, "cpu_us_above": pytest.approx(10.0),
        "contenders": [
            {"name": "ours", "ops_s": 95.0, "p50_ms": 1.0, "p99_ms": 1.0, "cpu_us": pytest.approx(20.0)},
            {"name": "theirs", "ops_s": 75.0, "p50_ms": 1.0, "p99_ms": 1.0, "cpu_us": pytest.approx(10.0)}]}
    lines = drawn(table(document), width=100).splitlines()
    assert lines[0] == "read, process, 16 threads, 2 rounds in turns"
    assert lines[2].split() == ["ours", "95", "1.00", "1.00", "20.0"]
    assert lines[4] == "1.45 × as fast as the bare driver (rounds: 0.90 to 2.00), +10.0 µs CPU each"


@pytest.mark.parametrize("mix", ["read", "write", "crud", "scan"])
def test_each_mix_is_measured_and_leaves_nothing(standing, mix):
    said = standing.run("bench", "--mix", mix, "--threads", "2", "--seconds", "0.1", "--json")
    assert said.status == 0, said.err
    document = json.loads(said.out)
    assert (document["mix"], document["threads"], document["backend"]) == (mix, 2, "embedded")
    assert all(one["ops_s"] > 0 for one in document["contenders"])
    assert not list(standing.data.glob("hotpath_bench*"))
    with closing(sqlite3.connect(standing.data / "s0.db")) as shard:
        assert shard.execute("SELECT name FROM sqlite_master WHERE name LIKE 'hotpath_bench%'").fetchall() == []


def test_beside_a_reshard_nothing_is_measured():
    moving = SimpleNamespace(topology=SimpleNamespace(moves=("one",)))
    house = SimpleNamespace(meta=SimpleNamespace(read=lambda: moving))
    with pytest.raises(ReshardConflict, match="a reshard runs"):
        measure(house, ShardConfig(), mix="read", threads=1, seconds=0.1)


def test_a_table_of_that_name_stays_its_owners(place):
    place.file.write_text(place.file.read_text().replace("  tags:", "  hotpath_bench:"))
    assert place.run("up").status == 0
    said = place.run("bench")
    assert said.status == 1
    assert "the table hotpath_bench is yours" in said.err


def test_what_the_rival_says_is_said(standing, monkeypatch):
    def refused(*args, **more):
        raise mysql.connector.Error("Too many connections")

    monkeypatch.setattr(command, "paired", refused)
    said = standing.run("bench", "--seconds", "0.1")
    assert said.status == 1
    assert said.err.endswith("Too many connections\n")
    assert "Traceback" not in said.err

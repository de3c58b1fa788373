import argparse

import pytest

from bench import locking
from bench.harness import BenchmarkError


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    locking.add_arguments(parser)
    return parser.parse_args(list(words))


def test_each_part_can_be_asked_for():
    assert options().parts.split(",") == list(locking.RUNS)
    with pytest.raises(BenchmarkError, match="no part 'all'"):
        locking.run(options("--parts", "all"))


def test_an_unknown_database_is_named():
    with pytest.raises(BenchmarkError, match="no backend 'oracle'"):
        locking.run(options("--parts", "overhead", "--backends", "oracle"))


def test_what_needs_two_locks_is_not_asked_of_sqlite(capsys):
    locking.run(options("--parts", "deadlocks", "--backends", "sqlite"))
    assert "sqlite" not in capsys.readouterr().out

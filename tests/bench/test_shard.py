import argparse

import pytest

from bench import shard
from bench.harness import BenchmarkError


def test_each_part_can_be_asked_for():
    parser = argparse.ArgumentParser()
    shard.add_arguments(parser)
    assert parser.parse_args([]).parts.split(",") == list(shard.RUNS)
    with pytest.raises(BenchmarkError, match="no part 'all'"):
        shard.run(parser.parse_args(["--parts", "all"]))

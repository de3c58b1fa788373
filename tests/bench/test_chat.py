import argparse

import pytest

from bench import chat, chat_gate, chat_memory
from bench.harness import BenchmarkError
from bench.processes import StartError


def options(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    chat.add_arguments(parser)
    return parser.parse_args(argv)


def test_all_parts_and_all_gateways_are_measured_without_a_word():
    found = options()
    assert found.parts.split(",") == list(chat.RUNS)
    assert found.gateways.split(";") == [chat_gate.OURS, *chat_gate.RIVALS]


def test_an_unknown_part_is_refused():
    with pytest.raises(BenchmarkError, match="no part 'x'"):
        chat.run(options("--parts", "x"))


def test_a_gateway_that_cannot_run_here_is_named():
    with pytest.raises(StartError, match="x: "):
        chat.contenders(options("--gateways", "hotpath;x"), chat_memory.MEASURED)


def test_each_part_takes_the_rivals_that_it_measures():
    assert chat.contenders(options("--gateways", "hotpath;socketify"), chat_memory.MEASURED) == ["hotpath"]

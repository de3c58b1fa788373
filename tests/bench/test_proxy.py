import argparse

from bench import proxy
from bench.harness import Sample
from bench.processes import Cpu
from bench.wrk import Load, Outcome


def options(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    proxy.add_arguments(parser)
    return parser.parse_args(argv)


def test_small_bodies_are_also_measured_pinned_and_paced():
    found = proxy.cells(options("--bodies", "64,64k", "--workers", "1,2", "--seconds", "2"))
    assert [str(cell) for cell in found] == [
        "1 · 64 B · busy", "1 · 64k B · busy", "1 · 64 B · pinned", "1 · 64 B · paced 4000/s",
        "2 · 64 B · busy", "2 · 64k B · busy"]


def test_the_base_has_ratio_one_and_the_others_their_own():
    cell = proxy.Cell(1, "64", "busy", Load())
    outcome = Outcome(1_000_000, 1e9, 0, 4.0, 1.0, 2.0, 0.0)
    taken = {"nginx": [Sample(outcome, Cpu(2.0, 8.0), 0.1)], "hotpath": [Sample(outcome, Cpu(1.0, 7.0), 0.2)]}
    assert proxy.rows(cell, taken, "nginx") == [
        ("1 · 64 B · busy", "nginx", "10.0", "2.0", "8.0", "", "1", "250,000", "1.00", "2.00", "0", "0.10"),
        ("1 · 64 B · busy", "hotpath", "8.0", "1.0", "7.0", "", "0.80 (0.80-0.80)", "250,000", "1.00", "2.00", "0",
         "0.20")]


def test_large_bodies_compare_by_the_byte():
    cell = proxy.Cell(1, "1m", "busy", Load())
    first = Sample(Outcome(1_000, 1e9, 0, 4.0, 1.0, 2.0, 0.0), Cpu(0.0, 1.0), 0.0)
    second = Sample(Outcome(500, 2e9, 0, 4.0, 1.0, 2.0, 0.0), Cpu(0.0, 1.0), 0.0)
    found = proxy.rows(cell, {"nginx": [first], "hotpath": [second]}, "nginx")
    assert [row[5:7] for row in found] == [("1000", "1"), ("500", "0.50 (0.50-0.50)")]

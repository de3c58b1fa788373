import argparse

import pytest

from bench import answers, proxy, quota, results, rivals, wrk
from bench.cells import Cell
from bench.harness import Sample
from bench.processes import Cpu
from bench.verdicts import Result
from bench.wrk import Outcome


def options(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    proxy.add_arguments(parser)
    return parser.parse_args(argv)


def test_cells_are_chosen_by_their_names():
    found = proxy.chosen(options("--only", "bodies, 1 worker: 64 B", "--only", "the same load"))
    assert [str(cell) for cell in found] == [
        "bodies, 1 worker: 64 B", "the same load: 4,000 requests/s", "the same load: 16,000 requests/s"]


def test_without_control_groups_the_cells_that_need_them_are_left_out(monkeypatch):
    monkeypatch.setattr(quota, "is_available", lambda: True)
    everything = proxy.chosen(options())
    monkeypatch.setattr(quota, "is_available", lambda: False)
    assert proxy.chosen(options()) == [cell for cell in everything if cell.quota_cpus is None]


def result(cell: Cell) -> Result:
    """Of two servers of which ours costs 0.8, and is 1.5 times slower."""
    first = Sample(Outcome(1_500_000, 1e9, 0, 4.0, 1.0, 2.0, 0.4), Cpu(3.0, 12.0), 0.1, 0.8)
    second = Sample(Outcome(1_000_000, 1e9, 1, 4.0, 1.0, 2.0, 0.4), Cpu(1.0, 7.0), 0.2, 0.8)
    return Result(cell, {"nginx": [first], "hotpath": [second]})


def test_the_base_has_ratio_one_and_the_others_their_own():
    base, ours = proxy.rows(result(Cell("bodies", "64 B")), "nginx")
    assert base[:6] == ("64 B", "nginx", "1", "1", "10.0 (2.0 + 8.0)", "")
    assert ours[:6] == ("64 B", "hotpath", "0.80 (0.80-0.80)", "**0.67**", "8.0 (1.0 + 7.0)", "")
    assert ours[6:] == ("250,000", "1.00", "2.00", "proxy", "2.00 · 0.10 · 0.20 · 0.20", "1")


def test_a_loss_stands_out():
    found = proxy.rows(result(Cell("bodies", "64 B")), "hotpath")
    assert found[0][2] == "**1.25 (1.25-1.25)**"


def test_large_bodies_compare_by_the_byte():
    found = proxy.rows(result(Cell("bodies", "1 MiB", body="1m")), "nginx")
    assert [row[2] for row in found] == ["1", "0.53 (0.53-0.53)"]
    assert [row[5] for row in found] == ["15000", "8000"]


def test_the_section_has_a_table_for_each_axis_and_the_verdicts_first():
    found = [result(Cell("bodies, 1 worker", "64 B")), result(Cell("bodies, 1 worker", "1 KiB")),
             result(Cell("the same CPU quota", "64 B", quota_cpus=0.4))]
    text = proxy.report(found, ["nginx", "hotpath"], proxy.COLUMNS, options())
    assert [line for line in text.splitlines() if line.startswith("###")] == [
        "### Goals", "### Bodies, 1 worker", "### The same CPU quota"]
    assert "0.4 CPUs" in text


def asked(url: str, load: wrk.Load, *, scratch, host) -> Outcome:
    """What wrk would do, by hand."""
    port = int(url.split(":")[2].partition("/")[0])
    trusted = scratch / "certificate" if url.startswith("https:") else None
    got = [answers.get(port, "/api/64", trusted=trusted) for _ in range(8)]
    assert {status for status, _ in got} == {200}
    return Outcome(len(got), 64.0 * len(got), 0, 1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("name", ["a connection for each request: both", "servers behind unix sockets: 64 B",
                                  "TLS to the client: 64 B", "the same CPU quota: 64 B"])
def test_a_cell_is_measured_with_all_rivals_and_their_logs_are_counted(name, monkeypatch):
    names = rivals.available()
    if not {"nginx", "haproxy"} <= set(names):
        pytest.skip("no nginx, no HAProxy")
    if "quota" in name and not quota.is_available():
        pytest.skip("no control groups, or not root")
    monkeypatch.setattr(wrk, "run", asked)
    cell, = [cell for cell in proxy.chosen(options()) if str(cell) == name]
    turns = []
    found = proxy.measure_cell(cell, names, 2, turns.append)
    assert turns == names * 2
    assert {name: len(samples) for name, samples in found.taken.items()} == dict.fromkeys(names, 2)


def test_all_is_named_without_measuring(capsys, monkeypatch):
    monkeypatch.setattr(results, "console", None)       # nothing may be measured
    proxy.run(options("--list", "--only", "16,000"))
    assert capsys.readouterr().out == "the same load: 16,000 requests/s\n"

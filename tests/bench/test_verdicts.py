from bench import verdicts
from bench.cells import Cell
from bench.harness import Sample
from bench.processes import Cpu
from bench.verdicts import Result
from bench.wrk import Load, Outcome

BASE = Cell("bodies, 1 worker", "64 B")


def sample(cpu_s: float, *, requests: int = 1_000_000, p99_ms: float = 2.0, errors: int = 0) -> Sample:
    return Sample(Outcome(requests, 1e9, errors, 4.0, 1.0, p99_ms, 0.0), Cpu(1.0, cpu_s - 1.0), 0.0)


def result(cell: Cell, ours: Sample, theirs: Sample) -> Result:
    return Result(cell, {"nginx": [theirs], "hotpath": [ours]})


def judged(*results: Result) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in verdicts.rows(results)}


def test_a_goal_that_is_reached_says_by_how_much():
    found = judged(result(BASE, sample(7.0), sample(10.0)))
    assert found["CPU per request, × nginx"] == ("bodies, 1 worker: 64 B", "≤ 0.80", "0.70 (0.70-0.70)", "met")
    assert found["user time per request, µs"][2:] == ("1.00 (1.00-1.00)", "met")
    assert found["CPU, × nginx, in every cell"] == ("1 cells", "≤ 1.00", "worst 0.70, 0 lost", "met")
    assert found["failed requests"][2:] == ("0", "met")
    assert "lost" not in found


def test_a_lost_cell_is_named_with_its_cause(monkeypatch):
    lost = result(Cell("bodies, 1 worker", "1 MiB", body="1m"), sample(12.0), sample(10.0))
    assert judged(lost)["lost"] == ("bodies, 1 worker: 1 MiB", "", "1.20 (1.20-1.20)", "cause not known")
    monkeypatch.setitem(verdicts.CAUSES, "bodies, 1 worker: 1 MiB", "two copies")
    assert judged(lost)["lost"][-1] == "two copies"
    assert judged(lost)["CPU per MB, × nginx"][-1] == "**missed**"
    assert judged(lost)["CPU, × nginx, in every cell"][-1] == "**missed**"


def test_throughput_is_a_goal_only_under_a_quota():
    slower, faster = sample(10.0, requests=1_000_000), sample(10.0, requests=1_250_000)
    assert "requests/s, × nginx" not in judged(result(BASE, faster, slower))
    limited = Cell("quota", "64 B", quota_cpus=0.4)
    assert judged(result(limited, faster, slower))["requests/s, × nginx"][-1] == "met"
    assert judged(result(limited, slower, faster))["requests/s, × nginx"][-1] == "**missed**"


def test_latency_is_a_goal_only_under_the_same_load():
    early, late = sample(10.0, p99_ms=1.0), sample(10.0, p99_ms=2.0)
    paced = Cell("load", "4,000/s", load=Load(pace_per_s=4000))
    assert judged(result(paced, early, late))["p99, × nginx"][-1] == "met"
    assert judged(result(paced, late, early))["p99, × nginx"][-1] == "**missed**"
    told = judged(result(BASE, late, early))
    assert "p99, × nginx" not in told
    assert told["p99, × nginx, each as fast as it can"] == (
        "1 cells", "", "above 1 in 1", "bodies, 1 worker: 64 B (2.00)")


def test_failed_requests_are_missed_goals():
    assert judged(result(BASE, sample(7.0, errors=3), sample(10.0)))["failed requests"][2:] == ("3", "**missed**")


def test_who_is_not_there_is_not_judged():
    found = judged(Result(BASE, {"nginx": [sample(10.0)]}))
    assert "CPU per request, × nginx" not in found
    assert found["CPU, × HAProxy"][0] == "0 cells"

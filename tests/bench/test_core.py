import json

import pytest

from bench import core, results

REPORT = json.dumps({"benchmarks": [
    {"group": "hash, 16 bytes", "name": "test_hash[mmh3]", "stats": {"median": 80e-9}},
    {"group": "hash, 16 bytes", "name": "test_hash[hotpath]", "stats": {"median": 40e-9}},
    {"group": None, "name": "test_alone", "stats": {"median": 1.5e-3}},
]})


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Beside the workers of pytest-xdist, pytest-benchmark measures nothing; what these tests start are not of them."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_a_report_is_read_by_group_and_contender():
    assert core.parse(REPORT) == {"hash, 16 bytes": {"mmh3": 80e-9, "hotpath": 40e-9}, "alone": {"alone": 1.5e-3}}


def test_our_row_comes_first_and_each_rival_has_the_ratio_to_us():
    slower = {"hash, 16 bytes": {"mmh3": 80e-9, "hotpath": 60e-9}, "alone": {"alone": 1.5e-3}}
    assert core.rows([core.parse(REPORT), slower]) == [
        ("hash, 16 bytes", "hotpath", "50 ns", ""),
        ("hash, 16 bytes", "mmh3", "80 ns", "0.62 (0.50-0.75)"),
        ("alone", "alone", "1.5 ms", "")]


@pytest.mark.parametrize(("seconds", "text"), [(2, "2 s"), (0.00123, "1.23 ms"), (4.5e-6, "4.5 µs"), (8e-8, "80 ns")])
def test_durations_carry_a_unit(seconds, text):
    assert results.duration(seconds) == text


def test_pytest_benchmark_is_run_and_read(tmp_path):
    source = tmp_path / "core_sample.py"
    source.write_text("import pytest\n"
                      "@pytest.mark.benchmark(group='length')\n"
                      "@pytest.mark.parametrize('who', ['hotpath', 'rival'])\n"
                      "def test_length(benchmark, who): assert benchmark(len, who) == len(who)\n")
    found = core.one_run([source], tmp_path / "report.json", 0.01)
    assert set(found) == {"length"}
    assert set(found["length"]) == {"hotpath", "rival"}
    assert all(seconds > 0 for seconds in found["length"].values())


def test_a_benchmark_that_fails_is_an_error_with_its_words(tmp_path):
    source = tmp_path / "core_sample.py"
    source.write_text("def test_wrong(benchmark): assert benchmark(int) == 1, 'wrong answer'\n")
    with pytest.raises(core.BenchmarkError, match="wrong answer"):
        core.one_run([source], tmp_path / "report.json", 0.01)

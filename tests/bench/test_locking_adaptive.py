from bench.locking_adaptive import row, run
from hotpath.locking.study.grid import Cell


def test_the_better_one_is_so_by_its_median():
    line = row("sqlite", Cell(4, 8, 10), {"optimistic": [100.0, 300.0, 320.0], "pessimistic": [200.0, 200.0, 200.0],
                                          "adaptive": [95.0, 240.0, 288.0]})
    assert line == ("sqlite", "4", "8", "10", "300", "200", "240", "0.90 (0.80-0.95)", "≥ 0.9: met")


def test_adaptive_runs_beside_the_others(tmp_path):
    line, = run("sqlite", f"sqlite:///{tmp_path / 'bench.db'}", [Cell(4, 2, 0)], seconds=1, rounds=2)
    assert all(int(rate.replace(",", "")) > 0 for rate in line[4:7])

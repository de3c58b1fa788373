import argparse

import pytest

from bench import locking_study
from bench.harness import BenchmarkError
from bench.locking_servers import BACKENDS, database
from hotpath import locking

SMALL = ("--rows=1,2", "--workers=2", "--work-ms=0", "--seconds=0.05", "--repeat=1")


def options(*words):
    parser = argparse.ArgumentParser()
    locking_study.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_database_answers(backend, tmp_path):
    with database(backend, tmp_path) as url:
        engine = locking.engine(url)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT 42").scalar() == 42
        engine.dispose()


def test_what_is_shipped_is_replaced_only_when_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locking_study, "SHIPPED", tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text("# Top\n\n## Measured\n\nNot yet.\n")
    locking_study.run(options("--backends=sqlite", *SMALL))
    assert list(tmp_path.iterdir()) == [readme]
    assert "commits per second" in capsys.readouterr().out
    locking_study.run(options("--backends=sqlite", "--write", *SMALL))
    assert (tmp_path / "sqlite" / "throughput.svg").exists()
    text = readme.read_text()
    assert text.startswith("# Top\n\n## Measured\n")
    assert "Not yet" not in text
    assert text.count("| SQLite ") == 1 + 2       # a crossing, and both ends


def test_an_unknown_backend_is_refused_before_anything_is_measured():
    with pytest.raises(BenchmarkError, match="no backend 'oracle': sqlite, mariadb, postgresql"):
        locking_study.run(options("--backends=sqlite,oracle", *SMALL))


def line(policy, rows, throughput, lost=0):
    return {"policy": policy, "rows": str(rows), "workers": "4", "work_ms": "0", "throughput": str(throughput),
            "commits": "200", "lost_updates": str(lost)}


def test_the_tables_hold_both_ends_and_what_the_naive_loses():
    lines = [line("naive", 1, 1000, 100), line("naive", 1, 2000, 50), line("atomic", 1, 3000),
             line("naive", 64, 10), line("naive", 4, 9)]
    summary = {"server": "S 1", "crossover": [{"workers": 4, "work_ms": 0, "conflict_prob": 0.25},
                                              {"workers": 4, "work_ms": 0, "conflict_prob": None}]}
    crossing, ends = locking_study.tables({"s": (summary, lines)})
    assert crossing == [["S 1", "4", "0", "at 25 %"], ["S 1", "4", "0", "nowhere"]]
    assert ends[:2] == [["S 1", "4", "0", "64", "10", "–", "–", "–", "–", "–", "0 %"],
                        ["S 1", "4", "0", "1", "1,500", "–", "–", "–", "–", "3,000", "38 %"]]

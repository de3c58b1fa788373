import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.locking.study import grid
from hotpath.locking.study.grid import POLICIES, Cell, Grid

DISTINCT = {"min_size": 1, "max_size": 4, "unique": True}


def parsed(*words):
    parser = argparse.ArgumentParser()
    grid.add_flags(parser)
    return parser.parse_args(words)


def test_the_defaults_are_the_contracts():
    given = parsed()
    assert given.rows == (1, 4, 16, 64, 256, 1024)
    assert given.workers == (1, 2, 4, 8, 16, 32)
    assert given.work_ms == (0, 1, 10)
    assert given.policies == ("naive", "optimistic", "pessimistic", "escalating", "adaptive", "atomic")
    assert (given.seconds, given.repeat) == (3, 3)


@pytest.mark.parametrize(("flag", "text", "value"), [
    ("rows", "4, 1", (4, 1)),
    ("workers", "256", (256,)),
    ("work_ms", "0,0.5,60000", (0, 0.5, 60000)),
    ("policies", "atomic,naive", ("atomic", "naive")),
    ("seconds", "0.25", 0.25),
    ("repeat", "1000", 1000),
])
def test_a_good_value_is_read(flag, text, value):
    assert getattr(parsed(f"--{flag.replace('_', '-')}", text), flag) == value


@pytest.mark.parametrize(("flag", "text"), [
    *((flag, text) for flag in ("rows", "workers", "work-ms", "policies", "seconds", "repeat")
      for text in ("", "x", "nan", "-1", "1e", "²")),
    ("rows", "0"), ("rows", "1000001"), ("rows", "1,,2"), ("rows", "1.5"), ("rows", "4,4"), ("rows", "9" * 5000),
    ("workers", "257"), ("work-ms", "60001"), ("work-ms", "inf"), ("work-ms", "1,1.0"), ("policies", "naive,naive"),
    ("policies", "Naive"), ("seconds", "0"), ("seconds", "3601"), ("repeat", "0"), ("repeat", "1001"),
])
def test_a_bad_value_is_refused_by_the_flags_name(flag, text, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(f"--{flag}={text}")
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"argument --{flag}: " in said
    assert "; allowed: " in said


@given(rows=st.lists(st.integers(1, 9), **DISTINCT), workers=st.lists(st.integers(1, 9), **DISTINCT),
       work_ms=st.lists(st.integers(0, 9), **DISTINCT), policies=st.lists(st.sampled_from(POLICIES), **DISTINCT),
       repeat=st.integers(1, 3))
def test_each_cell_comes_once(rows, workers, work_ms, policies, repeat):
    whole = Grid(tuple(rows), tuple(workers), tuple(work_ms), tuple(policies), 1.0, repeat)
    cells = list(whole.cells())
    assert sorted(cells) == sorted(Cell(n, w, ms) for n in rows for w in workers for ms in work_ms)
    assert len(whole) == len(cells) * len(policies) * repeat


@given(st.lists(st.sampled_from(POLICIES), **DISTINCT), st.integers(1, 3))
def test_the_plan_has_each_cell_as_often_as_said_and_in_it_optimistic_first(policies, repeat):
    whole = Grid((1, 2), (3,), (0,), tuple(policies), 1.0, repeat)
    order = [p for p in policies if p == "optimistic"] + [p for p in policies if p != "optimistic"]
    assert list(whole.plan()) == [(n, Cell(rows, 3, 0), policy) for n in range(1, repeat + 1) for rows in (1, 2)
                                  for policy in order]

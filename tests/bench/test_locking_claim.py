from itertools import count

import pytest

from bench.locking_claim import COLUMNS, CONTENDERS, Bare, Round, handed_out, rows, run
from bench.rivals import WrongAnswer
from hotpath import locking
from tests.locking.databases import engine, mariadb, postgresql, server, url  # noqa: F401   pytest finds them here


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def backend(request):
    return request.param


@pytest.mark.parametrize("name", CONTENDERS)
def test_each_hands_out_every_job_once(name, engine):       # noqa: F811
    measured = handed_out(CONTENDERS[name](engine), jobs=7, n=3, workers=2)
    assert measured.jobs == 7
    assert 3 <= len(measured.claims_s) <= 7


@pytest.fixture
def sqlite(tmp_path):
    opened = locking.engine(f"sqlite:///{tmp_path / 'bench.db'}")
    yield opened
    opened.dispose()


def test_one_that_hands_out_a_job_twice_is_not_measured(sqlite):
    class Twice(Bare):
        def take(self, owner, n):
            taken = super().take(owner, n)
            return [*taken, *taken]

    with pytest.raises(WrongAnswer, match="2 times"):
        handed_out(Twice(sqlite), jobs=4, n=2, workers=1)


def test_one_that_leaves_a_job_is_not_measured(sqlite):
    class Lazy(Bare):
        calls = count()

        def finish(self, job):
            return job[0] if next(self.calls) == 0 else super().finish(job)

    with pytest.raises(WrongAnswer, match="1 are left"):
        handed_out(Lazy(sqlite), jobs=4, n=2, workers=1)


def test_ours_is_held_to_its_goal_by_the_bare_loop_alone():
    fast, slow = [Round(100, 1.0, 0.1, [0.001, 0.002])], [Round(100, 2.0, 0.1, [0.001, 0.002])]
    assert rows("x", 10, {"hotpath": slow, "bare loop": fast, "bare loop, kept": fast}) == [
        ("x", "10", "hotpath", "50", "", "1,000", "1.00", "1.00", ""),
        ("x", "10", "bare loop", "100", "0.50 (0.50-0.50)", "1,000", "1.00", "1.00", "≥ 0.9: missed"),
        ("x", "10", "bare loop, kept", "100", "0.50 (0.50-0.50)", "1,000", "1.00", "1.00", "")]


def test_a_run_has_a_row_for_each_contender_and_question(tmp_path):
    found = run(tmp_path, rounds=1, jobs=6, workers=2, claims=(1, 3), backends=("sqlite",))
    assert [row[:3] for row in found] == [("sqlite", n, name) for n in ("1", "3") for name in CONTENDERS]
    assert {len(row) for row in found} == {len(COLUMNS)}

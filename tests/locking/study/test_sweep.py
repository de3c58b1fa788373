from statistics import fmean

import pytest
from sqlalchemy import inspect

from hotpath import locking
from hotpath.locking.study.grid import POLICIES, Cell, Grid
from hotpath.locking.study.sweep import Counters, sweep
from hotpath.locking.study.workers import Crew, Silent, StudyFailed
from tests.locking.databases import SERVERS, running
from tests.waiting import wait_for

SAFE = tuple(policy for policy in POLICIES if policy != "naive")


def tables(url):
    engine = locking.engine(url)
    names = inspect(engine).get_table_names()
    engine.dispose()
    return names


def swept(url, grid):
    with Crew(url, max(grid.workers)) as crew, Counters(url, max(grid.rows)) as counters:
        return list(sweep(grid, crew, counters))


def test_a_sweep_measures_each_policy_in_each_cell_and_the_sums_hold(url, backend):
    grid = Grid(rows=(1, 8), workers=(1, 3), work_ms=(1,), policies=POLICIES, seconds=0.1, repeat=1)
    lines = swept(url, grid)
    assert len(lines) == len(grid) == 24
    assert {(line.cell, line.policy) for line in lines} == {(cell, p) for cell in grid.cells() for p in POLICIES}
    for line in lines:
        assert (line.backend, line.repeat) == (backend, 1)
        assert line.attempts == line.commits + line.conflicts + line.deadlocks + line.timeouts + line.disconnects
        assert line.throughput == line.commits / line.seconds
        assert line.seconds >= 0.1
        if line.commits:        # on a busy machine a worker may not get its turn in so short a time
            assert line.p50_ms <= line.p99_ms
            assert line.fairness >= 1
            assert line.client_cpu_s > 0
    assert sum(line.commits for line in lines) > 0
    for line in lines:
        (optimistic,) = (one for one in lines if one.cell == line.cell and one.policy == "optimistic")
        assert line.conflict_prob == optimistic.failed_pct / 100
        if line.policy in SAFE:
            assert line.lost_updates == 0, line
        if line.workers == 1:
            assert (line.lost_updates, line.conflicts) == (0, 0), line


def test_on_one_row_the_naive_lose_and_the_optimistic_conflict(url):
    grid = Grid(rows=(1,), workers=(4,), work_ms=(5,), policies=("naive", "optimistic"), seconds=0.5, repeat=1)
    def collided():
        optimistic, naive = swept(url, grid)
        assert (optimistic.lost_updates, naive.conflicts, naive.policy) == (0, 0, "naive")
        assert naive.conflict_prob == optimistic.conflict_prob
        return naive.lost_updates > 0 and optimistic.conflicts > 0 and 0 < optimistic.wasted_pct < 100

    wait_for(collided, "a lost update and a conflict")


def test_pessimistic_work_takes_turns(url):
    """On one row the lock is held during the work: so many units cannot be done in less time."""
    grid = Grid(rows=(1,), workers=(4,), work_ms=(20,), policies=("pessimistic",), seconds=0.4, repeat=1)
    (line,) = swept(url, grid)
    assert line.commits * 0.020 <= line.seconds
    assert (line.lost_updates, line.conflicts, line.conflict_prob) == (0, 0, None)


def test_repeats_come_one_behind_the_other(tmp_path):
    grid = Grid(rows=(1, 2), workers=(1,), work_ms=(0,), policies=("atomic", "optimistic"), seconds=0.02, repeat=2)
    lines = swept(f"sqlite:///{tmp_path / 'it.db'}", grid)
    assert [(line.repeat, line.rows, line.policy) for line in lines] == [
        (repeat, rows, policy) for repeat in (1, 2) for rows in (1, 2) for policy in ("optimistic", "atomic")]


def test_no_table_stays_and_one_that_stayed_is_replaced(url, backend):
    with Counters(url, 2500) as left:
        assert tables(url) == ["hotpath_study_counters"]
        assert left.sum() == 0
        with Counters(url, 3) as counters:       # as after a study that was killed
            assert counters.sum() == 0
            assert counters.backend() == backend
            assert counters.server().split()[0].lower() == backend
            assert counters.server().split()[1][0].isdigit()
    assert tables(url) == []


def test_a_database_that_cannot_be_used_is_said_in_one_line(tmp_path):
    with pytest.raises(StudyFailed, match=r"^the database: unable to open database file: [^\n]*$"):
        Counters(f"sqlite:///{tmp_path / 'no' / 'it.db'}", 1).__enter__()


@pytest.mark.parametrize("backend", SERVERS)
def test_a_server_that_is_killed_ends_the_sweep_with_one_line(backend):
    grid = Grid(rows=(2,), workers=(2,), work_ms=(1,), policies=POLICIES, seconds=0.2, repeat=1)
    with running(backend) as server:
        url = server.new_url()
        with Crew(url, 2) as crew, Counters(url, 2) as counters:
            lines = sweep(grid, crew, counters)
            assert [next(lines).policy, next(lines).policy] == ["optimistic", "naive"]
            server.kill()
            with pytest.raises(StudyFailed, match=r"^(worker [01] \(pid \d+\)|the database): [^\n]+$"):
                next(lines)


def test_whoever_does_not_answer_is_not_asked_to_drop_a_table(tmp_path):
    url = f"sqlite:///{tmp_path / 'it.db'}"
    with pytest.raises(Silent), Counters(url, 1):
        raise Silent("worker 0 has not answered")
    assert tables(url) == ["hotpath_study_counters"]


def test_a_cell_takes_the_first_rows_alone(url):
    with Crew(url, 2) as crew, Counters(url, 10) as counters:
        def raise_them():
            crew.measure("atomic", Cell(rows=3, workers=2, work_ms=0), 0.2)
            return counters.sum() > 100

        wait_for(raise_them, "a hundred units")
        engine = locking.engine(url)
        with engine.connect() as connection:
            raised = [n for (n,) in connection.exec_driver_sql("SELECT n FROM hotpath_study_counters ORDER BY id")]
        engine.dispose()
        assert sum(raised) == counters.sum() > 0
    assert raised[3:] == [0] * 7
    assert min(raised[:3]) > 0.2 * fmean(raised[:3])        # each as likely as another

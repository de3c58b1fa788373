import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from hotpath import locking
from hotpath.locking.study import workers
from hotpath.locking.study.grid import Cell
from hotpath.locking.study.sweep import Counters
from hotpath.locking.study.workers import Crew, Order, StudyFailed, TimeIsUp, Until, obey
from tests.waiting import DEADLINE_S, is_alive, send_signal, wait_for

CELL = Cell(rows=3, workers=3, work_ms=1)


@pytest.fixture
def crew(url):
    """Four workers on a database that has counters."""
    with Crew(url, 4) as crew, Counters(url, 10):
        yield crew


def test_as_many_work_as_the_cell_says_and_all_from_the_start_to_the_end(crew):
    def measured():
        before_s = time.monotonic()
        seconds, tooks = crew.measure("optimistic", CELL, 0.2)
        assert seconds >= 0.2
        assert len(tooks) == 3
        for took in tooks:
            assert before_s + 0.2 <= took.ended_s <= time.monotonic()
            assert len(took.latency_s) == took.commits + took.gave_up
            assert took.wasted_s <= took.busy_s
        return all(took.commits and took.cpu_s for took in tooks)

    wait_for(measured, "each of them to commit")


def test_the_same_workers_measure_the_next_cell(crew):
    pids = crew.pids
    for policy in ("pessimistic", "atomic"):
        _, tooks = crew.measure(policy, Cell(rows=10, workers=4, work_ms=0), 0.05)
        assert len(tooks) == 4
    assert crew.pids == pids
    assert all(map(is_alive, pids))


def test_the_end_of_the_block_is_the_end_of_the_workers(url):
    with Crew(url, 3) as crew:
        pids = crew.pids
        assert all(map(is_alive, pids))
    assert not any(map(is_alive, pids))


def test_a_worker_that_is_killed_is_named(crew):
    os.kill(crew.pids[1], signal.SIGKILL)
    with pytest.raises(StudyFailed, match=rf"^worker 1 \(pid {crew.pids[1]}\) was killed by SIGKILL$"):
        crew.measure("optimistic", CELL, 0.2)


def test_a_worker_that_dies_in_the_middle_is_named(url, monkeypatch):
    def fatal(work_s):
        os._exit(7)

    monkeypatch.setattr("hotpath.locking.study.units.work", fatal)
    with Crew(url, 2) as crew, Counters(url, 10), pytest.raises(
            StudyFailed, match=r"^worker [01] \(pid \d+\) ended with 7$"):
        crew.measure("optimistic", Cell(rows=1, workers=2, work_ms=0), DEADLINE_S)     # the first unit ends it


def test_a_worker_that_says_nothing_is_named(crew, monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE_S", 0.1)
    send_signal(crew.pids[0], signal.SIGSTOP)
    with pytest.raises(StudyFailed, match=r"^worker 0 \(pid \d+\) has not answered for 0\.1 s$"):
        crew.measure("optimistic", Cell(1, 1, 0), 0.05)


def test_what_a_worker_could_not_do_is_said_in_one_line(url):
    with Crew(url, 1) as crew:       # there is no table
        with pytest.raises(StudyFailed, match=r"^worker 0 \(pid \d+\): .*hotpath_study_counters") as failed:
            crew.measure("optimistic", Cell(1, 1, 0), DEADLINE_S)
        assert "\n" not in str(failed.value)


def test_workers_do_not_outlive_whoever_started_them(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from hotpath.locking.study.workers import Crew
        crew = Crew("sqlite:///{tmp_path / 'it.db'}", 3)
        print(*crew.pids, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-P", "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pids = list(map(int, done.stdout.split()))
    assert len(pids) == 3
    wait_for(lambda: not any(map(is_alive, pids)), "the workers to end")


@pytest.fixture
def alone(tmp_path):
    """An engine with ten counters, to obey without a process."""
    url = f"sqlite:///{tmp_path / 'it.db'}"
    engine = locking.engine(url)
    with Counters(url, 10):
        yield engine
    engine.dispose()


def test_a_unit_that_ran_out_of_attempts_gave_up(alone, monkeypatch):
    def conflict(tx, key, work_s):
        raise locking.Conflict(key, 1, 2)

    class Twice(locking.Optimistic):
        def __init__(self):
            super().__init__(attempts=2, base=0.0, cap=0.0)

    monkeypatch.setitem(workers.WAYS, "optimistic", (conflict, Twice))

    def n_that_gave_up() -> int:
        took = obey(alone, Order("optimistic", CELL, 0.1, 0), start_s=time.monotonic())
        assert took.commits == 0
        assert took.gave_up == len(took.latency_s)
        # At most the last is cut off, behind its first attempt.
        assert took.conflicts - 2 * took.gave_up in (0, 1)
        return took.gave_up

    wait_for(n_that_gave_up, "a unit to give up")


def test_a_lost_connection_ends_the_study(alone, monkeypatch):
    def lost(tx, key, work_s):
        raise locking.Disconnected("gone")

    monkeypatch.setitem(workers.WAYS, "optimistic", (lost, lambda: locking.Optimistic(base=1e9, cap=1e9)))
    with pytest.raises(locking.Disconnected, match="gone"):      # its first wait would be longer than the time
        obey(alone, Order("optimistic", CELL, DEADLINE_S, 0), start_s=time.monotonic())


def test_beyond_the_end_nothing_is_tried_again():
    open_end = Until(locking.Pessimistic(attempts=3, base=0.0, cap=0.0), time.monotonic() + 3600)
    assert [open_end.wait_s(attempt) for attempt in (1, 2, 3)] == [0, 0, 0]
    assert open_end.locks(1)
    over = Until(locking.Optimistic(attempts=3), time.monotonic())
    with pytest.raises(TimeIsUp):
        over.wait_s(1)
    over.wait_s(3)      # was the last in any case: `run` raises its error

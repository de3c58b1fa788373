"""What C code does to tasks from a callback of the loop: start and wake them at once or in their turn."""
from pathlib import Path

import pytest

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Cancelled, current, spawn, timeout
from tests.core.cmodules import compiled
from tests.core.tasks.tasked import in_task, running_loop, spawned, step

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def c_face(tmp_path_factory):
    """The Cython module beside this file."""
    return compiled(HERE / "c_face.pyx", tmp_path_factory.mktemp("c_face"))


def in_hub(act):
    """Run `act` in a callback of a loop; what it raised, or what the test says, comes out here."""
    def callback():
        try:
            act(loop)
        except BaseException as error:
            failed.append(error)
        loop.stop()

    failed = []
    loop = Loop()
    loop.call_soon(callback)
    loop.run()
    loop.close()
    if failed:
        raise failed[0]


def test_a_task_started_at_once_runs_until_it_waits_and_a_resumed_one_until_it_waits_again(c_face):
    def act(loop):
        seen = []
        job = c_face.Job(seen)
        c_face.start_job_now(job)
        assert seen == ["begun"]
        assert c_face.resume_job(job, "one")
        assert seen == ["begun", "one"]
        assert c_face.resume_job(job, None)
        assert job.done
        assert job.result() == 2
        assert not c_face.resume_job(job, "late")
        assert not c_face.wake_job(job, "late")

    in_hub(act)


def test_a_task_that_is_done_may_be_started_again(c_face):
    def act(loop):
        seen = []
        job = c_face.Job(seen)
        for _ in range(3):
            c_face.start_job_now(job)
            with pytest.raises(RuntimeError, match="started before"):
                c_face.start_job(job)
            c_face.resume_job(job, None)
            assert job.done
        assert seen == ["begun"] * 3
        c_face.start_job_now(job)
        job.cancel()

    in_hub(act)


def test_one_that_was_cancelled_and_is_started_again_is_not_cancelled(c_face):
    def act(loop):
        job = c_face.Job([])
        c_face.start_job(job)
        job.cancel()
        assert job.cancelled
        c_face.start_job_now(job)
        assert not job.cancelled
        assert not job.done
        c_face.resume_job(job, None)
        assert job.result() == 1

    in_hub(act)


def test_what_a_task_raises_does_not_reach_the_callback_that_started_it(c_face, caplog):
    def act(loop):

        c_face.start_job_now(c_face.Job(None))      # None has no append

    in_hub(act)
    assert "AttributeError" in caplog.text


@in_task
def test_a_woken_task_runs_in_its_turn_with_its_value(c_face):
    seen = []
    job = c_face.Job(seen)
    c_face.start_job(job)
    assert seen == []
    step()
    assert c_face.wake_job(job, "value")
    assert not c_face.wake_job(job, "second")       # it is awake already
    assert seen == ["begun"]
    step()
    assert seen == ["begun", "value"]
    job.cancel()
    step()


@in_task
def test_only_a_callback_starts_at_once_and_resuming_from_a_task_is_waking(c_face):
    seen = []
    job = c_face.Job(seen)
    with pytest.raises(RuntimeError, match="only a callback"):
        c_face.start_job_now(job)
    c_face.start_job(job)
    step()
    assert c_face.resume_job(job, "value")
    assert seen == ["begun"]
    step()
    assert seen == ["begun", "value"]


def test_parking_in_a_callback_is_refused_and_changes_nothing(c_face):
    def act(loop):
        for call in (c_face.park_here, c_face.step_aside, c_face.me):
            with pytest.raises(RuntimeError, match="only a task"):
                call()

    in_hub(act)


@in_task
def test_a_cancelled_park_cannot_be_woken_any_more(c_face):
    seen = []

    def wait():
        try:
            c_face.park_here()
        except Cancelled:
            seen.append(c_face.park_here())

    task = spawned(wait)
    task.cancel()
    assert not c_face.wake_job(task, "too late")
    step()
    assert c_face.wake_job(task, "for the second")
    task.join()
    assert seen == ["for the second"]


@in_task
def test_whoever_is_cancelled_leaves_the_line_at_once(c_face):
    line, seen = c_face.Line(), []
    first, second, third = [spawned(lambda n=n: seen.append((n, line.wait()))) for n in range(3)]
    second.cancel()
    assert line.first("a")
    assert line.first("b")
    assert not line.first("c")
    for task in (first, second, third):
        task.join()
    assert seen == [(0, "a"), (2, "b")]


@in_task
def test_a_line_is_woken_as_a_whole_in_order(c_face):
    line, seen = c_face.Line(), []
    for n in range(3):
        spawned(lambda n=n: seen.append((n, line.wait())))
    line.all("go")
    step()
    assert seen == [(0, "go"), (1, "go"), (2, "go")]


@in_task
def test_a_task_resumed_from_the_hub_may_itself_spawn_wait_and_time_out(c_face):
    seen = []

    def body():
        seen.append(c_face.park_here())
        spawn(seen.append, "spawned").join()
        with pytest.raises(TimeoutError), timeout(0):
            c_face.park_here()
        seen.append(current() is c_face.me())

    task = spawned(body)
    running_loop().call_soon(c_face.resume_job, task, "hub")
    task.result()
    assert seen == ["hub", "spawned", True]

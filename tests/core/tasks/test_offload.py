"""Calls in threads: results and errors come back, no more run than agreed, nothing given up runs or is lost."""
import contextvars
import gc
import logging
import os
import sys
import threading
import traceback
import weakref

import pytest

from hotpath.core.tasks import Cancelled, Queue, current, offload, run, sleep, spawn, timeout, use_threads
from hotpath.core.tasks.offload import Threads
from tests.core.tasks.tasked import in_task, running_loop, spawned, step
from tests.waiting import DEADLINE_S, running, wait_for


@in_task
def test_a_call_runs_in_another_thread_and_its_result_comes_back():
    here = threading.get_ident()
    assert offload(threading.get_ident) != here
    assert offload(lambda a, *, b: (a, b), 1, b=2) == (1, 2)
    assert threading.get_ident() == here


@in_task
def test_an_error_is_raised_in_the_caller_with_the_traceback_of_the_thread():
    def fail():
        raise ValueError("in the thread")

    with pytest.raises(ValueError, match="in the thread") as caught:
        offload(fail)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-1] == "fail"
    with pytest.raises(SystemExit):
        offload(sys.exit, 3)


@in_task
def test_the_loop_goes_on_while_a_call_runs():
    begun, go_on = threading.Event(), threading.Event()

    def call():
        begun.set()
        return go_on.wait(DEADLINE_S)

    task = spawned(offload, call)
    while not begun.is_set():
        sleep(0.001)
    go_on.set()
    assert task.result() is True


@in_task
def test_many_tasks_get_each_its_own_result():
    tasks = [spawn(offload, lambda i=i: i * i) for i in range(500)]
    assert [task.result() for task in tasks] == [i * i for i in range(500)]


class Gate:
    """Calls that stay in their threads until opened, and are counted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.open = threading.Event()
        self.inside = self.most = self.begun = 0

    def __call__(self):
        with self.lock:
            self.begun += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(DEADLINE_S)
        with self.lock:
            self.inside -= 1

    def wait_begun(self, n):
        while self.begun < n:
            sleep(0.001)


@in_task
def test_no_more_calls_run_or_wait_than_agreed_and_the_callers_beyond_wait_their_turn():
    use_threads(2, waiting=3)
    gate = Gate()
    tasks = [spawn(offload, gate) for _ in range(20)]
    gate.wait_begun(2)
    step()
    assert gate.begun == 2
    gate.open.set()
    for task in tasks:
        task.result()
    assert gate.begun == 20
    assert gate.most <= 2


@in_task
def test_a_call_that_has_not_begun_is_dropped_with_its_task():
    use_threads(1, waiting=1)
    gate, seen = Gate(), []
    first = spawned(offload, gate)
    gate.wait_begun(1)
    second = spawned(offload, seen.append, "second")
    third = spawned(offload, seen.append, "third")
    second.cancel()
    step()
    assert second.done
    gate.open.set()
    first.result()
    third.result()
    assert seen == ["third"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_under_way_is_let_finish_its_result_thrown_away_and_its_error_logged(fails, caplog):
    finished = []

    @in_task
    def body():
        use_threads(1)
        gate = Gate()

        def call():
            gate()
            finished.append(1)
            if fails:
                raise ValueError("too late")

        task = spawned(offload, call)
        gate.wait_begun(1)
        with pytest.raises(TimeoutError), timeout(0.001):
            task.join()
        task.cancel()
        task.join()
        assert task.cancelled
        gate.open.set()
        assert offload(str, "the thread is free again") == "the thread is free again"
        step()

    body()
    assert finished == [1]
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(logged) == fails


@in_task
def test_a_late_call_raises_timeout_in_its_block():
    gate = Gate()
    with pytest.raises(TimeoutError), timeout(0.001):
        offload(gate)
    gate.open.set()


VALUE = contextvars.ContextVar("VALUE")


@in_task
def test_a_call_sees_the_context_of_its_caller_and_does_not_change_it():
    VALUE.set("caller")
    assert offload(VALUE.get) == "caller"
    offload(VALUE.set, "thread")
    assert VALUE.get() == "caller"


@in_task
def test_a_thread_that_waits_keeps_nothing_of_its_last_call():
    class Thing:
        pass

    def gone():
        gc.collect()
        return seen() is None

    seen = weakref.ref(offload(Thing))
    while not gone():
        sleep(0.001)


@in_task
def test_only_a_task_may_call_and_nothing_is_begun_otherwise():
    seen = Queue()

    def callback():
        assert current() is None
        with pytest.raises(RuntimeError, match="only a task"):
            offload(seen.put_nowait, "never")
        seen.put_nowait("done")

    running_loop().call_soon(callback)
    assert seen.get() == "done"


@in_task
def test_threads_that_the_system_refuses_are_made_later(monkeypatch):
    def refused(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        for _ in range(400):        # more than there is room for
            with pytest.raises(RuntimeError, match="can't start"):
                offload(int)
    assert offload(int) == 0


@in_task
def test_threads_are_agreed_before_they_are_used():
    use_threads(1)
    with pytest.raises(RuntimeError, match="already"):
        use_threads(2)
    with pytest.raises(ValueError, match="at least"):
        Threads(running_loop(), threads=0)


def count():
    return sum(thread.name.startswith("offload-") for thread in threading.enumerate())


def test_threads_end_with_their_loop():
    run(lambda: [offload(int) for _ in range(3)])
    wait_for(lambda: count() == 0, "the threads to end")


def test_what_waits_in_a_thread_at_the_close_does_not_hold_the_loop_up():
    gate = Gate()

    def main():
        task = spawned(offload, gate)
        gate.wait_begun(1)
        return task

    task = run(main)
    assert task.cancelled
    gate.open.set()
    wait_for(lambda: count() == 0, "the threads to end")


def test_a_process_ends_although_a_thread_is_still_at_work():
    code = ("from hotpath.core.tasks import *\nimport threading\n"
            "def main():\n    spawn(offload, threading.Event().wait)\n    sleep(0.01)\n"
            "run(main)\nprint('ended')")
    with running([sys.executable, "-P", "-c", code]) as process:
        assert process.wait() == 0
        assert "ended" in process.output


def test_after_a_fork_the_child_has_threads_of_its_own():
    def main():
        offload(int)
        child = os.fork()
        if child == 0:
            try:
                os._exit(run(offload, int, "7"))
            finally:
                os._exit(1)
        return offload(os.waitpid, child, 0)

    _, status = run(main)
    assert os.waitstatus_to_exitcode(status) == 7


@in_task
def test_a_cancel_while_waiting_for_room_takes_no_room():
    use_threads(1, waiting=0)
    gate = Gate()
    first = spawned(offload, gate)
    waiting = [spawned(offload, int) for _ in range(3)]
    for task in waiting[:2]:
        task.cancel()
        task.join()
    gate.open.set()
    first.result()
    assert waiting[2].result() == 0
    current().cancel()
    with pytest.raises(Cancelled):
        offload(int)

"""Tasks end in every way a function can, and wait where they say; no error and no wake-up is lost."""
import contextvars
import gc
import logging
import os
import signal
import threading
import time

import greenlet
import pytest

from hotpath.core.errors import Cancelled, HotpathError, TaskCancelled
from hotpath.core.tasks import Event, Queue, Semaphore, current, run, sleep, spawn, timeout
from tests.core.tasks.tasked import in_task, running_loop, spawned, step


class Failure(Exception):
    pass


def fail():
    raise Failure


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# Ends

@in_task
def test_a_result_is_what_the_function_returned():
    task = spawn(lambda a, b: a + b, 1, 2)
    assert not task.done
    assert task.result() == 3
    assert task.done
    assert not task.cancelled
    assert task.result() == 3


@in_task
def test_a_result_raises_what_the_function_raised_and_then_nothing_is_logged(caplog):
    task = spawn(fail)
    with pytest.raises(Failure) as caught:
        task.result()
    assert "fail" in [frame.name for frame in caught.traceback]
    del task, caught
    gc.collect()
    assert not errors(caplog)


@in_task
def test_an_error_that_nobody_asks_for_is_logged_with_the_name_of_its_task(caplog):
    spawned(fail)
    gc.collect()
    assert errors(caplog) == ["task=fail raised"]
    spawn(fail, name="number 7").join()
    gc.collect()
    assert errors(caplog)[1:] == ["task=number 7 raised"]


def test_an_error_whose_task_is_kept_but_never_asked_is_logged_when_the_loop_closes(caplog):
    kept = []
    run(lambda: kept.append(spawned(fail)))
    assert errors(caplog) == ["task=fail raised"]
    kept.clear()
    gc.collect()
    assert len(errors(caplog)) == 1


@in_task
def test_a_cancelled_task_is_silent_and_has_no_result(caplog):
    task = spawned(sleep, 1000)
    assert task.cancel()
    assert not task.done
    task.join()
    assert task.cancelled
    assert not task.cancel()
    with pytest.raises(TaskCancelled):
        task.result()
    assert issubclass(TaskCancelled, HotpathError)
    assert not errors(caplog)


@in_task
def test_a_task_cancelled_before_it_began_never_does():
    began = []
    task = spawn(began.append, 1)
    assert task.cancel()
    assert task.done
    step()
    assert not began
    with pytest.raises(TaskCancelled):
        task.result()


@in_task
def test_a_cancel_passes_by_those_who_catch_exceptions():
    passed = []

    def stubborn():
        try:
            sleep(1000)
        except Exception:
            passed.append("Exception")
        finally:
            passed.append("finally")

    task = spawned(stubborn)
    task.cancel()
    task.join()
    assert passed == ["finally"]
    assert task.cancelled


@in_task
def test_a_task_may_refuse_to_be_cancelled():
    def refuse():
        try:
            sleep(1000)
        except Cancelled:
            step()
            return "refused"

    task = spawned(refuse)
    task.cancel()
    assert task.result() == "refused"
    assert not task.cancelled


@in_task
def test_each_cancel_is_raised_once():
    raised = []

    def note():
        for _ in range(3):
            try:
                sleep(0.001)
            except Cancelled:
                raised.append(1)

    task = spawned(note)
    task.cancel()
    task.cancel()
    task.join()
    assert len(raised) == 1


@in_task
def test_a_task_that_cancels_itself_stops_at_its_next_wait():
    seen = []

    def suicide():
        current().cancel()
        seen.append("after")
        sleep(1000)
        seen.append("never")

    task = spawn(suicide)
    task.join()
    assert seen == ["after"]
    assert task.cancelled


@in_task
def test_many_may_wait_for_one_task_and_go_on_in_order():
    seen = []
    release = Event()
    task = spawned(release.wait)
    for i in range(3):
        spawned(lambda i=i: (task.join(), seen.append(i)))
    release.set()
    task.join()
    step()
    assert seen == [0, 1, 2]


@in_task
def test_a_task_cannot_wait_for_itself():
    with pytest.raises(RuntimeError, match="itself"):
        current().join()


@in_task
def test_a_waiting_task_lives_although_nobody_refers_to_it():
    event, seen = Event(), []

    def wait():
        event.wait()
        seen.append(current().name)

    spawned(wait)
    gc.collect()
    event.set()
    step()
    assert seen == [f"{wait.__qualname__}"]


def test_run_returns_or_raises_what_the_function_does_and_cancels_the_rest():
    ended = []

    def rest():
        try:
            sleep(1000)
        finally:
            ended.append(current().name)

    def main(value):
        spawned(rest)
        return value

    assert run(main, 7) == 7
    assert len(ended) == 1
    with pytest.raises(Failure):
        run(fail)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_comes_out_of_run(kind, caplog):
    ended = []

    def other():
        try:
            sleep(1000)
        finally:
            ended.append(1)

    def end():
        raise kind

    def main():
        spawned(other)
        spawned(end)
        sleep(1000)

    with pytest.raises(kind):
        run(main)
    assert ended == [1]
    assert not errors(caplog)


def test_ctrl_c_reaches_the_loop_while_its_tasks_wait():
    with pytest.raises(KeyboardInterrupt):
        run(lambda: (os.kill(os.getpid(), signal.SIGINT), sleep(1000)))


@in_task
def test_a_signal_handler_of_the_loop_may_cancel_a_task():
    task = spawned(sleep, 1000)
    loop = running_loop()
    loop.on_signal(signal.SIGUSR1, task.cancel)
    os.kill(os.getpid(), signal.SIGUSR1)
    task.join()
    assert task.cancelled


# Where one may wait

@in_task
def test_a_callback_of_the_loop_must_not_wait():
    seen = Queue()

    def callback():
        assert current() is None
        for wait in (lambda: sleep(1), lambda: sleep(0), Event().wait, Semaphore(0).acquire, Queue().get,
                     timeout(1).__enter__, other.join, other.result):
            with pytest.raises(RuntimeError, match="only a task can wait"):
                wait()
        seen.put_nowait("done")

    other = spawned(sleep, 1000)
    running_loop().call_soon(callback)
    assert seen.get() == "done"


def test_without_a_loop_nothing_can_be_spawned_or_waited_for():
    assert current() is None
    for call in (lambda: spawn(print), lambda: sleep(1), Event().wait):
        with pytest.raises(RuntimeError, match="no loop runs"):
            call()


@in_task
def test_another_thread_has_no_task():
    found = []
    thread = threading.Thread(target=lambda: found.append(current()))
    thread.start()
    thread.join()
    assert found == [None]
    assert current() is not None


def test_a_loop_within_a_task_is_a_world_of_its_own():
    def inner():
        assert current().name.endswith("inner")
        sleep(0.001)
        return "inner"

    def outer():
        task = current()
        assert run(inner) == "inner"
        assert current() is task
        sleep(0)
        return "outer"

    assert run(outer) == "outer"


@in_task
def test_a_greenlet_of_somebody_else_may_wait_within_a_task():
    seen = []
    event = Event()

    def inside():
        event.wait()
        seen.append("woken")
        return "back"

    def outside():
        seen.append(greenlet.greenlet(inside).switch())

    task = spawned(outside)
    event.set()
    task.join()
    assert seen == ["woken", "back"]



# Order

@in_task
def test_tasks_run_in_the_order_they_were_spawned_and_take_turns():
    seen = []

    def note(name):
        for _ in range(3):
            seen.append(name)
            sleep(0)

    for task in [spawn(note, name) for name in "abc"]:
        task.join()
    assert seen == list("abc") * 3


@in_task
def test_tasks_that_wake_each_other_for_ever_starve_neither_timers_nor_the_rest():
    def spin():
        while True:
            sleep(0)

    spinning = [spawn(spin) for _ in range(3)]
    sleep(0.002)
    for task in spinning:
        task.cancel()
        task.join()


@in_task
def test_a_sleep_is_not_short():
    for delay_s in (0.0, 0.001, 0.0042):
        began_s = time.monotonic()
        sleep(delay_s)
        assert time.monotonic() - began_s >= delay_s - 1e-5



# Context

VALUE = contextvars.ContextVar("VALUE", default="none")


@in_task
def test_each_task_has_its_own_copy_of_the_context_it_was_spawned_in():
    VALUE.set("parent")
    seen = []

    def child(name):
        seen.append(VALUE.get())
        VALUE.set(name)
        sleep(0)
        seen.append(VALUE.get())

    first, second = spawn(child, "a"), spawn(child, "b")
    VALUE.set("later")
    first.join()
    second.join()
    assert seen == ["parent", "parent", "a", "b"]
    assert VALUE.get() == "later"
    spawned(lambda: seen.append(VALUE.get()))
    assert seen[-1] == "later"


@in_task
def test_the_exception_being_handled_belongs_to_its_task():
    import sys
    seen = []

    def handle(error):
        try:
            raise error
        except Exception:
            sleep(0)
            seen.append(sys.exc_info()[1])

    one, two = ValueError(), KeyError()
    first, second = spawn(handle, one), spawn(handle, two)
    first.join()
    second.join()
    assert seen == [one, two]
    assert sys.exc_info()[1] is None

"""Tasks end in every way a function can, wait where they say, and are told once: no error, wake-up or cancel is lost."""
import contextvars
import gc
import logging
import os
import signal
import threading
import time
import weakref

import greenlet
import pytest

from hotpath.core import tasks
from hotpath.core.errors import Cancelled, HotpathError, TaskCancelled
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event, Queue, Semaphore, Task, current, run, sleep, spawn, timeout
from tests.core.tasks.tasked import in_task, spawned, step


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
    loop = tasks.task.kept_by_loop("loop", Kept).loop
    loop.on_signal(signal.SIGUSR1, task.cancel)
    os.kill(os.getpid(), signal.SIGUSR1)
    task.join()
    assert task.cancelled


class Kept:
    """What keeps a loop at hand for a test."""

    def __init__(self, loop):
        self.loop = loop

    def close(self):
        pass


# Closing

def test_closing_the_loop_runs_each_finally_and_whatever_waits_there_is_cancelled_again():
    seen = []

    def wait(name):
        try:
            sleep(1000)
        finally:
            seen.append(name)
            try:
                sleep(0)
            finally:
                seen.append(f"{name} again")

    loop = Loop()
    loop.call_soon(spawn, wait, "a")
    loop.call_soon(spawn, wait, "b")
    loop.call_later(0.001, loop.stop)
    loop.run()
    loop.close()
    assert seen == ["a", "a again", "b", "b again"]


def test_each_wait_raises_cancelled_when_the_loop_closes():
    seen = []

    def wait(call):
        try:
            call()
        except BaseException as error:
            seen.append(type(error))
            raise

    def main():
        for call in (lambda: sleep(1000), Event().wait, Queue().get, lambda: spawn(sleep, 1000).join()):
            spawned(wait, call)

    run(main)
    assert seen == [Cancelled] * 4


def test_the_loop_is_closed_to_the_end_although_a_task_wants_to_end_the_process_meanwhile():
    seen = []

    def wait():
        try:
            sleep(1000)
        finally:
            seen.append(1)
            raise KeyboardInterrupt

    def main():
        spawned(wait)
        spawned(wait)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert seen == [1, 1]


def test_a_task_that_never_began_is_dropped_at_the_close():
    seen = []
    loop = Loop()
    loop.call_soon(loop.stop)
    loop.call_soon(spawn, seen.append, 1)
    loop.run()
    loop.close()
    assert not seen


def test_nothing_is_spawned_while_the_loop_closes():
    seen = []

    def wait():
        try:
            sleep(1000)
        finally:
            try:
                spawn(print)
            except RuntimeError as error:
                seen.append(str(error))

    run(lambda: spawned(wait))
    assert seen == ["the loop is closing"]


def test_a_task_that_swallows_every_cancel_does_not_keep_the_loop_from_closing(caplog):
    def never():
        while True:
            try:
                sleep(1000)
            except Cancelled:
                pass

    run(lambda: spawned(never))
    assert ["never ends" in message for message in errors(caplog)] == [True]


def test_a_loop_dropped_unclosed_lets_its_tasks_go():
    ended = []

    class Local:
        pass

    def wait():
        local = Local()
        refs.append(weakref.ref(local))
        try:
            Event().wait()
        finally:
            ended.append(1)

    refs = []
    loop = Loop()
    loop.call_soon(spawn, wait)
    loop.call_later(0.001, loop.stop)
    loop.run()
    del loop
    gc.collect()
    assert ended == [1]
    assert refs[0]() is None


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
    tasks.task.kept_by_loop("loop", Kept).loop.call_soon(callback)
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


# Timeouts

@in_task
def test_a_timeout_is_raised_where_the_block_waits():
    with timeout(0.001):
        try:
            sleep(1000)
        except TimeoutError as error:
            assert "0.001 s" in str(error)
            return
    raise AssertionError


@in_task
def test_a_block_in_time_is_never_told_afterwards():
    with timeout(0.002):
        sleep(0)
    sleep(0.005)


@in_task
def test_no_time_at_all_is_raised_at_the_first_wait_but_not_before():
    seen = []
    with pytest.raises(TimeoutError), timeout(0):
        seen.append("in")
        sleep(0)
        seen.append("never")
    with timeout(0):
        seen.append("no wait")
    sleep(0)
    assert seen == ["in", "no wait"]


@in_task
def test_no_timeout_is_none():
    with timeout(None):
        sleep(0.001)


@in_task
def test_an_inner_timeout_leaves_the_outer_block_alone():
    with timeout(1000):
        with pytest.raises(TimeoutError), timeout(0.001):
            sleep(1000)
        sleep(0)
        with pytest.raises(TimeoutError), timeout(0.001):
            sleep(1000)


@in_task
def test_nobody_inside_takes_an_outer_timeout_for_the_inner_one():
    taken = []
    with pytest.raises(TimeoutError, match=r"0\.001 s") as caught, timeout(0.001):
        try:
            with timeout(500):
                sleep(1000)
        except (TimeoutError, OSError):
            taken.append("inner")
    assert not taken
    assert caught.value.__cause__.__class__ is Cancelled
    sleep(0)


@in_task
def test_of_two_timeouts_at_once_the_outer_one_counts():
    outer, inner = timeout(1000), timeout(500)
    with pytest.raises(TimeoutError, match="1000 s"), outer:
        with inner:
            inner._expire()
            outer._expire()
            sleep(0)
    sleep(0)


@in_task
def test_a_timeout_can_be_used_again_but_not_within_itself():
    limit = timeout(0.001)
    for _ in range(2):
        with pytest.raises(TimeoutError), limit:
            sleep(1000)
    with limit, pytest.raises(RuntimeError, match="entered already"), limit:
        pass


@in_task
def test_a_timeout_that_comes_after_the_wake_up_in_the_same_turn_is_not_raised():
    limit, event, seen = timeout(1000), Event(), []

    def wait():
        with limit:
            event.wait()
        sleep(0)
        seen.append("in time")

    task = spawned(wait)
    event.set()
    limit._expire()
    task.result()
    assert seen == ["in time"]


@in_task
def test_a_timeout_that_comes_after_the_wake_up_is_raised_at_the_next_wait_of_its_block():
    limit, queue, seen = timeout(1000), Queue(), []

    def wait():
        with limit:
            seen.append(queue.get())
            queue.get()

    task = spawned(wait)
    queue.put("kept")
    limit._expire()
    with pytest.raises(TimeoutError):
        task.result()
    assert seen == ["kept"]


@in_task
def test_a_wake_up_that_comes_after_the_timeout_goes_to_somebody_else():
    limit, queue = timeout(1000), Queue()

    def wait():
        with limit:
            return queue.get()

    task = spawned(wait)
    limit._expire()
    queue.put("for another")
    with pytest.raises(TimeoutError):
        task.result()
    assert queue.get() == "for another"


@in_task
def test_a_cancel_after_the_wake_up_waits_for_the_next_wait():
    queue, seen = Queue(), []

    def wait():
        seen.append(queue.get())
        seen.append(queue.get())

    task = spawned(wait)
    queue.put("kept")
    task.cancel()
    task.join()
    assert task.cancelled
    assert seen == ["kept"]


@pytest.mark.parametrize("first", ["cancel", "timeout"])
def test_of_a_cancel_and_a_timeout_at_once_the_cancel_is_raised(first):
    @in_task
    def body():
        limit, seen = timeout(1000), []

        def wait():
            try:
                with limit:
                    sleep(1000)
            except BaseException as error:
                seen.append(type(error))
                raise

        task = spawned(wait)
        if first == "cancel":
            task.cancel()
            limit._expire()
        else:
            limit._expire()
            task.cancel()
        task.join()
        assert task.cancelled
        assert seen == [Cancelled]

    body()


@in_task
def test_a_timeout_bounds_the_clean_up_after_a_cancel_too():
    limit = timeout(1000)

    def wait():
        with limit:
            try:
                sleep(1000)
            finally:
                sleep(1000)

    task = spawned(wait)
    task.cancel()
    step()
    limit._expire()
    with pytest.raises(TimeoutError):
        task.result()


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


# Memory

def count():
    gc.collect()
    return sum(isinstance(thing, (greenlet.greenlet, Task)) for thing in gc.get_objects())


@in_task
def test_ten_thousand_spawned_and_cancelled_leave_nothing():
    def wait():
        with timeout(1000):
            Event().wait()

    for n in (500, 9500):
        for _ in range(n // 100):
            batch = [spawn(wait) for _ in range(100)]
            step()
            for task in batch:
                task.cancel()
            for task in batch:
                task.join()
        del batch, task
        if n == 500:
            before = count()
    assert count() <= before + 2


def test_no_greenlet_outlives_its_loop():
    before = count()

    def main():
        for _ in range(300):
            spawn(sleep, 1000)
        step()
        for _ in range(300):
            spawn(sleep, 0)
        step()

    run(main)
    assert count() <= before


@in_task
def test_a_task_that_is_done_keeps_neither_its_arguments_nor_its_context():
    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    task = spawn(lambda thing: None, thing)
    del thing
    task.join()
    assert seen() is None

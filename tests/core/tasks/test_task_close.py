"""A loop that ends takes its tasks along: each `finally` runs, and nothing stays in memory."""
import gc
import logging
import weakref
from contextlib import suppress

import greenlet
import pytest

from hotpath.core.errors import Cancelled
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event, Queue, Task, run, sleep, spawn, timeout
from tests.core.tasks.tasked import in_task, spawned, step


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


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
            with suppress(Cancelled):
                sleep(1000)

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

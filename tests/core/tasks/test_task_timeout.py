"""A timeout is raised in its own block and nowhere else, whatever else happens in that turn."""

import pytest

from hotpath.core.errors import Cancelled
from hotpath.core.tasks import Event, Queue, sleep, timeout
from tests.core.tasks.tasked import in_task, spawned, step


@in_task
def test_a_timeout_is_raised_where_the_block_waits():
    with timeout(0.001), pytest.raises(TimeoutError, match=r"0\.001 s"):
        sleep(1000)


@in_task
def test_a_block_in_time_is_never_told_afterwards():
    with timeout(0.002):
        sleep(0)
    sleep(0.005)


@in_task
def test_no_time_at_all_is_raised_at_the_first_wait_but_not_before():
    seen = []

    def wait():
        with timeout(0):
            seen.append("in")
            sleep(0)
            seen.append("never")

    with pytest.raises(TimeoutError):
        wait()
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

    def wait():
        with timeout(0.001):
            try:
                with timeout(500):
                    sleep(1000)
            except (TimeoutError, OSError):
                taken.append("inner")

    with pytest.raises(TimeoutError, match=r"0\.001 s") as caught:
        wait()
    assert not taken
    assert caught.value.__cause__.__class__ is Cancelled
    sleep(0)


@in_task
def test_of_two_timeouts_at_once_the_outer_one_counts():
    outer, inner = timeout(1000), timeout(500)

    def wait():
        with outer, inner:
            inner._expire()
            outer._expire()
            sleep(0)

    with pytest.raises(TimeoutError, match="1000 s"):
        wait()
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

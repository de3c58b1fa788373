"""Permits and items go from hand to hand, first come first served; against a plain model, with cancels and timeouts."""
import gc
import queue
import sys
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.tasks import Cancelled, Event, Lock, Queue, Semaphore, current, run, spawn, timeout
from tests.core.tasks.tasked import in_task, spawned, step


class Model:
    """Who waits, in order, and what has come out: what the real thing must show."""

    def __init__(self):
        self.waiting = deque()      # names
        self.out = []               # (name, what)

    def leave(self, name, how):
        if name in self.waiting:
            self.waiting.remove(name)
            self.out.append((name, how))


class Crew:
    """Tasks that each do one waiting call, and note how it ended."""

    def __init__(self):
        self.tasks = {}
        self.limits = {}
        self.out = []

    def do(self, name, call):
        def wait():
            try:
                with limit:
                    self.out.append((name, call()))
            except TimeoutError:
                self.out.append((name, "late"))
            except Cancelled:
                self.out.append((name, "cancelled"))
                raise

        limit = self.limits[name] = timeout(1000)
        self.tasks[name] = spawned(wait)

    def cancel(self, name):
        if name in self.tasks:
            self.tasks[name].cancel()

    def expire(self, name):
        if name in self.tasks and not self.tasks[name].done:
            self.limits[name]._expire()


NAMES = st.integers(0, 12)
STOPS = [st.tuples(st.sampled_from(["cancel", "expire"]), NAMES)]


def stop(model, crew, act, name):
    """The model and the real thing stop a waiting task."""
    model.leave(name, {"cancel": "cancelled", "expire": "late"}[act])
    late = (name, "late")
    if act == "cancel" and late in model.out and late not in crew.out:
        # It has not heard of its deadline yet, and a cancel is not lost.
        model.out[model.out.index(late)] = (name, "cancelled")
    getattr(crew, act)(name)


@given(st.integers(0, 3), st.lists(st.one_of(st.just(("acquire", 0)), st.just(("release", 0)), *STOPS), max_size=40))
@settings(deadline=None)
def test_a_semaphore_does_what_a_counter_with_a_line_does(permits, acts):
    @in_task
    def body():
        semaphore, crew, model, free = Semaphore(permits), Crew(), Model(), permits
        for n, (act, name) in enumerate(acts):
            if act == "acquire":
                if free > 0:
                    free -= 1
                    model.out.append((n, None))
                else:
                    model.waiting.append(n)
                crew.do(n, semaphore.acquire)
            elif act == "release":
                if model.waiting:
                    model.out.append((model.waiting.popleft(), None))
                else:
                    free += 1
                semaphore.release()
            else:
                stop(model, crew, act, name)
            if n % 3 == 0:      # now and then several things happen before anybody runs
                step()
                assert sorted(map(str, crew.out)) == sorted(map(str, model.out))
            assert semaphore.free == free
        step()
        assert sorted(map(str, crew.out)) == sorted(map(str, model.out))

    body()


@given(st.integers(1, 3), st.lists(st.one_of(st.just(("put", 0)), st.just(("get", 0)), st.just(("put_nowait", 0)),
                                            st.just(("get_nowait", 0)), *STOPS), max_size=60))
@settings(deadline=None)
def test_a_queue_does_what_a_list_with_two_lines_does(size, acts):
    @in_task
    def body():
        real, crew, model, items, offers = Queue(size), Crew(), Model(), deque(), {}
        # Of the two lines at most one is not empty, so one list does for both; who offers something stands in `offers`.

        def put(name):
            if model.waiting and not offers:
                model.out.append((model.waiting.popleft(), name))
            elif len(items) < size:
                items.append(name)
            else:
                return False
            return True

        def get():
            item = items.popleft()
            if offers:
                putter = model.waiting.popleft()
                items.append(offers.pop(putter))
                model.out.append((putter, None))
            return item

        for n, (act, name) in enumerate(acts):
            if act == "put":
                if put(n):
                    model.out.append((n, None))
                else:
                    model.waiting.append(n)
                    offers[n] = n
                crew.do(n, lambda n=n: real.put(n))
            elif act == "get":
                if items:
                    model.out.append((n, get()))
                else:
                    model.waiting.append(n)
                crew.do(n, real.get)
            elif act == "put_nowait":
                if put(n):
                    real.put_nowait(n)
                else:
                    with pytest.raises(queue.Full):
                        real.put_nowait(n)
            elif act == "get_nowait":
                if items:
                    assert real.get_nowait() == get()
                else:
                    with pytest.raises(queue.Empty):
                        real.get_nowait()
            else:
                if name in model.waiting:
                    offers.pop(name, None)
                stop(model, crew, act, name)
            if n % 3 == 0:
                step()
                assert sorted(map(str, crew.out)) == sorted(map(str, model.out))
            assert len(real) == len(items)
        step()
        assert sorted(map(str, crew.out)) == sorted(map(str, model.out))
        assert [real.get() for _ in range(len(real))][:len(items)] == list(items)

    body()


@given(st.lists(st.one_of(st.sampled_from([("wait", 0), ("set", 0), ("clear", 0)]), *STOPS), max_size=40))
@settings(deadline=None)
def test_an_event_does_what_a_flag_with_a_line_does(acts):
    @in_task
    def body():
        event, crew, model, flag = Event(), Crew(), Model(), False
        for n, (act, name) in enumerate(acts):
            if act == "wait":
                if flag:
                    model.out.append((n, None))
                else:
                    model.waiting.append(n)
                crew.do(n, event.wait)
            elif act == "set":
                flag = True
                event.set()
                while model.waiting:
                    model.out.append((model.waiting.popleft(), None))
            elif act == "clear":
                flag = False
                event.clear()
            else:
                stop(model, crew, act, name)
            if n % 3 == 0:
                step()
            assert event.is_set == flag
        step()
        assert sorted(map(str, crew.out)) == sorted(map(str, model.out))

    body()


# Fairness

@in_task
def test_permits_go_to_those_who_came_first():
    semaphore, seen = Semaphore(0), []
    for i in range(5):
        spawned(lambda i=i: (semaphore.acquire(), seen.append(i)))
    for _ in range(5):
        semaphore.release()
    assert not semaphore.try_acquire()
    step()
    assert seen == [0, 1, 2, 3, 4]


@in_task
def test_items_come_out_in_order_to_getters_in_order():
    items, seen = Queue(), []
    for i in range(3):
        spawned(lambda i=i: seen.append((i, items.get())))
    for item in "abc":
        items.put(item)
    step()
    assert seen == [(0, "a"), (1, "b"), (2, "c")]


@in_task
def test_putters_of_a_full_queue_keep_their_order():
    items = Queue(1)
    for item in range(4):
        spawned(items.put, item)
    assert len(items) == 1
    assert [items.get() for _ in range(4)] == [0, 1, 2, 3]


@in_task
def test_a_cancelled_put_has_put_nothing():
    items = Queue(1)
    items.put("a")
    task = spawned(items.put, "b")
    task.cancel()
    assert items.get() == "a"
    task.join()
    assert len(items) == 0
    assert task.cancelled


@in_task
def test_an_item_waiting_in_a_cancelled_put_is_let_go():
    class Thing:
        pass

    items, thing = Queue(1), Thing()
    items.put("a")
    task = spawned(items.put, thing)
    before = sys.getrefcount(thing)
    task.cancel()
    task.join()
    gc.collect()
    assert sys.getrefcount(thing) < before


# Locks

@in_task
def test_a_lock_is_held_by_one_task_at_a_time_in_order():
    lock, seen = Lock(), []

    def hold(name):
        with lock:
            assert lock.holder is current()
            seen.append(f"{name} in")
            step()
            seen.append(f"{name} out")

    held = [spawn(hold, name) for name in "abc"]
    for task in held:
        task.join()
    assert seen == ["a in", "a out", "b in", "b out", "c in", "c out"]
    assert lock.holder is None


@in_task
def test_a_lock_is_neither_taken_twice_nor_released_by_another():
    lock = Lock()
    with pytest.raises(RuntimeError, match="only the task"):
        lock.release()
    with lock:
        with pytest.raises(RuntimeError, match="holds this lock already"):
            lock.acquire()
        with pytest.raises(RuntimeError, match="only the task"):
            spawn(lock.release).result()


@in_task
def test_a_lock_handed_to_a_task_that_is_then_cancelled_goes_on_to_the_next():
    lock, seen = Lock(), []

    def hold(name):
        with lock:
            seen.append(name)
            step()

    lock.acquire()
    first, second = spawned(hold, "first"), spawned(hold, "second")
    lock.release()
    first.cancel()
    second.join()
    assert first.cancelled
    assert seen == ["first", "second"]
    assert lock.holder is None


@in_task
def test_a_semaphore_gives_its_permit_back_whatever_ends_the_block():
    semaphore = Semaphore(1)
    with pytest.raises(ZeroDivisionError), semaphore:
        raise ZeroDivisionError
    task = spawned(lambda: semaphore.__enter__() and semaphore.__exit__(None, None, None))
    task.join()
    assert semaphore.free == 1


@pytest.mark.parametrize("make", [lambda: Semaphore(-1), lambda: Queue(0), lambda: Queue(-1)])
def test_sizes_that_mean_nothing_are_refused(make):
    with pytest.raises(ValueError, match="or more"):
        make()


@in_task
def test_a_line_may_be_ended_while_many_stand_in_it():
    event = Event()
    waiting = [spawn(event.wait) for _ in range(500)]
    step()
    for task in waiting[::2]:
        task.cancel()
    event.set()
    for task in waiting:
        task.join()
    assert [task.cancelled for task in waiting] == [True, False] * 250


def test_what_waits_at_the_close_leaves_its_line():
    event, semaphore, items = Event(), Semaphore(0), Queue(1)

    def main():
        items.put(1)
        for wait in (event.wait, semaphore.acquire, lambda: items.put(2)):
            spawned(wait)

    run(main)
    event.set()
    semaphore.release()
    assert semaphore.free == 1
    assert items.get_nowait() == 1
    assert len(items) == 0

"""Lanes: as many calls at once as there are connections, whoever gives up, and one lane never fills another."""
from __future__ import annotations

import threading

import pytest

from hotpath.core.errors import PoolTimeout
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import sleep, spawn, timeout, use_threads
from hotpath.shard.web.lanes import MANY, SHARDS, Lanes, threads_for, width_of


def run_in_loop(work) -> None:
    """`work(loop)` in a task of a loop of its own."""
    loop = Loop()
    failed = []

    def guarded() -> None:
        try:
            work(loop)
        except BaseException as error:
            failed.append(error)
        finally:
            loop.stop()

    loop.call_soon(lambda: spawn(guarded))
    loop.run()
    loop.close()
    if failed:
        raise failed[0]


def made(loop: Loop, waits: list[tuple[str, float]] | None = None, *, wait_s: float = 0.05) -> Lanes:
    use_threads(16)
    kept = [] if waits is None else waits
    return Lanes(loop, connections=2, wait_s=wait_s, waited=lambda *one: kept.append(one))


def test_a_full_lane_refuses_and_another_does_not():
    def work(loop: Loop) -> None:
        waits: list[tuple[str, float]] = []
        lanes, free, begun = made(loop, waits), threading.Event(), []

        def stick() -> str:
            begun.append(1)
            free.wait(20)
            return "done"

        stuck = [spawn(lanes.call, "s1", stick) for _ in range(2)]
        while len(begun) < 2:
            sleep(0.001)
        with pytest.raises(PoolTimeout) as refused:
            lanes.call("s1", lambda: None)
        assert refused.value.shard == "s1"
        assert refused.value.outcome == "none"
        assert lanes.waiting("s1") == 0
        assert lanes.call("s2", lambda: 5) == 5
        assert lanes.call(MANY, lambda: 6) == 6
        free.set()
        assert [task.result() for task in stuck] == ["done", "done"]
        assert lanes.call("s1", lambda: 7) == 7
        assert [name for name, _ in waits] == ["s1", "s1", "s1", "s2", "s1"]
        assert waits[2][1] >= 0.04

    run_in_loop(work)


def test_who_waits_is_counted_and_goes_on_in_turn():
    def work(loop: Loop) -> None:
        lanes, free, begun = made(loop, wait_s=20), threading.Event(), []

        def stick(n: int) -> int:
            begun.append(n)
            free.wait(20)
            return n

        tasks = [spawn(lanes.call, "s1", stick, n) for n in range(5)]
        while len(begun) < 2:
            sleep(0.001)
        assert lanes.waiting("s1") == 3
        free.set()
        assert [task.result() for task in tasks] == [0, 1, 2, 3, 4]
        assert lanes.waiting("s1") == 0

    run_in_loop(work)


def test_a_client_that_goes_does_not_make_room_while_its_call_runs():
    def work(loop: Loop) -> None:
        lanes, free, begun = made(loop), threading.Event(), []

        def stick() -> None:
            begun.append(1)
            free.wait(20)

        for _ in range(2):
            task = spawn(lanes.call, "s1", stick)
            n = len(begun)
            while len(begun) == n:
                sleep(0.001)
            task.cancel()
            task.join()
        with pytest.raises(PoolTimeout):
            lanes.call("s1", lambda: None)
        free.set()
        with timeout(20):
            for _ in range(3):
                while True:
                    try:
                        lanes.call("s1", lambda: None)
                        break
                    except PoolTimeout:
                        continue

    run_in_loop(work)


def test_a_call_that_was_dropped_before_it_began_gives_its_place_back():
    def work(loop: Loop) -> None:
        use_threads(1)
        lanes = Lanes(loop, connections=2, wait_s=0.05, waited=lambda *_: None)
        free, begun = threading.Event(), []

        def stick() -> None:
            begun.append(1)
            free.wait(20)

        first = spawn(lanes.call, "s1", stick)
        while not begun:
            sleep(0.001)
        for _ in range(5):              # there is no thread for them
            queued = spawn(lanes.call, "s1", lambda: begun.append(2))
            sleep(0)
            queued.cancel()
            queued.join()
        free.set()
        first.join()
        assert lanes.call("s1", lambda: 1) == 1
        assert begun == [1]

    run_in_loop(work)


def test_an_error_goes_to_whoever_called():
    def work(loop: Loop) -> None:
        lanes = made(loop)
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                lanes.call("s1", lambda: 1 // 0)

    run_in_loop(work)


@pytest.mark.parametrize("connections", [1, 16, 1000])
def test_there_are_threads_for_every_lane_of_some_shards_and_never_too_many(connections):
    assert SHARDS * width_of(connections) < threads_for(connections) < 3000
    assert width_of(connections) <= connections

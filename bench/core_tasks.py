"""What do a task, a switch and a queue cost here, against gevent's greenlets and asyncio's tasks, also under uvloop?

Each round makes a loop, does the same 2,000 steps and ends it. Time is CPU time of this process: nobody waits here.
"""
from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import gevent
import gevent.queue
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from hotpath.core import tasks

STEPS = 2000
AT_ONCE = 50            # tasks alive together in the first group


def nothing(value: int) -> int:
    """What a task does here."""
    return value


def spawn_hotpath() -> int:
    return sum(task.result() for _ in range(STEPS // AT_ONCE)
               for task in [tasks.spawn(nothing, n) for n in range(AT_ONCE)])


def spawn_gevent() -> int:
    return sum(task.get() for _ in range(STEPS // AT_ONCE)
               for task in [gevent.spawn(nothing, n) for n in range(AT_ONCE)])


async def spawn_asyncio() -> int:
    async def coroutine(value: int) -> int:
        return value

    total = 0
    for _ in range(STEPS // AT_ONCE):
        for task in [asyncio.create_task(coroutine(n)) for n in range(AT_ONCE)]:
            total += await task
    return total


def switch_hotpath() -> int:
    def turn() -> None:
        for _ in range(STEPS // 2):
            tasks.sleep(0)

    for task in [tasks.spawn(turn), tasks.spawn(turn)]:
        task.join()
    return STEPS


def switch_gevent() -> int:
    def turn() -> None:
        for _ in range(STEPS // 2):
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(turn), gevent.spawn(turn)])
    return STEPS


async def switch_asyncio() -> int:
    async def turn() -> None:
        for _ in range(STEPS // 2):
            await asyncio.sleep(0)

    await asyncio.gather(turn(), turn())
    return STEPS


def queue_hotpath() -> int:
    def echo() -> None:
        for _ in range(STEPS // 2):
            back.put(there.get())

    there, back = tasks.Queue[int](1), tasks.Queue[int](1)
    tasks.spawn(echo)
    total = 0
    for n in range(STEPS // 2):
        there.put(n)
        total += back.get()
    return total


def queue_gevent() -> int:
    def echo() -> None:
        for _ in range(STEPS // 2):
            back.put(there.get())

    there, back = gevent.queue.Queue(1), gevent.queue.Queue(1)
    gevent.spawn(echo)
    total = 0
    for n in range(STEPS // 2):
        there.put(n)
        total += back.get()
    return total


async def queue_asyncio() -> int:
    async def echo() -> None:
        for _ in range(STEPS // 2):
            await back.put(await there.get())

    there, back = asyncio.Queue[int](1), asyncio.Queue[int](1)
    task = asyncio.create_task(echo())
    total = 0
    for n in range(STEPS // 2):
        await there.put(n)
        total += await back.get()
    await task
    return total


def offload_hotpath() -> int:
    return sum(tasks.offload(nothing, 1) for _ in range(STEPS // 4))


def offload_gevent() -> int:
    pool = gevent.get_hub().threadpool
    return sum(pool.apply(nothing, (1,)) for _ in range(STEPS // 4))


async def offload_asyncio() -> int:
    return sum([await asyncio.to_thread(nothing, 1) for _ in range(STEPS // 4)])


def in_gevent(main: Callable[[], int]) -> int:
    return int(gevent.spawn(main).get())


def in_asyncio(main: Callable[[], Awaitable[int]]) -> int:
    with asyncio.Runner() as runner:
        return runner.run(main())       # type: ignore[arg-type]


def in_uvloop(main: Callable[[], Awaitable[int]]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())       # type: ignore[arg-type]


RUN = {"hotpath": tasks.run, "gevent": in_gevent, "asyncio": in_asyncio, "uvloop": in_uvloop}
CONTENDERS = pytest.mark.parametrize("contender", RUN)


def measure(benchmark: BenchmarkFixture, work: str, contender: str, answer: int) -> None:
    """One round is one run of the contender's loop; its answer is checked."""
    main = globals()[f"{work}_{'asyncio' if contender == 'uvloop' else contender}"]
    assert benchmark(RUN[contender], main) == answer


@pytest.mark.benchmark(group=f"spawn and result, {STEPS} tasks", timer=time.process_time)
@CONTENDERS
def test_spawn(benchmark: BenchmarkFixture, contender: str) -> None:
    measure(benchmark, "spawn", contender, sum(range(AT_ONCE)) * (STEPS // AT_ONCE))


@pytest.mark.benchmark(group=f"giving way, {STEPS} switches of 2 tasks", timer=time.process_time)
@CONTENDERS
def test_switch(benchmark: BenchmarkFixture, contender: str) -> None:
    measure(benchmark, "switch", contender, STEPS)


@pytest.mark.benchmark(group=f"queue of one, {STEPS // 2} round trips of 2 tasks", timer=time.process_time)
@CONTENDERS
def test_queue(benchmark: BenchmarkFixture, contender: str) -> None:
    measure(benchmark, "queue", contender, sum(range(STEPS // 2)))


@pytest.mark.benchmark(group=f"a call in a thread, {STEPS // 4} in a row", timer=time.process_time)
@CONTENDERS
def test_offload(benchmark: BenchmarkFixture, contender: str) -> None:
    measure(benchmark, "offload", contender, STEPS // 4)

"""Asking several shards at once: each has a lane of its own, so that a stuck one fills no other's."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from hotpath.core.errors import HotpathError, PoolTimeout, ShardUnavailable

T = TypeVar("T")


class ForeignEpoch(HotpathError):
    """`shard` is not in the epoch that our map says: the map is old, or about to be. Read it again, start over."""

    def __init__(self, shard: str, cause: str) -> None:
        super().__init__(f"{shard}: {cause}")
        self.shard = shard


class _Lane:
    """The threads that may ask one shard. No more than `width` questions that need a connection are on their way."""

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self._free = threading.Semaphore(width)
        # As many again for those who have one.
        self._threads = ThreadPoolExecutor(2 * width, thread_name_prefix=f"lane-{name}")

    def submit(self, work: Callable[[], T], wait_s: float) -> Future[T]:
        """`work` in a thread. PoolTimeout: all were taken for `wait_s`. ForeignEpoch: the shard has left."""
        if not self._free.acquire(timeout=max(wait_s, 0)):
            raise PoolTimeout(self.name, "too many other questions to it were on their way for too long")
        try:
            future = self.submit_held(work)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future

    def submit_held(self, work: Callable[[], T]) -> Future[T]:
        """`work`, which has a connection in hand: it waits for nobody, who might wait for that one."""
        try:
            return self._threads.submit(work)
        except RuntimeError:        # closed, since it was looked up
            raise ForeignEpoch(self.name, "no member any more") from None

    def close(self) -> None:
        self._threads.shutdown(wait=False)


class Lanes:
    """One lane per shard, of `width` questions each; who finds a lane full waits `wait_s`."""

    def __init__(self, width: int, wait_s: float) -> None:
        self._width = width
        self._wait_s = wait_s
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()

    def ask(self, questions: Mapping[str, Callable[[], T]], held: Collection[str] = ()) -> dict[str, T]:
        """Each shard's answer, by its name, in the order of `questions`; the last one is asked by the caller itself.

        `held`: of which shards the questions have a connection in hand.
        Returns or raises when all have ended: nothing that a question holds is in use behind it. Of several failures
        ForeignEpoch comes first: with the right map the others may not occur.
        """
        *others, (mine, ask_mine) = questions.items()
        deadline_s = time.monotonic() + self._wait_s
        futures: dict[str, Future[T]] = {}
        answers: dict[str, T] = {}
        failures: list[Exception] = []
        try:
            for name, ask in others:
                try:
                    lane = self._lane(name)
                    futures[name] = (lane.submit_held(ask) if name in held else
                                     lane.submit(ask, deadline_s - time.monotonic()))
                except Exception as error:
                    failures.append(error)
            try:
                last = ask_mine()
            except Exception as error:
                failures.append(error)
        finally:
            wait(futures.values())
        for name, future in futures.items():
            try:
                answers[name] = future.result()
            except Exception as error:
                failures.append(error)
        if failures:
            raise min(failures, key=_rank)
        answers[mine] = last
        return answers

    def keep(self, names: Collection[str]) -> None:
        """Close the lanes of all other shards: they have left."""
        with self._lock:
            gone = [self._lanes.pop(name) for name in list(self._lanes) if name not in names]
        for lane in gone:
            lane.close()

    def close(self) -> None:
        """End the threads, once what they do is over."""
        self.keep(())

    def _lane(self, name: str) -> _Lane:
        with self._lock:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = _Lane(name, self._width)
            return lane


def _rank(error: Exception) -> int:
    """What to report first: the map is old; then a fault of ours; then a shard that is away."""
    return 0 if isinstance(error, ForeignEpoch) else 2 if isinstance(error, ShardUnavailable) else 1

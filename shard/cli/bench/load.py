"""Many threads do the same operation for a while: how often, how long did each take, what did it cost?"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Protocol


class Client(Protocol):
    """What one thread works with."""

    def get(self, key: int) -> object:
        """The row; None: there is none."""
        ...

    def insert(self, key: int) -> None:
        """A new row, durable when this returns."""
        ...

    def update(self, key: int, likes: int) -> None:
        """One column of a row."""
        ...

    def delete(self, key: int) -> None:
        """A row."""
        ...

    def page(self, after: int) -> int:
        """How many rows the page behind a key has."""
        ...


class Contender(Protocol):
    """Whom the load is for."""

    name: str

    def client(self) -> AbstractContextManager[Client]:
        """One for this thread."""
        ...


Operation = Callable[[], object]
# Makes what thread `n` of round `r` calls again and again.
Mix = Callable[[Client, int, int], Operation]


@dataclass(frozen=True, slots=True)
class Taken:
    """One contender, one round."""

    seconds: float
    cpu_s: float                    # of this process, all threads
    latencies_s: Sequence[float]    # ascending

    @property
    def per_s(self) -> float:
        """Operations in a second."""
        return len(self.latencies_s) / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds of this process per operation."""
        return self.cpu_s / max(1, len(self.latencies_s)) * 1e6

    def quantile_ms(self, q: float) -> float:
        """So much of the operations took at most so many milliseconds."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(q * len(self.latencies_s)))] * 1e3


def load(contender: Contender, mix: Mix, *, threads: int, seconds: float, round_: int = 0) -> Taken:
    """Load one contender. Raises what an operation raises."""
    took: list[list[float]] = [[] for _ in range(threads)]
    failed: list[BaseException] = []
    began: list[float] = []
    # Connecting is no part of it: the clocks start when all have what they need.
    ready = threading.Barrier(threads + 1, lambda: began.extend((time.perf_counter(), time.process_time())))

    def work(n: int) -> None:
        clock, mine = time.perf_counter, took[n]
        try:
            with contender.client() as client:
                operation = mix(client, n, round_)
                ready.wait()
                end_s = began[0] + seconds
                now_s = clock()
                while not mine or now_s < end_s:        # once at least: a round without any has no latency
                    before_s = now_s
                    operation()
                    now_s = clock()
                    mine.append(now_s - before_s)
        except threading.BrokenBarrierError:
            pass            # another could not begin, and says why
        except BaseException as error:
            failed.append(error)
            ready.abort()

    crowd = [threading.Thread(target=work, args=(n,), name=f"bench-{n}", daemon=True) for n in range(threads)]
    for thread in crowd:
        thread.start()
    with suppress(threading.BrokenBarrierError):
        ready.wait()
    for thread in crowd:
        thread.join()
    ended = time.perf_counter(), time.process_time()
    if failed:
        raise failed[0]
    return Taken(ended[0] - began[0], ended[1] - began[1], sorted(one for mine in took for one in mine))


@dataclass(frozen=True, slots=True)
class Summary:
    """One contender over the rounds: medians."""

    ops_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float

    @classmethod
    def of(cls, rounds: Sequence[Taken]) -> Summary:
        """Of at least one round."""
        return cls(median(one.per_s for one in rounds), median(one.quantile_ms(0.5) for one in rounds),
                   median(one.quantile_ms(0.99) for one in rounds), median(one.cpu_us for one in rounds))


def paired(
    contenders: Sequence[Contender], mix: Mix, *, threads: int, seconds: float, rounds: int,
    step: Callable[[str], None] = lambda name: None
) -> dict[str, list[Taken]]:
    """Each contender once a round, A B A B; `seconds` of each in all."""
    taken: dict[str, list[Taken]] = {one.name: [] for one in contenders}
    for round_ in range(rounds):
        for contender in contenders:
            step(contender.name)
            taken[contender.name].append(
                load(contender, mix, threads=threads, seconds=seconds / rounds, round_=round_))
    return taken

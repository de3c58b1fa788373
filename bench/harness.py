"""Paired runs: how does A compare with B when both suffer the same noise?

Every round measures each contender once, A B A B; a ratio is taken within a round, and its median over the rounds is
the result. CPU time comes from the kernel's accounts of the server's own processes, so that a neighbour who steals a
core changes the throughput but hardly the cost per request.
"""
from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import processes, wrk

Taken = TypeVar("Taken")


class BenchmarkError(Exception):
    """It cannot be measured as asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One contender, one round."""

    load: wrk.Outcome
    cpu: processes.Cpu
    others_share: float                 # CPU that went to neither contender, backend nor wrk, as a share of one CPU
    beside_s: float = 0.0               # CPU seconds of those that take part, such as the backend

    @property
    def shares(self) -> tuple[float, float, float]:
        """CPUs that the contender, wrk and those beside kept busy."""
        seconds = self.load.seconds
        return self.cpu.total_s / seconds, self.load.load_cpu_s / seconds, self.beside_s / seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request, user and system."""
        return self.cpu.total_s / self.load.requests * 1e6

    @property
    def cpu_us_per_mb(self) -> float:
        """CPU microseconds per 10**6 bytes that wrk read."""
        return self.cpu.total_s / self.load.read_bytes * 1e12

    @property
    def user_us(self) -> float:
        """User CPU microseconds per request."""
        return self.cpu.user_s / self.load.requests * 1e6


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum over the rounds."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(min(values), median(values), max(values))

    def __str__(self) -> str:
        """`middle (low-high)`, as the tables show it."""
        digits = 2 if self.low >= 0.1 else 3
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def ratios(ours: Sequence[Sample], theirs: Sequence[Sample], figure: Callable[[Sample], float]) -> Spread:
    """`figure` of ours over theirs, paired by round."""
    return Spread.of([figure(a) / figure(b) for a, b in zip(ours, theirs, strict=True)])


def middle(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    """The median of `figure` over the rounds."""
    return median(figure(sample) for sample in samples)


def measure(pid: int, load: Callable[[], wrk.Outcome], *, beside: Sequence[int] = ()) -> Sample:
    """Run `load` and charge the tree under `pid` for it. `beside`: pids that take part, such as the backend."""
    beside_before = [processes.cpu(each).total_s for each in beside]
    busy_before, before = processes.machine_busy_s(), processes.cpu(pid)
    outcome = load()
    spent, busy = processes.cpu(pid) - before, processes.machine_busy_s() - busy_before
    part = sum(processes.cpu(each).total_s - start for each, start in zip(beside, beside_before, strict=True))
    if outcome.requests == 0:
        raise wrk.LoadError("no request was answered")
    others = busy - spent.total_s - part - outcome.load_cpu_s
    return Sample(outcome, spent, max(0.0, others / outcome.seconds), part)


def in_turn(contenders: Mapping[str, Callable[[], Taken]], *, rounds: int,
            before: Callable[[str], object]) -> dict[str, list[Taken]]:
    """Measure every contender once a round, in the order given: A B A B; `before` is called with each one's name."""
    taken: dict[str, list[Taken]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            before(name)
            taken[name].append(run())
    return taken


def progress_bar(console: Console | None = None) -> Progress:
    """What is done, of how much, and how long the rest takes; gone when it ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, transient=True, console=console)


def interleave(contenders: Mapping[str, Callable[[], Taken]], *, rounds: int, title: str) -> dict[str, list[Taken]]:
    """The same under a progress bar of its own."""
    with progress_bar() as progress:
        task = progress.add_task(title, total=rounds * len(contenders), completed=-1)
        return in_turn(contenders, rounds=rounds,
                       before=lambda name: progress.update(task, description=f"{title}: {name}", advance=1))


def run_parts(runs: Mapping[str, Callable[[argparse.Namespace], None]], options: argparse.Namespace) -> None:
    """Those of `runs` that `--parts` names, in its order. Raises BenchmarkError before any has begun."""
    parts = options.parts.split(",")
    for part in parts:
        if part not in runs:
            raise BenchmarkError(f"no part {part!r}: {', '.join(runs)}")
    # Database servers outlive who starts them; a benchmark that is told to end takes them along.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        for part in parts:
            runs[part](options)
    finally:
        signal.signal(signal.SIGTERM, before)

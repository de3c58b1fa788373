"""What does one unit of work cost inside this process, and does the ratio to a rival reach the goal set for it?"""
from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from .harness import Spread
from .results import duration

COLUMNS = ("question", "contender", "CPU each", "each/s and core", "CPU ratio to hotpath (min-max)", "goal")


@dataclass(frozen=True, slots=True)
class Cost:
    """One contender, one round."""

    cpu_s: float                # of all threads of this process
    wall_s: float
    units: int

    @property
    def each_s(self) -> float:
        """CPU seconds per unit."""
        return self.cpu_s / self.units


@dataclass(frozen=True, slots=True)
class Question:
    """Contenders that do the same work; the first one is ours. Each sets itself up, then times itself."""

    name: str
    contenders: Mapping[str, Callable[[], Cost]]
    goals: Mapping[str, float]          # rival -> how many times our cost it should at least take


def timed(work: Callable[[], object], units: int) -> Cost:
    """Do `work` once, with garbage collection off: a list of tuples that grows would be walked again and again."""
    gc.collect()
    gc.disable()
    try:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        work()
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    finally:
        gc.enable()
    return Cost(cpu_s, wall_s, units)


def verdict(reached: float, least: float) -> str:
    """`≥ 4: met`, or `missed`."""
    return f"≥ {least:g}: {'met' if reached >= least else 'missed'}"


def at_most(reached: float, most: float) -> str:
    """`≤ 80: met`, or `missed`."""
    return f"≤ {most:g}: {'met' if reached <= most else 'missed'}"


def rows(question: Question, taken: Mapping[str, Sequence[Cost]]) -> list[tuple[str, ...]]:
    """The table's rows of one question; a ratio above 1 costs more than ours."""
    ours = next(iter(question.contenders))
    found = []
    for name, costs in taken.items():
        each_s = median(cost.each_s for cost in costs)
        ratio = Spread.of([a.each_s / b.each_s for a, b in zip(costs, taken[ours], strict=True)])
        least = question.goals.get(name)
        goal = verdict(1e-6 / each_s, least) if name == ours and least is not None else (
            "" if least is None else verdict(ratio.middle, least))
        found.append((question.name, name, duration(each_s), f"{1 / each_s:,.0f}",
                      "1" if name == ours else str(ratio), goal))
    return found

"""Where does locking overtake? From this conflict probability on, optimistic work is slower than pessimistic."""
from __future__ import annotations

import os
import platform
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TypedDict

from .lines import Line


class Crossing(TypedDict):
    """`conflict_prob`: where it happens; None where optimistic work never falls behind."""

    workers: int
    work_ms: float
    conflict_prob: float | None


class Summary(TypedDict):
    """summary.json."""

    backend: str
    server: str
    machine: str
    crossover: list[Crossing]


def summary_of(lines: Sequence[Line], *, backend: str, server: str) -> Summary:
    """Of all lines of a study, or of those that there are."""
    groups = sorted({(line.work_ms, line.workers) for line in lines})
    return Summary(backend=backend, server=server, machine=machine(), crossover=[
        Crossing(workers=workers, work_ms=work_ms, conflict_prob=crossover(ratios(
            line for line in lines if (line.work_ms, line.workers) == (work_ms, workers))))
        for work_ms, workers in groups])


def ratios(lines: Iterable[Line]) -> list[tuple[float, float]]:
    """(conflict probability, optimistic / pessimistic throughput) for each number of rows, means over the repeats.

    Of lines with the same workers and work.
    """
    optimistic, pessimistic = defaultdict[int, list[Line]](list), defaultdict[int, list[Line]](list)
    for line in lines:
        if line.policy in ("optimistic", "pessimistic"):
            (optimistic if line.policy == "optimistic" else pessimistic)[line.rows].append(line)
    found = []
    for rows in optimistic.keys() & pessimistic.keys():
        theirs = fmean(line.throughput for line in pessimistic[rows])
        if theirs > 0:
            found.append((fmean(line.conflict_prob or 0.0 for line in optimistic[rows]),
                          fmean(line.throughput for line in optimistic[rows]) / theirs))
    return found


def crossover(points: Iterable[tuple[float, float]]) -> float | None:
    """Where the ratio first falls through 1 as the probability rises, between two points on a straight line.

    None: it never does. Points of one probability count as their mean: without conflicts, which of two numbers of rows
    is the faster is noise, and no crossing.
    """
    at = defaultdict[float, list[float]](list)
    for probability, ratio in points:
        at[probability].append(ratio)
    line = [(probability, fmean(at[probability])) for probability in sorted(at)]
    for (left, above), (right, below) in pairwise(line):
        if above >= 1.0 > below:
            return left + (above - 1.0) / (above - below) * (right - left)
    return None


def machine() -> str:
    """Processor, CPUs that we may use, kernel, Python."""
    try:
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        model = None
    return (f"{model[1] if model else platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, "
            f"{platform.system()} {platform.release()}, Python {platform.python_version()}")

"""Work to be profiled: which processes do it, what loads them, and what is counted as one unit?"""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from . import processes, wrk
from .harness import Sample, measure
from .stage import Stage


@dataclass(frozen=True, slots=True)
class Work:
    """Something that runs, and can be loaded for a while."""

    unit: str                                       # "request", "delivery", …: what an outcome's `requests` are
    pid: int                                        # the tree below it does the work
    load: Callable[[float], wrk.Outcome]            # for so many seconds
    alone: bool = False                             # only that process does: its children are somebody's programs

    @property
    def pids(self) -> list[int]:
        """Of all that do the work now."""
        return [self.pid] if self.alone else processes.tree(self.pid)

    def cost(self, seconds: float) -> Sample:
        """CPU per unit, with nobody watching."""
        if not self.alone:
            return measure(self.pid, lambda: self.load(seconds))
        before = own_cpu(self.pid)
        done = self.load(seconds)
        return Sample(done, own_cpu(self.pid) - before, 0.0)


def own_cpu(pid: int) -> processes.Cpu:
    """Of the process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return processes.Cpu(int(fields[11]) / processes.TICKS_PER_S, int(fields[12]) / processes.TICKS_PER_S)


def proxied(on: Stage, name: str, body: str, of: wrk.Load) -> Work:
    """What a proxy on the stage does for a request of `body`."""
    def load(seconds: float) -> wrk.Outcome:
        return on.run(name, body, replace(of, seconds=seconds))

    return Work("request", on.proxies[name].pid, load)


def here(unit: str, load: Callable[[float], wrk.Outcome]) -> Work:
    """What this process itself does."""
    return Work(unit, os.getpid(), load)


def repeated(some: Callable[[], int]) -> Callable[[float], wrk.Outcome]:
    """A load that does `some` again and again, which says how many units each time was."""
    def load(seconds: float) -> wrk.Outcome:
        units, began_s = 0, time.perf_counter()
        while (took_s := time.perf_counter() - began_s) < seconds:
            units += some()
        return outcome(units, took_s)

    return load


def outcome(units: int, seconds: float, *, p50_ms: float = 0.0, p99_ms: float = 0.0, load_cpu_s: float = 0.0
            ) -> wrk.Outcome:
    """Of a load that is no request over HTTP."""
    return wrk.Outcome(units, 0.0, 0, seconds, p50_ms, p99_ms, load_cpu_s)

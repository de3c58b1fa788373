"""How far is Adaptive, which must find out, from the better of Optimistic and Pessimistic, which cannot change?"""
from __future__ import annotations

from collections.abc import Sequence

from hotpath.locking.study.grid import Cell
from hotpath.locking.study.sweep import Counters
from hotpath.locking.study.workers import Crew

from .harness import Spread, interleave
from .paired import verdict

COLUMNS = ("database", "rows", "workers", "work, ms", "optimistic/s", "pessimistic/s", "adaptive/s",
           "adaptive of the better (min-max)", "goal")
FIXED = ("optimistic", "pessimistic")
POLICIES = (*FIXED, "adaptive")
LEAST = 0.9

Rates = dict[str, list[float]]         # policy -> commits/s in each round


def run(backend: str, url: str, cells: Sequence[Cell], *, seconds: float, rounds: int) -> list[tuple[str, ...]]:
    """The table's rows of one database; the study's workers, each a process that learns by itself."""
    found = []
    with Crew(url, max(cell.workers for cell in cells)) as crew, Counters(url, max(cell.rows for cell in cells)):
        def rate(policy: str, cell: Cell) -> float:
            took_s, tooks = crew.measure(policy, cell, seconds)
            return sum(took.commits for took in tooks) / took_s

        for cell in cells:
            taken = interleave({policy: lambda policy=policy, cell=cell: rate(policy, cell) for policy in POLICIES},
                               rounds=rounds, title=f"{backend}: {cell}")
            found.append(row(backend, cell, taken))
    return found


def row(backend: str, cell: Cell, taken: Rates) -> tuple[str, ...]:
    """One cell: the better one is so by its median, and compared with in each round."""
    middle = {policy: Spread.of(rates).middle for policy, rates in taken.items()}
    better = max(FIXED, key=lambda policy: middle[policy])
    share = Spread.of([ours / theirs for ours, theirs in zip(taken["adaptive"], taken[better], strict=True)])
    return (backend, f"{cell.rows:,}", str(cell.workers), f"{cell.work_ms:g}",
            *(f"{middle[policy]:,.0f}" for policy in POLICIES), str(share), verdict(share.middle, LEAST))

"""Which goals did the proxy reach, by how much, and which cells did it lose to what?"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from .cells import Cell
from .harness import Sample, Spread, ratios

COLUMNS = ("goal", "condition", "needed", "measured (min-max)", "verdict")
OURS, BASE, OTHER = "hotpath", "nginx", "haproxy"

# By `str(cell)`: why it is lost. What is measured is in PROFILE.md.
CAUSES: dict[str, str] = {
    "TLS to the client: 64 B, a connection and a full handshake for each request":
        "user time: each session is made through Python's ssl; what OpenSSL computes is the same for all",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured in one cell; samples by contender."""

    cell: Cell
    taken: Mapping[str, Sequence[Sample]]

    def ratio(self, figure: Callable[[Sample], float], *, ours: str = OURS, base: str = BASE) -> Spread | None:
        """`figure` of ours over the base's; None when one of them was not measured."""
        if ours not in self.taken or base not in self.taken:
            return None
        return ratios(self.taken[ours], self.taken[base], figure)


def per_s(sample: Sample) -> float:
    """Requests per second."""
    return sample.load.per_s


def p99(sample: Sample) -> float:
    """In milliseconds; never 0, which would be no base."""
    return max(sample.load.p99_ms, 0.001)


def pause(sample: Sample) -> float:
    """Seconds per request: what throughput is the inverse of."""
    return 1 / sample.load.per_s


def told(what: str, results: Sequence[Result], ratio_of: Callable[[Result], Spread | None]) -> tuple[str, ...]:
    """A line that is no goal: in how many cells, and in which, we are above 1."""
    found = [(result.cell, ratio) for result in results if (ratio := ratio_of(result)) is not None]
    worse = [f"{cell} ({ratio.middle:.2f})" for cell, ratio in found if ratio.middle > 1.0]
    return what, f"{len(found)} cells", "", f"above 1 in {len(worse)}", "; ".join(worse)


def row(goal: str, condition: str, needed: str, measured: str, *, met: bool) -> tuple[str, ...]:
    """One line of the table."""
    return goal, condition, needed, measured, "met" if met else "**missed**"


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Every goal that these results can judge."""
    return [*single_goals(results), *goals_of_all(results)]


def single_goals(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """Goals that belong to one cell each."""
    for result in results:
        cell = result.cell
        cost = result.ratio(cell.cost)
        if cost is None:
            continue
        condition = str(cell)
        if cell.axis.startswith("bodies") and not cell.is_large:
            yield row("CPU per request, × nginx", condition, "≤ 0.80", str(cost), met=cost.middle <= 0.80)
        if cell.axis.startswith("bodies") and cell.is_large:
            yield row("CPU per MB, × nginx", condition, "≤ 1.00", str(cost), met=cost.middle <= 1.0)
        if condition == "bodies, 1 worker: 64 B":
            user = Spread.of([sample.user_us for sample in result.taken[OURS]])
            yield row("user time per request, µs", condition, "≤ 1.5", str(user), met=user.middle <= 1.5)
        if cell.quota_cpus is not None and (speed := result.ratio(per_s)) is not None:
            yield row("requests/s, × nginx", condition, "≥ 1.25", str(speed), met=speed.middle >= 1.25)
        if cell.load.pace_per_s is not None and (late := result.ratio(p99)) is not None:
            yield row("p99, × nginx", condition, "≤ 1.00", str(late), met=late.middle <= 1.0)


def goals_of_all(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """Goals that hold for every cell."""
    compared = [(result.cell, cost) for result in results if (cost := result.ratio(result.cell.cost)) is not None]
    lost = [(cell, cost) for cell, cost in compared if cost.middle > 1.0]
    if compared:
        yield row("CPU, × nginx, in every cell", f"{len(compared)} cells", "≤ 1.00",
                  f"worst {max(cost.middle for _, cost in compared):.2f}, {len(lost)} lost", met=not lost)
    for cell, cost in lost:
        yield "lost", str(cell), "", str(cost), CAUSES.get(str(cell), "cause not known")
    # Where all carry the same load these are goals above; else they are told, as throughput and latency go together.
    free = [result for result in results if result.cell.load.pace_per_s is None]
    yield told("p99, × nginx, each as fast as it can", free, lambda result: result.ratio(p99))
    yield told("time per request, × nginx, each as fast as it can", free, lambda result: result.ratio(pause))
    yield told("CPU, × HAProxy", results, lambda result: result.ratio(result.cell.cost, base=OTHER))
    failed = sum(sample.load.errors for result in results for sample in result.taken.get(OURS, ()))
    yield row("failed requests", "all cells", "0", str(failed), met=failed == 0)


def cpus(samples: Sequence[Sample]) -> str:
    """CPUs that the proxy, wrk, the backend and others kept busy."""
    shares = [f"{median(share):.2f}" for share in zip(*(sample.shares for sample in samples), strict=True)]
    return " · ".join([*shares, f"{max(sample.others_share for sample in samples):.2f}"])

"""A line of study.csv: what one policy did in one cell."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from statistics import fmean

from .grid import Cell
from .workers import Took


@dataclass(frozen=True, slots=True)
class Line:
    """The columns, in their order; None is an empty field."""

    backend: str
    policy: str
    rows: int
    workers: int
    work_ms: float
    repeat: int                     # from 1
    seconds: float                  # as measured: to the end of the last unit
    commits: int
    attempts: int                   # commits + conflicts + deadlocks + timeouts + disconnects
    conflicts: int                  # serialization failures too
    deadlocks: int
    timeouts: int
    disconnects: int
    gave_up: int                    # units whose attempts ran out
    lost_updates: int               # commits that the counters know nothing of
    throughput: float               # commits per second
    p50_ms: float | None            # of a whole unit with its retries; None: none was finished
    p99_ms: float | None
    failed_pct: float               # of the attempts
    wasted_pct: float               # time in failed attempts, of the time in all
    conflict_prob: float | None     # how likely an optimistic attempt fails here; None: that was not measured
    fairness: float | None          # most commits of a worker / mean
    client_cpu_s: float             # of the workers

    @property
    def cell(self) -> Cell:
        """Where it stands in the grid."""
        return Cell(self.rows, self.workers, self.work_ms)

    def texts(self) -> list[str]:
        """As the file has them."""
        return ["" if value is None else f"{value:.6f}" if isinstance(value, float) and name != "work_ms"
                else str(value) for name, value in zip(COLUMNS, astuple(self), strict=True)]


COLUMNS = tuple(column.name for column in fields(Line))


def line_of(tooks: Sequence[Took], *, backend: str, policy: str, cell: Cell, repeat: int, seconds: float, raised: int,
            conflict_prob: float | None) -> Line:
    """What the workers did together. `raised`: by how much the sum of the counters grew.

    The conflict probability of optimistic's own line is its own failures; `conflict_prob` is for the others.
    """
    commits = sum(took.commits for took in tooks)
    failed = sum(took.conflicts + took.deadlocks + took.timeouts + took.disconnects for took in tooks)
    failed_pct = share_pct(failed, commits + failed)
    latency_s = sorted(second for took in tooks for second in took.latency_s)
    mean = fmean(took.commits for took in tooks)
    return Line(
        backend=backend, policy=policy, rows=cell.rows, workers=cell.workers, work_ms=cell.work_ms, repeat=repeat,
        seconds=seconds, commits=commits, attempts=commits + failed,
        conflicts=sum(took.conflicts for took in tooks), deadlocks=sum(took.deadlocks for took in tooks),
        timeouts=sum(took.timeouts for took in tooks), disconnects=sum(took.disconnects for took in tooks),
        gave_up=sum(took.gave_up for took in tooks), lost_updates=commits - raised,
        throughput=commits / seconds, p50_ms=percentile_ms(latency_s, 50), p99_ms=percentile_ms(latency_s, 99),
        failed_pct=failed_pct,
        wasted_pct=share_pct(sum(took.wasted_s for took in tooks), sum(took.busy_s for took in tooks)),
        conflict_prob=failed_pct / 100 if policy == "optimistic" else conflict_prob,
        fairness=max(took.commits for took in tooks) / mean if mean else None,
        client_cpu_s=sum(took.cpu_s for took in tooks))


def share_pct(part: float, whole: float) -> float:
    """Per cent; none of nothing."""
    return min(100.0, 100 * part / whole) if whole else 0.0


def percentile_ms(ascending_s: Sequence[float], percent: int) -> float | None:
    """The nearest rank: the least value that so many per cent do not exceed."""
    if not ascending_s:
        return None
    rank = -(-len(ascending_s) * percent // 100)
    return 1000 * ascending_s[rank - 1]

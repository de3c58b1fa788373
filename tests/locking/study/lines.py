"""Lines of a study as they would be measured, and as a file has them."""
from __future__ import annotations

import csv
from pathlib import Path

from hotpath.locking.study.lines import COLUMNS, Line

# The contract's, to the letter and in this order.
HEADER = [
    "backend", "policy", "rows", "workers", "work_ms", "repeat", "seconds", "commits", "attempts", "conflicts",
    "deadlocks", "timeouts", "disconnects", "gave_up", "lost_updates", "throughput", "p50_ms", "p99_ms", "failed_pct",
    "wasted_pct", "conflict_prob", "fairness", "client_cpu_s"]


def line(policy: str = "optimistic", rows: int = 1, *, workers: int = 2, work_ms: float = 0, repeat: int = 1,
         throughput: float = 100.0, conflict_prob: float | None = 0.0) -> Line:
    """One whose other figures do not matter."""
    failed_pct = 100 * (conflict_prob or 0.0) if policy == "optimistic" else 0.0
    return Line(
        backend="sqlite", policy=policy, rows=rows, workers=workers, work_ms=work_ms, repeat=repeat, seconds=1.0,
        commits=round(throughput), attempts=round(throughput), conflicts=0, deadlocks=0, timeouts=0, disconnects=0,
        gave_up=0, lost_updates=0, throughput=throughput, p50_ms=1.0, p99_ms=2.0, failed_pct=failed_pct,
        wasted_pct=failed_pct, conflict_prob=conflict_prob, fairness=1.0, client_cpu_s=0.1)


def written(path: Path) -> list[dict[str, str]]:
    """The lines of a study.csv, by column."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        lines = list(reader)
    assert reader.fieldnames == list(COLUMNS)
    return lines

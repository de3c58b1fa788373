"""The core's pieces against their rivals: pytest-benchmark runs bench/core_*.py, several times over.

One run measures a group's contenders one after the other, so runs in a row interleave them: A B A B. A group is one
question; its contenders are told apart by what is in the brackets of the test's name (`test_hash[mmh3]`), and ours is
the one called `hotpath`.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from rich.progress import track

from . import machine, results
from .harness import BenchmarkError, Spread
from .stage import scratch_folder

TITLE = "core: hashing, parsing, the loop"
COLUMNS = ("question", "contender", "time", "hotpath takes (min-max)")
NOTE = """Time of one call, the median of the runs' medians, garbage collection off. `hotpath takes`: our time over the
contender's, paired by run; below 1 we are faster.
"""
OURS = "hotpath"
RIVALS = ["mmh3", "uhashring", "httptools", "h11", "wsproto", "uvloop", "gevent", "pytest-benchmark"]

Run = Mapping[str, Mapping[str, float]]         # group -> contender -> median seconds


def contender(name: str) -> str:
    """`mmh3` of `test_hash[mmh3]`; without brackets the name after `test_`."""
    outer, bracket, inner = name.partition("[")
    return inner.removesuffix("]") if bracket else outer.removeprefix("test_")


def parse(report: str) -> dict[str, dict[str, float]]:
    """Median seconds by group and contender, from the JSON of one run."""
    found: dict[str, dict[str, float]] = {}
    for each in json.loads(report)["benchmarks"]:
        group = each["group"] or each["name"].partition("[")[0].removeprefix("test_")
        found.setdefault(group, {})[contender(each["name"])] = each["stats"]["median"]
    return found


def rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """The table: ours first in each group, then the rivals with the ratio of ours to each."""
    found: list[tuple[str, ...]] = []
    for group, first in runs[0].items():
        for name in sorted(first, key=lambda name: name != OURS):
            times = [run[group][name] for run in runs]
            ratio = ""
            if OURS in first and name != OURS:
                ratio = str(Spread.of([run[group][OURS] / run[group][name] for run in runs]))
            found.append((group, name, results.duration(median(times)), ratio))
    return found


def one_run(files: Sequence[Path], report: Path, max_time_s: float) -> dict[str, dict[str, float]]:
    """Let pytest-benchmark measure all files once."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", *map(str, files),
               "--benchmark-only", "--benchmark-disable-gc", "--benchmark-warmup=on",
               f"--benchmark-max-time={max_time_s}", f"--benchmark-json={report}"]
    done = subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(done.stdout[-3000:] + done.stderr[-1000:])
    return parse(report.read_text())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench core`."""
    parser.add_argument("--rounds", type=int, default=3, help="runs over all files (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long for each contender (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    files = sorted(results.HERE.glob("core_*.py"))
    if not files:
        raise BenchmarkError("no bench/core_*.py here")
    with scratch_folder() as folder:
        runs = [one_run(files, folder / "report.json", options.seconds)
                for _ in track(range(options.rounds), description="core", transient=True)]
    found = rows(runs)
    results.publish(TITLE, [(COLUMNS, found)], NOTE, versions=machine.packages(RIVALS), write=options.write)

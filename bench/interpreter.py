"""In which Python functions does the interpreter spend its time? perf sees only the loop that runs them.

py-spy reads the frames of whoever holds the interpreter's lock, from outside; what a compiled module does counts for
the Python function that called it.
"""
from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .syscalls import PerfError
from .work import Work

COLUMNS = ("Python function", "in", "itself %", "with what it calls %")
PY_SPY = str(Path(sys.executable).with_name("py-spy"))
SAMPLES_PER_S = 200

Frames = list[tuple[str, str]]      # (function, file), outermost first


def stacks(text: str) -> Iterator[tuple[Frames, int]]:
    """Each stack and how often it was seen, from `py-spy record --format raw`."""
    for line in text.splitlines():
        words, _, times = line.rpartition(" ")
        frames = [(found[1], found[2]) for each in words.split(";")
                  if (found := re.fullmatch(r"(.+) \((.+?)(?::\d+)?\)", each)) and not each.startswith("process ")]
        if frames and times.isdigit():
            yield frames, int(times)


def sampled(work: Work, seconds: float, report: Path) -> list[tuple[Frames, int]]:
    """What the interpreters of those that do the work run; nothing where no Python runs. Raises PerfError."""
    said = report.with_suffix(".said")
    argv = [PY_SPY, "record", "--pid", str(work.pid), "--gil", "--function", "--format", "raw", "--rate",
            str(SAMPLES_PER_S), "--output", str(report), *([] if work.alone else ["--subprocesses"])]
    try:
        with said.open("wb") as output:
            watcher = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    except FileNotFoundError:
        raise PerfError("py-spy is not installed (extra bench)") from None
    try:
        work.load(seconds)
    finally:
        watcher.send_signal(signal.SIGINT)      # it ends, and writes its report, as on Ctrl-C
        watcher.wait()
    if not report.exists():
        raise PerfError(f"py-spy: {said.read_text().strip()[-300:]}")
    return list(stacks(report.read_text()))


def chains(found: list[tuple[Frames, int]]) -> Iterator[Frames]:
    """Each sample's functions, outermost first."""
    for frames, times in found:
        for _ in range(times):
            yield frames


def rows(found: list[tuple[Frames, int]], top: int) -> list[tuple[str, ...]]:
    """The functions that the interpreter was in most often."""
    own: Counter[tuple[str, str]] = Counter()
    whole: Counter[tuple[str, str]] = Counter()
    for frames, times in found:
        own[frames[-1]] += times
        for each in set(frames):
            whole[each] += times
    samples = own.total()
    return [(f"`{name}`", place, f"{100 * times / samples:.1f}", f"{100 * whole[name, place] / samples:.1f}")
            for (name, place), times in own.most_common(top)]

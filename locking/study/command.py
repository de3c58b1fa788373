"""The command `study`: measures, and writes study.csv, summary.json and three plots, each as PNG and SVG."""
from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import make_url

from hotpath.core.config import ConfigError
from hotpath.locking.engine import engine
from hotpath.locking.errors import Unusable

from .files import FILES, Lines, write_whole
from .grid import Grid
from .lines import Line
from .progress import shown
from .summary import Summary, summary_of
from .sweep import Counters, sweep
from .workers import Crew, StudyFailed


def run(given: argparse.Namespace) -> int:
    """Measure, and say where overtaking happens. Raises ConfigError, StudyFailed."""
    if find_spec("matplotlib") is None:
        raise StudyFailed('the plots need matplotlib: pip install "hotpath[study]"')
    grid = Grid(given.rows, given.workers, given.work_ms, given.policies, given.seconds, given.repeat)
    check(given.url)
    out = folder(given.out)
    # Told to end, it leaves no table behind, as on Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with saying_where(out), database(given.url, out) as url:
            summary = study(grid, url, out)
    except KeyboardInterrupt:
        print(f"hotpath-locking study: interrupted; {out} has what was measured", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    for line in told(summary):
        print(line)
    print(f"{out}: {', '.join(FILES)}")
    return 0


def study(grid: Grid, url: str, out: Path) -> Summary:
    """Write FILES into `out`; when it ends early, of what is there. Raises StudyFailed, KeyboardInterrupt, OSError."""
    lines: list[Line] = []
    # The workers first: who forks with threads or connections gives them to its children.
    with Crew(url, max(grid.workers)) as crew, Counters(url, max(grid.rows)) as counters:
        backend, server = counters.backend(), counters.server()
        # Of an earlier study: they would look like this one's.
        for name in FILES:
            (out / name).unlink(missing_ok=True)
        try:
            with shown(grid) as steps, Lines(out / "study.csv") as file:
                for line in sweep(grid, crew, counters):
                    file.write(line)
                    lines.append(line)
                    steps.step(line)
        finally:
            crew.end()      # a table that somebody works on cannot be dropped
            summary = summary_of(lines, backend=backend, server=server)
            write_whole(out / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
            if lines:
                # Slow to import; nobody else of this package needs it.
                from .plots import draw
                draw(lines, summary, out)
    return summary


def folder(text: str) -> Path:
    """The folder of the files, made if it is not there. Raises ConfigError."""
    out = Path(text)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ConfigError("--out", 0, "", f"{out}: {error.strerror}; allowed: a folder that we may write, or one to "
                                          "be made") from None
    return out


@contextmanager
def saying_where(out: Path) -> Iterator[None]:
    """A block in which a file that cannot be written becomes StudyFailed."""
    try:
        yield
    except OSError as error:
        raise StudyFailed(f"{error.filename or out}: {error.strerror or error}") from None


def check(url: str | None) -> None:
    """Raises ConfigError for one that no worker could use."""
    if not url:
        return
    try:
        engine(url).dispose()
    except Unusable as error:
        raise ConfigError("--url", 0, "", str(error)) from None
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database in (None, "", ":memory:"):
        raise ConfigError("--url", 0, "", "a database in memory cannot be shared by processes; allowed: sqlite:///FILE")


@contextmanager
def database(url: str | None, out: Path) -> Iterator[str]:
    """Its URL; without one, of a SQLite file that is gone afterwards."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(dir=out, prefix=".study-", ignore_cleanup_errors=True) as here:
        yield f"sqlite:///{Path(here).absolute() / 'study.db'}"


def told(summary: Summary) -> Iterator[str]:
    """The summary for a person."""
    yield f"{summary['server']}: pessimistic overtakes optimistic"
    for crossing in summary["crossover"]:
        at = crossing["conflict_prob"]
        where = "nowhere in this grid" if at is None else f"where {100 * at:.0f} % of optimistic attempts fail"
        n = crossing["workers"]
        yield f"  {n:>3} worker{'s'[:n > 1]}, {crossing['work_ms']:g} ms work: {where}"

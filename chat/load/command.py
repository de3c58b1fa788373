"""`hotpath-chat load`: its progress, its words, its exit status."""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from hotpath.core.openfiles import raise_open_files
from hotpath.core.tasks import run as run_on_loop

from .calls import CannotLoad
from .run import Run
from .wanted import Wanted

# Beside the sockets: connections to the API, the standard streams, the loop's own.
SPARE_FILES = 200


def run(wanted: Wanted, *, as_json: bool) -> int:
    """Load, and say what came of it. Raises CannotLoad."""
    allowed = raise_open_files()
    if allowed < wanted.clients + SPARE_FILES:
        raise CannotLoad(f"--clients {wanted.clients} needs {wanted.clients + SPARE_FILES} open files, and {allowed} "
                         "are allowed; raise the limit (ulimit -n), or ask for fewer")
    with shown() as steps:
        report = run_on_loop(Run(wanted, word=steps.word, step=steps.step))
    print(json.dumps(report.summary()) if as_json else report.table())
    return 0 if report.is_clean else 1


class Steps:
    """What a person sees meanwhile, on stderr: a bar on a terminal, nothing else where there is none."""

    def __init__(self, console: Console, progress: Progress | None) -> None:
        self._console = console
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def step(self, phase: str, done: int, total: int) -> None:
        """So much of it is done; a total of 0: nobody knows."""
        if self._progress is None:
            return
        bar = self._bars.get(phase)
        if bar is None:
            bar = self._bars[phase] = self._progress.add_task(phase, total=total or None)
        self._progress.update(bar, completed=done)

    def word(self, line: str) -> None:
        """Something out of the ordinary."""
        self._console.print(f"hotpath-chat load: {line}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def shown() -> Iterator[Steps]:
    """The steps of a run."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Steps(console, None)
        return
    columns = TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # It draws from a thread of its own: four times a second, so that the load keeps the processor.
    with Progress(*columns, console=console, refresh_per_second=4, transient=True) as progress:
        yield Steps(console, progress)

"""What a person sees meanwhile: a line for each cell, and on a terminal a bar."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .grid import Grid
from .lines import Line


class Steps:
    """How far a study is."""

    def __init__(self, grid: Grid, console: Console, bar: tuple[Progress, TaskID] | None) -> None:
        self._grid = grid
        self._console = console
        self._bar = bar
        self._plan = grid.plan()
        self._cell: list[Line] = []
        self._done = 0
        self._next()

    def step(self, line: Line) -> None:
        """Measured."""
        self._done += 1
        self._cell.append(line)
        if len(self._cell) == len(self._grid.policies):
            self._console.print(f"{self._done}/{len(self._grid)}  {told(self._cell)}", soft_wrap=True)
            self._cell.clear()
        self._next()

    def _next(self) -> None:
        """Show what is measured now."""
        _, cell, policy = next(self._plan, (0, "", ""))
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=self._done, description=f"{cell}: {policy}" if policy else "")


def told(cell: list[Line]) -> str:
    """`16 rows, 4 workers, 1 ms work: optimistic 812/s, pessimistic 640/s`."""
    return f"{cell[0].cell}: " + ", ".join(f"{line.policy} {line.throughput:,.0f}/s" for line in cell)


def about(seconds: float) -> str:
    """`about 40 s`, `about 98 min`."""
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"


@contextmanager
def shown(grid: Grid) -> Iterator[Steps]:
    """The steps of a study, on stderr."""
    console = Console(stderr=True, highlight=False, markup=False)
    console.print(f"{len(grid):,} × {grid.seconds:g} s: {about(len(grid) * grid.seconds)}")
    if not console.is_terminal:
        yield Steps(grid, console, None)
        return
    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn(
        "{task.description}", markup=False)
    # It draws from a thread: twice a second, so that the workers keep the processor.
    with Progress(*columns, console=console, refresh_per_second=2, transient=True) as progress:
        yield Steps(grid, console, (progress, progress.add_task("", total=len(grid))))

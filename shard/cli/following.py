"""Watching a reshard until there is nothing more to see: bars on a terminal, lines elsewhere."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Protocol

from rich.console import Console
from rich.live import Live

from hotpath.core.errors import ShardUnavailable

from .bars import bars, line
from .documents import ReshardDoc

LOOK_EVERY_S = 0.25
# Without a terminal: at each change of state, and so often in between.
LINE_EVERY_S = 5.0
# How long the map may be out of reach before we say so.
PATIENCE_S = 60.0


class Ending(Enum):
    """Why there is nothing more to see."""

    DONE = "done"
    CANCELLED = "cancelled"
    HELD = "held"           # until `complete` or `cancel`
    STUCK = "stuck"         # until somebody mends `error`
    LEFT = "left"           # by Ctrl-C


def ending_of(reshard: ReshardDoc) -> Ending | None:
    """The ending that this is; None: it goes on by itself."""
    if reshard.is_over:
        return Ending.DONE if reshard.state == "done" else Ending.CANCELLED
    if reshard.is_stuck:
        return Ending.STUCK
    return Ending.HELD if reshard.is_held else None


class Display(Protocol):
    """Where it is shown."""

    def show(self, reshard: ReshardDoc) -> None:
        """This is how far it is now."""
        ...


class Bars:
    """Drawn anew in place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, reshard: ReshardDoc) -> None:
        """Draw it."""
        self._live.update(bars(reshard), refresh=True)


class Lines:
    """One after the other."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last: object = None
        self._due_s = 0.0

    def show(self, reshard: ReshardDoc) -> None:
        """A line, if there is something new or enough time has passed."""
        state = reshard.state, reshard.paused, reshard.error
        if state == self._last and self._clock() < self._due_s:
            return
        self._last, self._due_s = state, self._clock() + LINE_EVERY_S
        self._console.print(line(reshard), markup=False, soft_wrap=True)


def follow(
    read: Callable[[], ReshardDoc], console: Console, *, each: Callable[[], None] = lambda: None,
    pause: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> tuple[ReshardDoc, Ending]:
    """Show what `read` answers until it ends; how it was at last, and why we stopped.

    `each` is called at every look, to keep the move going. Ctrl-C ends the watching, and nothing else. Raises
    ShardUnavailable when the cluster's map cannot be read for long.
    """
    reshard = read()
    with shown(console, reshard) as display:
        answered_s = clock()
        try:
            while (ending := ending_of(reshard)) is None:
                display.show(reshard)
                pause(LOOK_EVERY_S)
                try:
                    each()
                    reshard, answered_s = read(), clock()
                except ShardUnavailable:
                    # The move waits for the same server, and goes on by itself when that is back.
                    if clock() - answered_s > PATIENCE_S:
                        raise
        except KeyboardInterrupt:
            ending = Ending.LEFT
        display.show(reshard)
    return reshard, ending


@contextmanager
def shown(console: Console, reshard: ReshardDoc) -> Iterator[Display]:
    """What fits to where the console leads; what it shows at last stays."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(bars(reshard), console=console, auto_refresh=False) as live:
        yield Bars(live)

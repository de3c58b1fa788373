"""The terminals of one project."""
from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from hotpath.core.tasks import spawn
from hotpath.ide.config import TerminalConfig
from hotpath.ide.errors import TooMany
from hotpath.ide.sandbox import Spawned

from .terminal import Terminal

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ID_CHARACTERS = 12
# Ended ones can be looked at until they are deleted, or so many ended behind them.
ENDED_KEPT = 16
# A shell is what a person opens; the other kinds come one at a time.
COUNTED = "shell"


class Terminals:
    """Those that run, and the last that have ended. Used in the loop's thread only."""

    def __init__(self, config: TerminalConfig, changed: Callable[[], None]) -> None:
        """`changed` is called when a terminal is new, gone or other than before, but for its offset."""
        self._config, self._changed = config, changed
        self._all: dict[str, Terminal] = {}         # oldest first
        self._made_s = time.monotonic()

    @property
    def alive(self) -> int:
        """How many run."""
        return sum(one.alive for one in self._all.values())

    @property
    def last_used(self) -> float:
        """When somebody last typed, in any of them; on the monotonic clock."""
        return max([self._made_s, *(one.last_used for one in self._all.values())])

    def room(self) -> None:
        """Raise TooMany when no further shell may be opened."""
        n = sum(one.alive and one.kind == COUNTED for one in self._all.values())
        if n >= self._config.max:
            raise TooMany(f"{n} terminals are open, and no more are allowed: close one")

    def add(self, spawned: Spawned, kind: str, title: str, cols: int, rows: int) -> Terminal:
        """Take a program over."""
        id = "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARACTERS))
        terminal = self._all[id] = Terminal(id, spawned, kind, title, cols, rows, self._config, self._changed)
        ended = [one for one in self._all.values() if not one.alive]
        for one in ended[:-ENDED_KEPT]:
            del self._all[one.id]
            one.relay.close()
        self._changed()
        return terminal

    def get(self, id: str) -> Terminal | None:
        """The terminal of that id, running or not."""
        return self._all.get(id)

    def of_kind(self, kind: str) -> list[Terminal]:
        """Those of a kind, running or not, oldest first."""
        return [one for one in self._all.values() if one.kind == kind]

    def json(self) -> list[dict[str, Any]]:
        """As the API shows them, oldest first."""
        return [one.json() for one in self._all.values()]

    def close(self, id: str) -> None:
        """In a task: end it, and forget it. Its clients get all its output, and its end."""
        terminal = self._all.pop(id, None)
        if terminal is not None:
            self._changed()
            terminal.close()

    def close_all(self) -> None:
        """In a task: end all of them at once."""
        for task in [spawn(self.close, id) for id in list(self._all)]:
            task.join()

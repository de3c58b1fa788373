"""One terminal: a program, its output, and who sees it."""
from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any

from hotpath.core.tasks import Event, spawn, timeout
from hotpath.ide.config import TerminalConfig
from hotpath.ide.sandbox import Spawned

from .relay import Relay

log = logging.getLogger(__name__)

PATIENCE_S = 2.0        # with a program that was hung up on, and with one that was killed


class Terminal:
    """A program on a terminal. Used in the loop's thread only."""

    def __init__(self, id: str, spawned: Spawned, kind: str, title: str, cols: int, rows: int, config: TerminalConfig,
                 changed: Callable[[], None]) -> None:
        """Take `spawned` over; `changed`: what `json` says is other than before, but for the offset."""
        self.id, self.kind, self.title = id, kind, title
        self.exit: int | None = None        # exit status, or -signal; None: it runs
        self.on_exit: list[Callable[[], None]] = []
        self._spawned, self._changed = spawned, changed
        self._exited = Event()              # the program has
        self._ended = Event()               # and all of its output is read
        self.relay = Relay(spawned.fd, spawned.early, cols, rows, ring=config.ring, window=config.window,
                           on_size=self._resize, on_done=self._end)
        self._status = -signal.SIGKILL      # if it cannot even be killed
        spawn(self._watch, name=f"terminal {id}")

    @property
    def alive(self) -> bool:
        """Whether the program runs, or something of its output is still to come."""
        return self.exit is None

    @property
    def cols(self) -> int:
        """Characters of a line."""
        return self.relay.size[0]

    @property
    def rows(self) -> int:
        """Lines."""
        return self.relay.size[1]

    @property
    def offset(self) -> int:
        """Bytes of output so far."""
        return self.relay.offset

    @property
    def last_used(self) -> float:
        """When somebody last typed, or it was made; on the monotonic clock."""
        return self.relay.last_input_s

    def json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {"id": self.id, "kind": self.kind, "title": self.title, "cols": self.cols, "rows": self.rows,
                "alive": self.alive, "exit": self.exit, "offset": self.offset}

    def close(self) -> None:
        """In a task: end the program, whatever it takes, and then its clients."""
        if not (self._exited.is_set or self._ends_by(signal.SIGHUP) or self._ends_by(signal.SIGKILL)):
            log.error("terminal not ended id=%s: its program cannot be killed", self.id)
        if not self._comes(self._ended):        # a client that shows nothing more, or a program that cannot be killed
            self.relay.end()
            self.relay.finish(self._status)
            self._ended.wait()
        self.relay.close()

    def _ends_by(self, number: signal.Signals) -> bool:
        self._spawned.kill(number)
        return self._comes(self._exited)

    def _comes(self, event: Event) -> bool:
        try:
            with timeout(PATIENCE_S):
                event.wait()
        except TimeoutError:
            return False
        return True

    def _watch(self) -> None:
        try:
            self._status = self._spawned.wait()
        except Exception:
            log.exception("terminal lost id=%s", self.id)
        self._exited.set()
        self.relay.finish(self._status)

    def _resize(self, cols: int, rows: int) -> None:
        if self.alive:
            self._spawned.resize(cols, rows)
        self._changed()

    def _end(self) -> None:
        self.exit = self._status
        self._ended.set()
        for tell in self.on_exit:
            tell()
        self._changed()

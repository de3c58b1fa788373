"""What ended, as the engine tells: one connection hears of all containers and programs."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import msgspec

from hotpath.core.tasks import Event, Task, sleep, spawn

from .engine import Engine, Refused

log = logging.getLogger(__name__)

GONE = -9           # of a program whose end nobody can tell us any more
RETOLD_S = 5        # what happened so long before we listened is told again
AGAIN_S = 0.1       # between two tries to listen


class _Actor(msgspec.Struct):
    ID: str = ""
    Attributes: dict[str, str] = {}


class _Event(msgspec.Struct):
    Action: str = ""
    Actor: _Actor = msgspec.field(default_factory=_Actor)


class _State(msgspec.Struct):
    Running: bool = False
    OOMKilled: bool = False
    ExitCode: int = 0


class _Container(msgspec.Struct):
    State: _State


class _Program(msgspec.Struct):
    Running: bool = False
    ExitCode: int | None = None


class Exit:
    """The end of a program in a container."""

    def __init__(self, container: str) -> None:
        self.container = container
        self.done = Event()
        self.status = 0         # then: its status, or -signal

    def set(self, code: int) -> None:
        """Once; `code` is the engine's, in which a signal is 128 + its number."""
        if not self.done.is_set:
            self.status = 128 - code if 128 < code <= 128 + 64 else code
            self.done.set()


class Endings:
    """Tells `gone(why)` of a container, and sets the Exit of a program."""

    def __init__(self, engine: Engine, label: str, lost: Callable[[Exception], str]) -> None:
        self._engine = engine
        self._label = label
        self._lost = lost           # makes the sentence of an engine that is gone
        self._containers: dict[str, Callable[[str], None]] = {}
        self._programs: dict[str, Exit] = {}
        self._task: Task[None] | None = None

    def of_container(self, container: str, gone: Callable[[str], None]) -> None:
        """From now on; in a task or a callback of the loop."""
        self._containers[container] = gone
        self._listen()

    def forget(self, container: str) -> None:
        """Its end is of no interest any more."""
        self._containers.pop(container, None)

    def of_program(self, program: str, container: str) -> Exit:
        """To be asked for before it starts."""
        self._programs[program] = Exit(container)
        self._listen()
        return self._programs[program]

    def never_began(self, program: str) -> None:
        """No end will be told."""
        self._programs.pop(program, None)

    def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()

    def _listen(self) -> None:
        if self._task is None or self._task.done:
            self._task = spawn(self._run, name="docker events")

    def _run(self) -> None:
        while self._containers or self._programs:
            try:
                with suppress(OSError):
                    self._hear()
                # The connection is lost, and the engine perhaps.
                self._engine.tell("GET", "/_ping")
                sleep(AGAIN_S)
            except (OSError, Refused, msgspec.DecodeError) as error:
                self._all_gone(error)

    def _hear(self) -> None:
        filters = msgspec.json.encode({"type": ["container"], "event": ["die", "exec_die"], "label": [self._label]})
        for line in self._engine.lines(f"/events?since={time.time() - RETOLD_S:.0f}&filters={quote(filters)}"):
            if line:
                self._heard(msgspec.json.decode(line, type=_Event))
            else:
                self._look()    # what ended while nobody listened

    def _heard(self, event: _Event) -> None:
        attributes = event.Actor.Attributes
        if event.Action == "exec_die":
            self._ended(attributes.get("execID", ""), int(attributes.get("exitCode", "0")))
        else:
            self._look(event.Actor.ID)

    def _look(self, only: str | None = None) -> None:
        """What is there? An event may be old: the container may run again since."""
        for container in [only] if only else {*self._containers, *(exit.container for exit in self._programs.values())}:
            why = self._why_ended(container)
            for program, exit in list(self._programs.items()):
                if exit.container == container:
                    self._look_at(program, over=why is not None)
            if why is not None:
                self._container_ended(container, why)

    def _why_ended(self, container: str) -> str | None:
        try:
            state = self._engine.ask("GET", f"/containers/{container}/json", _Container).State
        except Refused:
            return "its container was removed by somebody else"
        if state.Running:
            return None
        return ("its container ran out of memory" if state.OOMKilled else
                f"its container was stopped by somebody else, or ended by itself (status {state.ExitCode})")

    def _look_at(self, program: str, *, over: bool) -> None:
        try:
            now = self._engine.ask("GET", f"/exec/{program}/json", _Program)
        except Refused:
            now = _Program()
        if not now.Running and now.ExitCode is not None:
            self._ended(program, now.ExitCode)
        elif over:
            self._ended(program, 128 - GONE)

    def _container_ended(self, container: str, why: str) -> None:
        gone = self._containers.pop(container, None)
        if gone is not None:
            gone(why)

    def _ended(self, program: str, code: int) -> None:
        exit = self._programs.pop(program, None)
        if exit is not None:
            exit.set(code)

    def _all_gone(self, error: Exception) -> None:
        why = self._lost(error)
        log.warning("engine lost: %s", why)
        for container in list(self._containers):
            self._container_ended(container, why)
        for program in list(self._programs):
            self._ended(program, 128 - GONE)

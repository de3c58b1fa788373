"""Transactions on real connections, each in a thread, taken step by step in a given order.

A step that the database makes wait is left waiting and the next actor goes on. That it waits is the database's word
(`watch`), never a guess by the clock.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from tests.waiting import DEADLINE_S


class Watch(Protocol):
    """Asks a database who waits."""

    poll_s: float       # not to be asked more often

    def waiting(self, actors: Iterable[Actor]) -> set[Actor]:
        """Those of `actors` that wait for a lock of one that is not itself about to be freed by the database."""


class Actor:
    """One transaction: `perform(actor)` calls `actor.pause()` between its steps."""

    def __init__(self, name: str, stage: Stage, perform: Callable[[Actor], None]) -> None:
        self.name = name
        self.connection_id: int | None = None       # what the database calls its connection
        self.waited = False
        self.done = False
        self.refused_at = -1                        # the stage's progress when SQLite said BUSY
        self.gives_up = False
        self._stage = stage
        self._paused = False
        self._allowed = self._taken = 0
        self._thread = threading.Thread(target=self._run, args=[perform], name=name, daemon=True)

    @property
    def is_idle(self) -> bool:
        """It has taken all steps it was allowed."""
        return self.done or (self._paused and self._taken == self._allowed)

    def _run(self, perform: Callable[[Actor], None]) -> None:
        try:
            perform(self)
        except BaseException as error:
            self._stage.failures.append(error)
        finally:
            with self._stage.changed:
                self.done = True
                self._stage.moved()

    def pause(self) -> None:
        """Return when the next step may be taken."""
        changed = self._stage.changed
        with changed:
            self._paused = True
            self._stage.moved()
            assert changed.wait_for(lambda: self._taken < self._allowed, DEADLINE_S), f"{self.name} was never called"
            self._taken += 1
            self._paused = False

    def wait_after_refusal(self, seen: int) -> bool:
        """SQLite said BUSY when the stage's progress was `seen`: return when another try may differ; False: give up."""
        changed = self._stage.changed
        with changed:
            self.refused_at = seen
            changed.notify_all()
            assert changed.wait_for(lambda: self._stage.progress != seen or self.gives_up, DEADLINE_S)
            self.refused_at = -1
            return not self.gives_up

    @property
    def progress(self) -> int:
        """How often anybody on the stage has come to the end of a step."""
        return self._stage.progress


class Stage:
    """Plays actors in a given order."""

    def __init__(self, watch: Watch) -> None:
        self.changed = threading.Condition()
        self.progress = 0
        self.failures: list[BaseException] = []
        self._watch = watch
        self._actors: dict[str, Actor] = {}

    def enter(self, name: str, perform: Callable[[Actor], None]) -> Actor:
        """A new actor, before its first step."""
        actor = self._actors[name] = Actor(name, self, perform)
        actor._thread.start()
        self._settle()
        return actor

    def moved(self) -> None:
        """Somebody came to the end of a step; the lock of `changed` is held."""
        self.progress += 1
        self.changed.notify_all()

    def play(self, order: str) -> None:
        """Let the actors take a step each as `order`, their names, says; then all go on to their end."""
        for name in order.split():
            self._allow(self._actors[name], 1)
            self._settle()
        for actor in self._actors.values():
            self._allow(actor, 1_000)
            self._settle()
        self._end()
        if self.failures:
            raise self.failures[0]

    def _allow(self, actor: Actor, steps: int) -> None:
        with self.changed:
            actor._allowed += steps
            self.changed.notify_all()

    def _settle(self) -> None:
        """Return when nobody can go on by himself: each has taken his steps, or waits for another."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            with self.changed:
                if self.changed.wait_for(self._is_settled, self._watch.poll_s):
                    break
                busy = {actor for actor in self._actors.values() if not actor.is_idle}
            waiting = self._watch.waiting(busy)
            if busy == waiting:
                break
            assert time.monotonic() < deadline_s, f"{[actor.name for actor in busy - waiting]} does not end its step"
        for actor in self._actors.values():
            actor.waited |= not actor.is_idle

    def _is_settled(self) -> bool:
        return all(actor.is_idle or actor.refused_at == self.progress for actor in self._actors.values())

    def _end(self) -> None:
        """All end. Where nobody can, since each was refused because of another, one gives up as its timeout would."""
        while left := [actor for actor in self._actors.values() if not actor.done]:
            with self.changed:
                if all(actor.refused_at == self.progress for actor in left):
                    left[-1].gives_up = True
                    self.changed.notify_all()
                assert self.changed.wait_for(
                    lambda: any(actor.done for actor in left)
                    or all(actor.refused_at == self.progress and not actor.gives_up for actor in left),
                    DEADLINE_S), f"{[actor.name for actor in left]} never ended"
        for actor in self._actors.values():
            actor._thread.join()

"""One of those who act: a program with a connection of its own, whose statements are recorded."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from hotpath.locking.classify import translating
from hotpath.locking.errors import Conflict
from hotpath.locking.policies import Policy
from hotpath.locking.work import Tx, run

from .recorder import Recorder

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Key:
    """Makes the keys of one play, so that no other play meets its rows."""

    mark: str

    def __call__(self, name: str) -> str:
        """`tea` is `tea#1a2b`."""
        return name + self.mark


class Actor:
    """What a part is written with."""

    def __init__(self, name: str, engine: Engine, recorder: Recorder, *, remark: str | None = None) -> None:
        """`recorder` listens to `engine`; `remark` is said before all else."""
        self.name = name
        self.engine = engine
        self.attempts = 0
        self._recorder = recorder
        self._remark = remark

    def live(self, part: Callable[[Actor, Key], None], key: Key) -> None:
        """The part, to its end."""
        try:
            if self._remark is not None:
                self.note(self._remark)
            part(self, key)
        finally:
            self._recorder.settle()

    def pause(self) -> None:
        """Let the others go on, until it is this actor's turn again."""
        self._recorder.pause()

    def note(self, sentence: str) -> None:
        """Say why, or what was read."""
        self._recorder.note(sentence)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """As a program has it that knows nothing of this library."""
        self.attempts += 1
        with translating(), Session(self.engine) as session, session.begin():
            yield session

    def run(self, unit: Callable[[Tx], T], policy: Policy) -> T:
        """`run` of the library; before another try the others have their turn."""
        def watched(tx: Tx) -> T:
            self.attempts += 1
            if tx.attempt > 1:
                self._recorder.retry()
                self.pause()
            try:
                return unit(tx)
            except Conflict:
                self._recorder.conflict()
                raise

        return run(self.engine, watched, policy)

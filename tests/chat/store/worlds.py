"""A store at work: a writer whose events are kept, and a few people in a channel."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from hotpath.chat.store import (
    CreateChannel,
    CreateUser,
    Database,
    EndSession,
    Event,
    Notice,
    Operation,
    PostMessage,
    Reader,
    Refused,
    Writer,
)
from hotpath.chat.store.transaction import wall_clock_ms
from tests.waiting import DEADLINE_S


class Whole(Writer):
    """One whose events are out once `turn` is free: they leave behind the answers."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.turn = threading.Lock()

    def _write(self, batch: Sequence[Any]) -> None:
        with self.turn:
            super()._write(batch)


class World:
    """Everything one test needs."""

    def __init__(self, database: Database, *, max_batch: int | None = None) -> None:
        self.database = database
        self.published: list[Event | Notice] = []
        self.now_ms = wall_clock_ms()
        self.writer = Whole(database, publish=self.published.extend, wall_ms=lambda: self.now_ms)
        self.reader = Reader(database, wall_ms=lambda: self.now_ms)
        self._ids = count(1)

    def do(self, operation: Operation) -> Any:
        """Its result, once its events are out. Raises what it raises."""
        try:
            return self.writer.call(operation)
        finally:
            self.settle()

    def settle(self) -> None:
        """Return once the events of all that was answered are out."""
        with self.writer.turn:
            pass

    def together(self, *operations: Operation) -> list[Any]:
        """The answers to operations that share one transaction, errors among them."""
        answers: list[Any] = [None] * len(operations)
        left = threading.Semaphore(0)

        def keep(index: int) -> Callable[[object], None]:
            def done(answer: object) -> None:
                answers[index] = answer
                left.release()
            return done

        # While its first item waits here, the writer's thread takes no other: all are queued when it goes on.
        held, go = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            held.set()
            assert go.wait(DEADLINE_S)

        self.writer.submit(EndSession(0), hold)
        assert held.wait(DEADLINE_S)
        for index, operation in enumerate(operations):
            self.writer.submit(operation, keep(index))
        go.set()
        for _ in operations:
            assert left.acquire(timeout=DEADLINE_S)
        self.settle()
        return answers

    def refused(self, operation: Operation) -> int:
        """The status it is refused with."""
        with pytest.raises(Refused) as refused:
            self.do(operation)
        assert refused.value.detail
        return refused.value.status

    def user(self, name: str) -> int:
        """A new account."""
        return int(self.do(CreateUser(name, "", "hash"))["id"])

    def channel(self, by: int, *members: int, kind: Any = "public", name: str | None = None) -> int:
        """A new channel."""
        return int(self.do(CreateChannel(by, kind, name or f"c{next(self._ids)}", "", members))["id"])

    def post(self, user: int, channel: int, text: str = "hello", *, root: int | None = None,
             id: str | None = None) -> Any:
        """A new message."""
        return self.do(PostMessage(user, channel, id or f"m{next(self._ids)}", text, root))[0]

    @property
    def events(self) -> list[Event]:
        """Those that were published."""
        return [what for what in self.published if isinstance(what, Event)]

    @property
    def notices(self) -> list[Notice]:
        """Those that were published."""
        return [what for what in self.published if isinstance(what, Notice)]

    def all(self, sql: str, *values: Any) -> list[Any]:
        """Rows read straight from the tables."""
        return self.database.read(lambda rows: rows.all(sql, values))

    def log(self, channel: int) -> list[tuple[int, str, int]]:
        """(seq, kind, actor) of each event."""
        return [tuple(row) for row in self.all("SELECT seq, kind, actor FROM events WHERE channel_id = ? ORDER BY seq",
                                               channel)]


@contextmanager
def running(database: Database) -> Iterator[World]:
    """A world whose writer runs."""
    world = World(database)
    world.writer.start()
    try:
        yield world
    finally:
        world.writer.stop()

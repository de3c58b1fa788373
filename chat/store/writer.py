"""Group commit: one thread takes all that is queued, stores it in one transaction, and answers once that is synced.

What arrives during a sync shares the next one, so nobody waits for a timer. Answers leave in the order of the commits,
then the events do.
"""
from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

from sqlalchemy.pool import PoolProxiedConnection

from hotpath.core.solo import die

from .database import Database
from .errors import Refused, Unavailable
from .events import Event, Notice
from .failures import Failure, meaning
from .marks import Marks
from .messages import PostMessage
from .operation import Operation
from .posts import post_all
from .statements import Statements
from .transaction import Transaction, wall_clock_ms

log = logging.getLogger(__name__)

Done = Callable[[object], None]
Item = tuple[Operation, Done]

# Operations that may wait. With 3 k messages a second it is a second's worth; beyond it a client waits for nothing.
QUEUE = 4096
# A database that is gone is tried again that often, at first and at most. Each item is answered meanwhile.
RETRY_S = 0.05, 1.0
# How long published_seq may lag behind when no transaction comes along that could carry it.
IDLE_MARKS_S = 0.1


class Writer:
    """The thread that writes. `publish` is called in it, behind the answers, with what a commit made known."""

    def __init__(self, database: Database, *, publish: Callable[[list[Event | Notice]], None],
                 wall_ms: Callable[[], int] = wall_clock_ms, queue: int = QUEUE) -> None:
        self._database = database
        self._publish = publish
        self._wall_ms = wall_ms
        self._limit = queue
        group = database.config.database.group_commit
        self._max_batch = group.max_batch
        self._max_wait_s = group.max_wait
        self._busy_s = database.config.database.busy
        self._text_limit = database.config.limits.text
        self._queue: deque[Item] = deque()
        self._work = threading.Condition(threading.Lock())
        self._stopping = False
        self._is_committing = False     # COMMIT was sent: if the line breaks now, nobody knows
        self._retry_at_s, self._retry_s = 0.0, RETRY_S[0]
        self._connection: PoolProxiedConnection | None = None
        self._rows: Statements | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self.marks = Marks(self._wake)
        self.n_commits = 0          # that succeeded, with at least one item in them
        self.n_items = 0            # that were answered with a result

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then end the thread."""
        with self._work:
            self._stopping = True
            self._work.notify()
        self._thread.join()

    def submit(self, operation: Operation, done: Done) -> None:
        """Queue it. `done` is called in the writer's thread with the result, or with Refused or Unavailable.

        For any thread. Unavailable: too much is queued, or the writer has stopped; then `done` is not called.
        """
        with self._work:
            if self._stopping:
                raise Unavailable("the writer has stopped")
            if len(self._queue) >= self._limit:
                raise Unavailable(f"{self._limit} operations wait already")
            self._queue.append((operation, done))
            if len(self._queue) in (1, self._max_batch):
                self._work.notify()

    def call(self, operation: Operation) -> object:
        """Submit it and wait for the result. Refused, Unavailable. Any thread but the writer's own."""
        answered = threading.Event()
        answers: list[object] = []

        def done(answer: object) -> None:
            answers.append(answer)
            answered.set()

        self.submit(operation, done)
        answered.wait()
        answer = answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def depth(self) -> int:
        """How many operations wait."""
        return len(self._queue)

    def _wake(self) -> None:
        with self._work:
            self._work.notify()

    # ---- the thread

    def _run(self) -> None:
        try:
            while (batch := self._take()) is not None:
                self._write(batch)
        except BaseException as error:
            log.exception("event=writer_failed")
            # Senders would wait for ever.
            die("event=writer_died error=%r", error)
        finally:
            self._disconnect()

    def _take(self) -> list[Item] | None:
        """What is queued; [] when only marks are due; None: stop."""
        with self._work:
            while not self._queue:
                if self._stopping:
                    return None
                if not self._work.wait(IDLE_MARKS_S if self.marks.are_due() else None):
                    return []
            if self._max_wait_s and len(self._queue) < self._max_batch and not self._stopping:
                self._work.wait_for(lambda: len(self._queue) >= self._max_batch or self._stopping, self._max_wait_s)
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]

    def _write(self, batch: Sequence[Item]) -> None:
        """One transaction, answers, events; tried again after a deadlock, for as long as `busy` allows."""
        deadline_s = time.monotonic() + self._busy_s
        pause_s, n_lost = RETRY_S[0], 0
        while True:
            self._is_committing = False
            try:
                tx, answers = self._transaction(batch)
                break
            except Exception as error:
                what = meaning(error)
                self._roll_back(what)
                if what is Failure.LOST and not self._is_committing and n_lost == 0:
                    # The server may have closed an idle connection; nothing was stored.
                    n_lost += 1
                    continue
                if what is Failure.AGAIN and time.monotonic() + pause_s < deadline_s:
                    time.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_S[1])
                    continue
                self._refuse(batch, error, what)
                return
        self._release(batch, answers)
        self._hand_over(tx)

    def _transaction(self, batch: Sequence[Item]) -> tuple[Transaction, list[object]]:
        rows = self._connected()
        rows.run("BEGIN IMMEDIATE" if rows.is_sqlite else "START TRANSACTION")
        tx = Transaction(rows, now_ms=self._wall_ms(), text_limit=self._text_limit)
        homes = [operation.channel_of(tx) for operation, _ in batch]
        waiting = self.marks.waiting()
        tx.hold(home for home in (*homes, *waiting) if home)
        answers: list[object] = [None] * len(batch)
        posts = [index for index, (operation, _) in enumerate(batch) if type(operation) is PostMessage]
        # By channel: whoever needs further locks takes them in the same order as everybody else.
        for index in sorted(set(range(len(batch))).difference(posts), key=homes.__getitem__):
            answers[index] = self._apply(tx, batch[index][0])
        posted = post_all(tx, [cast(PostMessage, batch[index][0]) for index in posts], partial(self._apply, tx))
        for index, answer in zip(posts, posted, strict=True):
            answers[index] = answer
        self.marks.apply(tx, waiting)
        tx.finish()
        self._is_committing = True
        self._commit(rows)
        self.marks.committed()
        return tx, answers

    @staticmethod
    def _apply(tx: Transaction, operation: Operation) -> object:
        try:
            return tx.item(operation.apply)
        except Refused as refused:
            return refused
        except Exception as error:
            if meaning(error).ends_transaction:
                raise
            if meaning(error) is Failure.TAKEN:
                # Somebody else was first with a name, between our look and our INSERT.
                return Refused(409, "taken by somebody else at the same moment")
            log.exception("event=operation_failed operation=%s", type(operation).__name__)
            return error

    @staticmethod
    def _commit(rows: Statements) -> None:
        rows.run("COMMIT")

    def _release(self, batch: Sequence[Item], answers: Sequence[object]) -> None:
        if batch:
            self.n_commits += 1
            self.n_items += len(batch)
        for (_, done), answer in zip(batch, answers, strict=True):
            self._answer(done, answer)

    @staticmethod
    def _answer(done: Done, answer: object) -> None:
        try:
            done(answer)
        except Exception:       # whatever it is: the others wait for theirs
            log.exception("event=answer_failed")

    def _hand_over(self, tx: Transaction) -> None:
        if tx.events or tx.notices:
            try:
                self._publish([*tx.events, *tx.notices])
            except Exception:   # whatever it is: what was not published is found in the log
                log.exception("event=publish_failed")

    def _refuse(self, batch: Sequence[Item], error: Exception, what: Failure) -> None:
        if isinstance(error, Unavailable):
            answer: Exception = error
        elif what is Failure.BUG:
            log.error("event=transaction_failed", exc_info=error)
            answer = error
        else:
            answer = Unavailable(f"the database cannot store now: {error}")
        if batch:
            log.warning("event=not_stored items=%d error=%s", len(batch), error)
        for _, done in batch:
            self._answer(done, answer)

    # ---- the connection

    def _connected(self) -> Statements:
        if self._rows is not None:
            return self._rows
        if time.monotonic() < self._retry_at_s:
            raise Unavailable("the database cannot be reached")
        try:
            connection = self._database.connect()
        except Unavailable:
            self._retry_at_s = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, RETRY_S[1])
            raise
        self._retry_s = RETRY_S[0]
        rows = Statements(connection, is_sqlite=self._database.is_sqlite)
        if not rows.is_sqlite:
            # Behind a lock we read what was committed last, not what there was when the transaction began.
            rows.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            step = rows.one("SELECT @@auto_increment_increment")
            rows.id_step = int(step[0]) if step else 1
        self._connection, self._rows = connection, rows
        return rows

    def _roll_back(self, what: Failure) -> None:
        if what is Failure.LOST:
            self._disconnect()
        elif self._rows is not None:
            try:
                self._rows.run("ROLLBACK")
            except Exception:   # whatever it is, SQLite's having rolled back already among them: begin with a new one
                self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection, self._rows = self._connection, None, None
        if connection is not None:
            # It may be broken already.
            with suppress(Exception):
                connection.close()

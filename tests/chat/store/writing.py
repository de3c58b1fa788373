"""A process that writes: `python -P writing.py DATA URL NAME THREADS FAIL_AT`.

Each thread sends one message after the other as user 1, in turn into channels 1 … 3, with the ids NAME-THREAD-N, and
tries one that was not stored again until it is. Each answer is a line `acked ID CHANNEL SEQ`. With FAIL_AT the process
says `at PLACE` behind its 20th batch and waits there to be killed: `statement` is an INSERT, `before` and `after`
are at COMMIT, `never` is nowhere. What the batches before it answered has its line by then.
"""
from __future__ import annotations

import signal
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any

from hotpath.chat.config import ChatConfig, DatabaseConfig
from hotpath.chat.store import Database, PostMessage, Unavailable, Writer
from hotpath.chat.store.statements import Statements

BATCHES = 20


def say(line: str) -> None:
    """One line at once, whichever thread says it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Failing:
    """Where to stop."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.left = BATCHES
        self.untold: set[str] = set()       # answered, and no line of it yet

    def stop(self, place: str) -> None:
        """Here, if it is time."""
        if place == self.place and self.left <= 0:
            while self.untold:
                time.sleep(0.001)
            say(f"at {place}")
            signal.pause() if threading.current_thread() is threading.main_thread() else time.sleep(1000)


def prepare(failing: Failing) -> None:
    """Put the failpoints in."""
    commit, insert_many = Writer._commit, Statements.insert_many

    def failing_commit(rows: Statements) -> None:
        failing.left -= 1
        failing.stop("before")
        commit(rows)
        failing.stop("after")

    def failing_insert(rows: Statements, target: str, values: Any) -> int:
        result = insert_many(rows, target, values)
        failing.stop("statement")
        return result

    Writer._commit = staticmethod(failing_commit)                   # type: ignore[method-assign]
    Statements.insert_many = failing_insert                         # type: ignore[method-assign]


def send(writer: Writer, failing: Failing, name: str) -> None:
    """Messages for ever."""
    answers: SimpleQueue[Any] = SimpleQueue()
    n = 0

    def answered(answer: object) -> None:
        failing.untold.add(name)
        answers.put(answer)

    while True:
        channel = n % 3 + 1
        writer.submit(PostMessage(1, channel, f"{name}-{n}", f"text {name} {n}"), answered)
        answer = answers.get()
        if isinstance(answer, Unavailable):
            time.sleep(0.01)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            say(f"acked {name}-{n} {channel} {answer[0]['seq']}")
            n += 1
        failing.untold.discard(name)


def main(data: str, url: str, name: str, threads: str, fail_at: str) -> None:
    """Write until killed."""
    failing = Failing(fail_at)
    prepare(failing)
    database = Database.open(ChatConfig(data=data, database=DatabaseConfig(url=url, busy=5.0)))
    writer = Writer(database, publish=lambda batch: None)
    writer.start()
    say("ready")
    for thread in range(int(threads)):
        threading.Thread(target=send, args=(writer, failing, f"{name}-{thread}"), daemon=True).start()
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Asking the API, with patience: who asks, how often, and what the answers are made of."""
from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from hotpath.core.errors import HotpathError
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Task, sleep, spawn, timeout

from .http import Answer, Api, Unreachable
from .target import Target

T = TypeVar("T")

ASK_S = 30.0                    # for one answer
PATIENCE_S = 120.0              # of being told to come later
# Until the API says otherwise in `retry`.
BASE_MS, CAP_MS = 200, 5000


class CannotLoad(HotpathError):
    """The run ended before it measured anything; the message says why."""


@dataclass(slots=True)
class User:
    """An account of ours."""

    name: str
    password: str
    id: int = 0
    token: str = ""


class Made(msgspec.Struct):
    """What we read of a user, a channel or a message."""

    id: int = 0
    seq: int = 0
    head: int = 0


class Session(msgspec.Struct):
    """The answer to a login."""

    token: str


class Retry(msgspec.Struct):
    """Bounds of the full jitter."""

    base_ms: int = BASE_MS
    cap_ms: int = CAP_MS


class Calls:
    """The API at `url`, as one run uses it."""

    def __init__(self, loop: Loop, url: Target) -> None:
        self._loop = loop
        self._url = url
        self.retry = Retry()
        self.stopping = False           # whoever waits need not

    def open(self) -> closing[Api]:
        """A connection, for a block."""
        return closing(Api(self._loop, self._url))

    def ask(self, api: Api, method: str, path: str, body: object = None, user: User | None = None) -> Answer:
        """An answer. Raises Unreachable."""
        try:
            with timeout(ASK_S):
                return api.ask(method, path, body, token=user.token if user else None)
        except TimeoutError:
            raise Unreachable(f"{method} {path}: no answer for {ASK_S:.0f} s") from None

    def must(self, api: Api, method: str, path: str, body: object = None, user: User | None = None) -> Answer:
        """An answer that is 2xx, also if that takes a while. Raises Unreachable, or CannotLoad for another one."""
        deadline_s = time.monotonic() + PATIENCE_S
        attempt = 0
        while True:
            answer = self.ask(api, method, path, body, user)
            if answer.ok:
                return answer
            if answer.status not in (429, 503) or time.monotonic() > deadline_s or self.stopping:
                raise CannotLoad(f"{method} {path}: {answer.detail}")
            attempt += 1
            sleep(max(answer.retry_after_s, self.jitter_s(attempt)))

    def log_in(self, api: Api, user: User) -> None:
        """A new session."""
        answer = self.must(api, "POST", "/api/login", {"name": user.name, "password": user.password})
        user.token = read(answer, Session).token

    def jitter_s(self, attempt: int) -> float:
        """Full jitter (Brooker, AWS 2015), within what the API asked for."""
        retry = self.retry
        return random.uniform(0.0, min(retry.cap_ms, retry.base_ms * 2.0 ** min(attempt, 30))) / 1000

    def share(self, items: list[T], do: Callable[[Api, T], None], *, tasks: int) -> None:
        """`do` each, by so many tasks. Raises what the first that failed raised."""
        left = list(reversed(items))

        def work() -> None:
            with self.open() as api:
                while left:
                    do(api, left.pop())

        finish([spawn(work) for _ in range(min(tasks, len(items)))])


def finish(tasks: list[Task[None]]) -> None:
    """Wait for all. Raises what the first that failed raised, and cancels the rest."""
    try:
        for task in tasks:
            task.result()
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


def read(answer: Answer, kind: type[T]) -> T:
    """The body as a `kind`. Raises CannotLoad."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise CannotLoad(f"the API answered {answer.body[:200]!r}: {error}") from None

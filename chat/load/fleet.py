"""All sockets of a run: connected, brought back when they fall, cut in a storm."""
from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from hotpath.core.errors import HotpathError
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Queue, sleep, spawn, timeout

from .calls import ASK_S, Calls, CannotLoad, Retry, User, read
from .checks import Logs
from .http import Api
from .report import Report
from .sockets import Hooks, Socket

CONNECTING = 32                 # at once: enough to keep the API busy, few enough that each answer is quick
READY_S = 20.0                  # from a ticket to `ready`
FIRST_S = 120.0                 # for all to be ready the first time
TICK_S = 0.1
HISTORY_PAGE = 1000
TOO_MANY = 4009


class Assigned(msgspec.Struct):
    """The answer to /api/connect."""

    url: str
    ticket: str
    gateway: str
    retry: Retry = msgspec.field(default_factory=Retry)


class Event(msgspec.Struct):
    """An event of the log, over HTTP."""

    seq: int
    kind: str


class History(msgspec.Struct):
    """A page of the log."""

    events: list[Event]


class Fleet:
    """So many sockets, shared by the users."""

    def __init__(self, loop: Loop, calls: Calls, n: int, users: list[User], logs: Logs, report: Report,
                 say: Callable[[str], None]) -> None:
        self._loop = loop
        self._calls = calls
        self._users = users
        self._report = report
        self._say = say
        hooks = Hooks(down=self._on_down, behind=self._on_behind, move=self._on_move, word=say)
        self.sockets = [Socket(loop, i % len(users), logs, report, hooks) for i in range(n)]
        self.n_down = 0                             # were ready, and are not
        self._down_since_s: float | None = None     # when the first of them fell
        self.moved = 0                              # counts what shows that something still goes on
        self._waiting: Queue[Socket] = Queue()      # for a gateway
        self._histories: dict[tuple[int, int, int], int] = {}

    def connect(self, step: Callable[[int], None]) -> None:
        """All of them; who does not get ready is left out. Raises CannotLoad when nobody does."""
        for each in self.sockets:
            self._waiting.put_nowait(each)
        connectors = [spawn(self._connect_for_ever) for _ in range(min(CONNECTING, len(self.sockets)))]
        deadline_s = time.monotonic() + FIRST_S
        while self._report.connected < len(self.sockets) and not self._calls.stopping:
            step(self._report.connected)
            for task in connectors:
                if task.done:       # only to raise
                    task.result()
            if time.monotonic() > deadline_s:
                if not self._report.connected:
                    raise CannotLoad("no socket became ready")
                break
            sleep(TICK_S)
        step(self._report.connected)
        n_left_out = sum(not each.is_counted for each in self.sockets)
        if n_left_out:
            self._say(f"{n_left_out} sockets did not become ready, and are left out")
        self.sockets = [each for each in self.sockets if each.is_counted]

    def storm(self) -> None:
        """Cut all, and bring them back."""
        for each in self.sockets:
            if each.is_ready:
                self._cut(each)

    def leave(self) -> None:
        """Close all, as one should."""
        for each in self.sockets:
            each.leave()

    def give_up(self) -> None:
        """Who is down now stays down."""
        if self._down_since_s is not None:
            self._say(f"{self.n_down} sockets did not come back")
            self._report.resume_s = max(self._report.resume_s or 0.0, time.monotonic() - self._down_since_s)

    def _connect_for_ever(self) -> None:
        with self._calls.open() as api:
            while True:
                each = self._waiting.get()
                was_counted = each.is_counted
                try:
                    is_ready = self._connect(api, each)
                except (OSError, HotpathError) as error:
                    self._say(f"not connected: {error}")
                    is_ready = False
                if not is_ready:
                    self._come_back(each)
                elif was_counted:
                    self._on_back()
                else:
                    self._report.connected += 1

    def _connect(self, api: Api, each: Socket) -> bool:
        """To the gateway that the API names; whether it became ready."""
        user = self._users[each.user]
        body = {"exclude": [each.exclude]} if each.exclude else {}
        answer = self._calls.ask(api, "POST", "/api/connect", body, user)
        if answer.status == 401:
            self._calls.log_in(api, user)
            return False
        if not answer.ok:
            if answer.status not in (429, 503):
                raise CannotLoad(f"POST /api/connect: {answer.detail}")
            sleep(min(answer.retry_after_s, ASK_S))
            return False
        assigned = read(answer, Assigned)
        self._calls.retry = assigned.retry
        each.exclude = assigned.gateway     # unless it becomes ready
        try:
            with timeout(READY_S):
                if each.connect(assigned.url, assigned.ticket):
                    return True
        except TimeoutError:
            self._say(f"{assigned.gateway}: not ready within {READY_S:.0f} s")
            return False
        if each.code == TOO_MANY:
            self._say(f"{assigned.gateway}: closed with {TOO_MANY}: too many sockets of one user; use more --users")
        elif each.refusal:
            self._say(f"{assigned.gateway}: {each.refusal}")
        return False

    def _come_back(self, each: Socket, after_s: float | None = None) -> None:
        each.attempt += 1
        self._loop.call_later(self._calls.jitter_s(each.attempt) if after_s is None else after_s,
                              self._waiting.put_nowait, each)

    def _on_down(self, each: Socket, code: int) -> None:
        """It was ready, and was closed by the other side."""
        self._say(f"sockets closed with {code}")
        self._count_down()
        self._come_back(each)

    def _count_down(self) -> None:
        self.n_down += 1
        if self._down_since_s is None:
            self._down_since_s = time.monotonic()

    def _on_back(self) -> None:
        self.moved += 1
        self.n_down -= 1
        if self.n_down == 0 and self._down_since_s is not None:
            self._report.resume_s = max(self._report.resume_s or 0.0, time.monotonic() - self._down_since_s)
            self._down_since_s = None

    def _on_move(self, each: Socket, after_s: float) -> None:
        """Its gateway is drained."""
        self._loop.call_later(after_s, self._move, each)

    def _move(self, each: Socket) -> None:
        if each.is_ready:
            self._cut(each, 0.0)

    def _cut(self, each: Socket, after_s: float | None = None) -> None:
        each.cut()
        self._count_down()
        self._come_back(each, after_s)

    def _on_behind(self, each: Socket, channel: int, first: int, last: int) -> None:
        self._say(f"reset: fetching history of channel {channel}")
        spawn(self._fetch, each, channel, first, last)

    def _fetch(self, each: Socket, channel: int, first: int, last: int) -> None:
        """What a reset left out, from the log: every seq must be there."""
        at = (channel, first, last)
        if at not in self._histories:
            self._histories[at] = self._messages_in(channel, first, last, self._users[each.user])
        self._report.delivered += self._histories[at]

    def _messages_in(self, channel: int, first: int, last: int, user: User) -> int:
        n, awaited = 0, first
        with self._calls.open() as api:
            while awaited <= last:
                answer = self._calls.must(
                    api, "GET", f"/api/channels/{channel}/events?after={awaited - 1}&limit={HISTORY_PAGE}", None, user)
                events = read(answer, History).events
                if not events:
                    break
                for event in events:
                    if event.seq > awaited:
                        self._report.tally.lost += event.seq - awaited
                    awaited = event.seq + 1
                    n += event.kind == "message" and event.seq <= last
        self._report.tally.lost += max(0, last + 1 - awaited)
        return n

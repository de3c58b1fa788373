"""A run: accounts and channels, sockets, messages at a rate, perhaps a storm, and the reckoning."""
from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import msgspec

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Queue, sleep, spawn
from hotpath.core.tasks.task import kept_by_loop

from .calls import ASK_S, Calls, CannotLoad, Made, User, finish, read
from .checks import Logs
from .fleet import TICK_S, Fleet
from .http import Api, Unreachable
from .report import Report
from .wanted import Wanted

SETTING_UP = 8                  # tasks that make accounts
SENDING = 64                    # tasks that send
SETTLE_S = 15.0                 # behind the last message, without anything moving: what is missing then is lost
LEAVE_S = 1.0


class Mine(msgspec.Struct):
    """Our channels."""

    channels: list[Made]


class _Held:
    """The loop that our tasks run on."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def close(self) -> None:
        """Nothing is ours."""


class Run:
    """One run; `word` takes lines for a person, `step` how far which phase is."""

    def __init__(self, wanted: Wanted, *, word: Callable[[str], None], step: Callable[[str, int, int], None]) -> None:
        self.wanted = wanted
        self.report = Report()
        self._word = word
        self._step = step
        self._said: set[str] = set()
        self._logs = Logs(self.report.tally)
        self._tag = os.urandom(4).hex()
        self._users = [User(f"load-{self._tag}-{n}", os.urandom(12).hex()) for n in range(wanted.users)]
        self._channels: list[int] = []

    def __call__(self) -> Report:
        """In a task, on a loop of its own. Raises CannotLoad."""
        loop = kept_by_loop("load", _Held).loop
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.on_signal(number, self._stop)
        self._calls = Calls(loop, self.wanted.url)
        self._fleet = Fleet(loop, self._calls, self.wanted.clients, self._users, self._logs, self.report, self._say)
        try:
            self._set_up()
            self._fleet.connect(lambda n: self._step("sockets", n, self.wanted.clients))
            self._send_all()
            self._settle()
            self._fleet.leave()
            sleep(min(LEAVE_S, 0.0001 * self.wanted.clients))
        except Unreachable as error:
            raise CannotLoad(str(error)) from None
        return self.report

    def _stop(self) -> None:
        self._say("stopping")
        self._calls.stopping = True

    def _say(self, line: str) -> None:
        """Once: thousands of sockets may have the same to say."""
        if line not in self._said and len(self._said) < 100:
            self._said.add(line)
            self._word(line)

    # Accounts and channels

    def _set_up(self) -> None:
        first, *others = self._users
        n_made = 0

        def make(api: Api, user: User) -> None:
            nonlocal n_made
            made = self._calls.must(api, "POST", "/api/users", {"name": user.name, "password": user.password})
            user.id = read(made, Made).id
            self._calls.log_in(api, user)
            n_made += 1
            self._step("users", n_made, len(self._users))

        with self._calls.open() as api:
            # The first account on a new server is its administrator, and who that is should not depend on a race.
            make(api, first)
            self._calls.share(others, make, tasks=SETTING_UP)
            for n in range(self.wanted.channels):
                made = self._calls.must(api, "POST", "/api/channels", {
                    "name": f"load-{self._tag}-{n}", "kind": "private", "members": [user.id for user in others]}, first)
                self._channels.append(read(made, Made).id)

    # Messages

    def _send_all(self) -> None:
        wanted, report = self.wanted, self.report
        total = max(1, round(wanted.rate * wanted.seconds))
        due: Queue[tuple[int, float]] = Queue()
        report.first_sent_s = report.last_delivered_s = start_s = time.monotonic()
        senders = [spawn(self._send_due, due) for _ in range(min(SENDING, total))]
        stormed = not wanted.storm
        for n in range(total):
            now_s = time.monotonic()
            at_s = start_s + n / wanted.rate
            if not stormed and n >= total // 2:
                stormed = True
                self._fleet.storm()
            if at_s > now_s:
                sleep(at_s - now_s)
            if self._calls.stopping:
                break
            report.sent += 1
            due.put_nowait((n, at_s))
            self._step("messages", report.acked, total)
        for _ in senders:
            due.put_nowait((-1, 0.0))
        finish(senders)
        self._step("messages", report.acked, total)

    def _send_due(self, due: Queue[tuple[int, float]]) -> None:
        with self._calls.open() as api:
            while True:
                n, at_s = due.get()
                if n < 0:
                    return
                self._send(api, n, at_s)

    def _send(self, api: Api, n: int, at_s: float) -> None:
        """One message, as often as it takes: the same `client_msg_id` is stored once."""
        user = self._users[n % len(self._users)]
        # Not in step with the users: each of them writes to each channel.
        channel = self._channels[(n // len(self._users) + n) % len(self._channels)]
        path = f"/api/channels/{channel}/messages"
        client_msg_id = f"m{n}"
        text = f"message {n} ".ljust(self.wanted.size, "x")[:self.wanted.size]
        body = {"client_msg_id": client_msg_id, "text": text}
        deadline_s = time.monotonic() + ASK_S
        attempt = 0
        while True:
            try:
                answer = self._calls.ask(api, "POST", path, body, user)
            except Unreachable as error:
                self._say(f"sending again: {error}")
                wait_s = 0.0
            else:
                if answer.ok:
                    now_s = time.monotonic()
                    made = read(answer, Made)
                    self._fleet.moved += 1
                    self.report.acked += 1
                    self.report.ack.add(now_s - at_s)
                    self._logs.acked(channel, made.seq, client_msg_id, now_s)
                    return
                self._say(f"POST {path.replace(str(channel), 'C')}: {answer.detail}")
                if answer.status < 429:
                    return
                wait_s = answer.retry_after_s
            attempt += 1
            wait_s = max(wait_s, self._calls.jitter_s(attempt))
            if time.monotonic() + wait_s > deadline_s:
                return
            sleep(wait_s)

    # The reckoning

    def _settle(self) -> None:
        """Wait for all that is still on its way, then count what is missing."""
        heads = self._heads()
        seen, quiet_since_s = -1, time.monotonic()
        while not self._has_all(heads):
            now = self.report.delivered + self._fleet.moved
            if now != seen:
                seen, quiet_since_s = now, time.monotonic()
            if time.monotonic() > quiet_since_s + SETTLE_S:
                break
            self._step("last deliveries", self.report.delivered, 0)
            sleep(TICK_S)
        self._fleet.give_up()
        for each in self._fleet.sockets:
            for channel, head in heads.items():
                position = each.positions.get(channel)
                if position is None:
                    self.report.tally.lost += head
                else:
                    position.settle(head, self.report.tally)

    def _heads(self) -> dict[int, int]:
        """The end of each channel's log."""
        with self._calls.open() as api:
            mine = read(self._calls.must(api, "GET", "/api/channels?scope=mine", None, self._users[0]), Mine)
        return {channel.id: channel.head for channel in mine.channels if channel.id in self._channels}

    def _has_all(self, heads: dict[int, int]) -> bool:
        return all((position := each.positions.get(channel)) is not None and position.next > head
                   and not position.missing for each in self._fleet.sockets for channel, head in heads.items())

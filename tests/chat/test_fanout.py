"""The fan-out over real sockets against a model of twenty lines."""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.serve.testing import Served, serving
from tests.chat import fanouts
from tests.chat.fanouts import RING, frame_of, resp
from tests.clients import fetch
from tests.wsclient import Client, connect

NAMES = {"a": 1, "b": 1, "c": 2, "d": 3}
FIRST = 5


class House:
    """A server with its four sockets."""

    def __init__(self, served: Served, clients: dict[str, Client]) -> None:
        self.served, self.clients = served, clients

    def run(self, steps: list[list[Any]], first: int = FIRST) -> dict[str, Any]:
        """What the script answered, and what each socket got."""
        answer = fetch(self.served.address, "/run", "POST", body=json.dumps([first, steps]).encode())
        assert answer.status == 200, answer.body
        result = answer.json()
        if "error" not in result:
            result["got"] = {name: self.frames(client) for name, client in self.clients.items()}
        return result

    @staticmethod
    def frames(client: Client) -> list[str]:
        """Up to the end of the script."""
        frames = []
        while (event := client.read()).payload != b"end":
            frames.append(event.payload.decode())
        return frames


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with serving(fanouts.make()) as served, ExitStack() as stack:
        yield House(served, {name: stack.enter_context(connect(served.address, f"/ws/{name}/{user}"))
                             for name, user in NAMES.items()})


class Model:
    """What a channel is, without a thought for speed."""

    def __init__(self) -> None:
        self.next, self.oldest, self.gapped = FIRST, FIRST, False
        self.held: dict[int, tuple[int, int]] = {}
        self.live: set[str] = set()
        self.got: dict[str, list[str]] = {name: [] for name in NAMES}
        self.told: list[Any] = []

    def gap(self) -> None:
        if not self.gapped:
            self.gapped = True
            self.told.append(["gap"])

    def deliver(self, flags: int, subject: int) -> None:
        for name in self.live:
            self.got[name].append(frame_of(self.next).decode())
        self.next += 1
        self.oldest = max(self.oldest, self.next - RING)
        if flags:
            self.told.append(["joined" if flags & 1 else "left", self.next - 1, subject])
            if not flags & 1:
                self.live -= {name for name in self.live if NAMES[name] == subject}

    def publish(self, seq: int, flags: int, subject: int) -> bool:
        if seq < self.next:
            return False
        if seq > self.next:
            if seq <= self.next + RING and len(self.held) < RING:
                self.held[seq] = (flags, subject)
            self.gap()
            return False
        self.deliver(flags, subject)
        while self.next in self.held:
            self.deliver(*self.held.pop(self.next))
        self.gapped = self.gapped and bool(self.held)
        return True

    def feed(self, events: list[list[int]], cut: int) -> None:
        for event in events:
            self.publish(*event)

    def attach(self, name: str, since: int) -> bool:
        if name in self.live:
            return True
        if since + 1 < self.oldest:
            return False
        self.got[name] += [frame_of(seq).decode() for seq in range(since + 1, self.next)]
        self.live.add(name)
        return True

    def detach(self, name: str) -> bool:
        was = name in self.live
        self.live.discard(name)
        return was

    def typing(self, actor: int) -> None:
        for name in self.live:
            if NAMES[name] != actor:
                self.got[name].append("typing")

    def settle(self) -> None:
        self.held = {seq: held for seq, held in self.held.items() if seq >= self.next}
        self.gapped = False

    def skip(self, next: int) -> None:
        self.next = self.oldest = max(next, self.next)
        self.settle()

    def summary(self) -> list[Any]:
        return [self.next, self.oldest, min(self.held, default=self.next), self.gapped,
                sorted(NAMES[name] for name in self.live)]


EVENTS = st.tuples(st.integers(1, 60), st.sampled_from([0, 0, 0, 0, 1, 2]), st.integers(1, 3)).map(list)
# Most of what comes is the next one: by its place in the script, which a model need not know.
RUNS = st.tuples(st.integers(1, 50), st.integers(1, 20)).map(lambda run: [[n, 0, 0] for n in range(run[0], sum(run))])
STEPS = st.lists(st.one_of(
    EVENTS.map(lambda event: ["publish", *event]),
    st.tuples(st.one_of(RUNS, st.lists(EVENTS, max_size=5)), st.integers(1, 200)).map(lambda both: ["feed", *both]),
    st.tuples(st.sampled_from(sorted(NAMES)), st.integers(0, 60)).map(lambda both: ["attach", *both]),
    st.sampled_from(sorted(NAMES)).map(lambda name: ["detach", name]),
    st.integers(1, 4).map(lambda actor: ["typing", actor]),
    st.just(["settle"]),
    st.integers(1, 60).map(lambda next: ["skip", next]),
), max_size=30)


@settings(max_examples=150)
@given(STEPS)
def test_it_does_what_the_model_does(house: House, steps: list[list[Any]]):
    model = Model()
    answers = [getattr(model, name)(*values) for name, *values in steps]
    result = house.run(steps)
    assert result["answers"] == [*answers, model.summary()]
    assert result["told"] == model.told
    assert result["got"] == model.got


def test_what_is_lost_doubled_and_swapped_arrives_once_and_in_order(house: House):
    result = house.run([
        ["attach", "a", FIRST - 1],
        ["feed", [[5, 0, 0], [5, 0, 0], [7, 0, 0], [6, 0, 0], [9, 0, 0], [6, 0, 0], [9, 0, 0]], 11],
        ["publish", 8, 0, 0],
    ])
    assert result["got"]["a"] == ["e5", "e6", "e7", "e8", "e9"]
    assert result["told"] == [["gap"], ["gap"]]


def test_who_left_gets_that_as_the_last_and_who_joins_late_gets_the_ring(house: House):
    result = house.run([
        ["attach", "a", 4], ["attach", "c", 4],
        ["feed", [[5, 2, 2], [6, 0, 0]], 1000],
        ["attach", "d", 4],
        ["feed", [[7, 0, 0]], 1000],
    ])
    assert result["got"] == {"a": ["e5", "e6", "e7"], "b": [], "c": ["e5"], "d": ["e5", "e6", "e7"]}


def test_behind_the_ring_it_says_so(house: House):
    events = [[n, 0, 0] for n in range(5, 5 + RING + 3)]
    result = house.run([["feed", events, 64], ["attach", "a", 4], ["attach", "b", 7]])
    assert result["answers"][1:3] == [False, True]
    assert result["got"]["b"] == [f"e{n}" for n in range(8, 5 + RING + 3)]


# What Redis says besides

@pytest.mark.parametrize("cut", [1, 2, 1000])
def test_other_replies_are_told_however_they_are_cut(house: House, cut: int):
    said = b"".join((
        resp(b"subscribe", b"t:c:1", 1), b"+PONG\r\n", resp(b"message", b"t:u:9", b"{}"), resp(b"message", b"x", b""),
        b"-ERR no\r\n", resp(b"unsubscribe", b"t:c:1", 0), resp(b"pong", b""),
        b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"))
    assert house.run([["raw", said.decode("latin-1"), cut]])["told"] == [
        ["subscribe", "t:c:1", 1], ["pong", "", "PONG"], ["message", "t:u:9", "{}"], ["message", "x", ""],
        ["error", "", "ERR no"], ["unsubscribe", "t:c:1", 0], ["pong", "", None], ["unsubscribe", "", 0]]


@pytest.mark.parametrize("said", [
    "HTTP/1.1 200 OK\r\n", "*1\r\n$1\r\nx\r\n", "*x\r\n", "$5\r\nhello\r\n", "*3\r\n+a\r\n", "*\r\n", "\r\n", "*3\n",
    "*3\r\n:1\r\n:2\r\n:3\r\n", "*3\r\n$99999999999\r\n", "*2000000000000000000000\r\n", "*3\r\n$-2\r\n"])
def test_what_no_redis_says_is_refused(house: House, said: str):
    assert "error" in house.run([["raw", said, 1000]])


def test_what_is_not_of_ours_is_passed_over(house: House):
    payloads = (b"", b"\1" * 39, b"\2" + bytes(60), b"\1\7" + bytes(60))
    said = b"".join(resp(b"message", b"t:c:7", payload) for payload in payloads)
    result = house.run([["raw", said.decode("latin-1"), 7], ["attach", "a", 4], ["publish", 5, 0, 0]])
    assert result["got"]["a"] == ["e5"]

"""A topic is ours when Redis has done all it was told of it, in whatever rhythm it answers and goes."""
from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotpath.chat.gateway.redisline import command
from hotpath.chat.gateway.subscription import Subscription
from hotpath.core.net.loop import Loop

TOPICS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True)


class Line:
    """A Redis of a few lines: what it was told, and what it has answered."""

    def __init__(self) -> None:
        self.is_up = False
        self.told: deque[tuple[str, str]] = deque()
        self.subscribed: set[str] = set()
        self.is_full = False

    def write(self, data: bytes) -> bool:
        if self.is_full or not self.is_up:
            return False
        verb, *topics = (word for word in data.split(b"\r\n") if word and word[:1] not in b"*$")
        for topic in topics:
            self.told.append((verb.decode(), topic.decode()))
        assert data == command(verb, *topics)
        return True

    def cut(self) -> None:
        """It goes with the next `down`."""


class Rhythm(RuleBasedStateMachine):
    """Any order of wishes, answers, losses."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: set[str] = set()
        self.n_whole = self.n_down = 0
        loop = Loop()
        self.subscription = Subscription(
            loop, lambda: "", feed=lambda data: None, forget=lambda: None,
            on_whole=lambda: setattr(self, "n_whole", self.n_whole + 1),
            on_down=lambda: setattr(self, "n_down", self.n_down + 1))
        loop.close()
        self.line: Any = Line()
        self.subscription.line = self.line

    @rule(topics=TOPICS)
    def add(self, topics):
        self.subscription.add(topics)
        self.wanted |= set(topics)

    @rule(topics=TOPICS)
    def remove(self, topics):
        self.subscription.remove(topics)
        self.wanted -= set(topics)

    @rule()
    def up(self):
        if not self.line.is_up:
            self.line.is_up = True
            self.subscription._up()

    @rule()
    def down(self):
        if self.line.is_up:
            self.line.is_up = False
            self.line.told.clear()
            self.line.subscribed.clear()
            self.subscription._down()

    @rule(n=st.integers(1, 9))
    def answer(self, n):
        for _ in range(min(n, len(self.line.told))):
            verb, topic = self.line.told.popleft()
            (self.line.subscribed.add if verb == "SUBSCRIBE" else self.line.subscribed.discard)(topic)
            self.subscription.answered(topic)

    @invariant()
    def what_we_have_comes(self):
        for topic in "abc":
            if self.subscription.has(topic):
                assert topic in self.line.subscribed
                assert not any(told == topic for _, told in self.line.told), "and goes on coming"
        if self.line.is_up and not self.line.told:
            assert self.line.subscribed == self.wanted
            assert all(map(self.subscription.has, self.wanted))
            assert self.subscription.is_whole


TestRhythm = Rhythm.TestCase

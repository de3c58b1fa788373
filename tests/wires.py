"""Two protocol machines on a fake wire: what one sends the other receives, cut anywhere and late."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Protocol


class Machine(Protocol):
    """One end: h11's or wsproto's shape, or whatever a test wraps in it."""

    def receive(self, data: bytes) -> None:
        """Bytes from the wire; b"" once the other end has closed."""

    def to_send(self) -> bytes | None:
        """Bytes for the wire, b"" for none now, None to close. Asked again after each receive()."""


class Wire:
    """`left` and `right`, and what is under way between them. `random` decides on every cut and on who is next."""

    def __init__(self, left: Machine, right: Machine, random: Random, *, longest: int = 64) -> None:
        self.ends = (left, right)
        self.random = random
        self.longest = longest
        # To left, to right. b"": closed behind it.
        self.under_way: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.closed = [False, False]

    def collect(self, sender: int) -> None:
        """Put what that end has to send on the wire."""
        while not self.closed[sender]:
            data = self.ends[sender].to_send()
            if data == b"":
                return
            self.closed[sender] = data is None
            self.under_way[1 - sender].append(data or b"")

    def deliver(self, receiver: int) -> None:
        """Let a piece of what is under way arrive: part of what was sent at once, or more than was."""
        waiting = self.under_way[receiver]
        if waiting[0] == b"":
            waiting.popleft()
            self.ends[receiver].receive(b"")
            return
        size = self.random.randint(1, self.longest)
        piece = b""
        while waiting and waiting[0] and len(piece) < size:
            data = waiting.popleft()
            room = size - len(piece)
            piece += data[:room]
            if data[room:]:
                waiting.appendleft(data[room:])
        self.ends[receiver].receive(piece)

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Until `until()` holds, or until neither has anything more to say."""
        while not (until and until()):
            for sender in (0, 1):
                self.collect(sender)
            receivers = [n for n in (0, 1) if self.under_way[n]]
            if not receivers:
                return
            self.deliver(self.random.choice(receivers))

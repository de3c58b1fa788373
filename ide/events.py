"""What happens in a project, told to each of its pages, in order; who was away a moment hears what it missed."""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from hotpath.core.tasks import Event

KEPT = 1000             # messages that whoever comes back may have missed
WAITING = 1000          # messages that one page may be behind; then it must read all anew
OVERFLOW: Mapping[str, Any] = {"type": "overflow"}

Message = Mapping[str, Any]


class Subscription:
    """One page's view of a bus; give it back with `close`."""

    def __init__(self, bus: Bus, missed: list[Message]) -> None:
        """Begin with what was missed."""
        self._bus = bus
        self._messages: deque[Message] = deque(missed)
        self._some = Event()
        self.closed = False
        if missed:
            self._some.set()

    @property
    def waiting(self) -> int:
        """How many messages are there to be taken."""
        return len(self._messages)

    def next(self) -> Message | None:
        """In a task: the next message; None once it is closed."""
        while not self._messages:
            if self.closed:
                return None
            self._some.clear()
            self._some.wait()
        return self._messages.popleft()

    def close(self) -> None:
        """No more comes; whoever waits in `next` goes on."""
        self.closed = True
        self._bus.forget(self)
        self._some.set()

    def put(self, message: Message) -> None:
        """Queue it; a page that is too far behind gets `overflow` in place of all that waits."""
        if len(self._messages) >= WAITING:
            self._messages.clear()
            message = {**OVERFLOW, "seq": message["seq"]}
        self._messages.append(message)
        self._some.set()


class Bus:
    """Of one project; used in the loop's thread only."""

    def __init__(self, seq: int = 0) -> None:
        """Nothing happened yet; numbers go on from `seq`."""
        self.seq = seq
        self._kept: deque[Message] = deque(maxlen=KEPT)
        self._subscriptions: set[Subscription] = set()

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._subscriptions)

    def publish(self, message: Message) -> None:
        """Number it, keep it, and queue it to all who listen."""
        self.seq += 1
        numbered = {**message, "seq": self.seq}
        self._kept.append(numbered)
        for subscription in tuple(self._subscriptions):
            subscription.put(numbered)

    def subscribe(self, since: int | None = None) -> Subscription:
        """From now on, or from behind `since` on.

        What is not kept any more, or was another bus's number, is made good by `overflow`: read all anew.
        """
        missed: list[Message] = []
        if since is not None and since != self.seq:
            first = self._kept[0]["seq"] if self._kept else self.seq + 1
            if first - 1 <= since < self.seq:
                missed = [message for message in self._kept if message["seq"] > since]
            else:
                missed = [{**OVERFLOW, "seq": self.seq}]
        subscription = Subscription(self, missed)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Tell it nothing more."""
        self._subscriptions.discard(subscription)

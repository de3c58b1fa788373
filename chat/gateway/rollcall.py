"""Has a user too many sockets over all gateways? Who lets one more in asks the others, and counts who answers now.

Nothing is remembered of other gateways: one that was killed does not answer, so its sockets, which are coming here just
then, are not counted twice. While Redis is away each gateway counts for itself.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

# How long answers are awaited.
ANSWERS_S = 0.4
# By then whoever asked has decided, too: clocks tick now and then.
DECIDED_S = ANSWERS_S + 0.4
# Whoever has one socket here is asked about only where the limit is that small: beyond it, one more does no harm, and
# most people have one.
SMALL = 8


class Call(msgspec.Struct, omit_defaults=True):
    """On a user's topic. Without `n`: how many sockets have you? With it: so many, to `asked_by`."""

    gw: str
    n: int | None = None
    asked_by: str | None = None


@dataclass(slots=True)
class Asked:
    """One user's count, under way."""

    due_s: float
    n_elsewhere: dict[str, int] = field(default_factory=dict)


class RollCall:
    """The counts that are under way. No clock and no I/O."""

    def __init__(self, gateway: str, limit: int) -> None:
        """`limit`: sockets of one user over all gateways."""
        self._gateway, self._limit = gateway, limit
        self._wanted: dict[int, None] = {}
        self._asked: dict[int, Asked] = {}
        # Until when another one, before us by name, counts: both would close the same excess.
        self._theirs_s: dict[int, float] = {}

    def opened(self, user: int, n_here: int) -> None:
        """One more socket: `n_here` now."""
        if n_here > 1 or self._limit < SMALL:
            self._wanted[user] = None

    def ask(self, now_s: float) -> Iterator[tuple[int, Call]]:
        """What to publish now, to whose topic."""
        # What others answered to the count under way may be older than the last socket: that one is counted behind it.
        for user in [user for user, until_s in self._theirs_s.items() if until_s <= now_s]:
            del self._theirs_s[user]
        for user in [user for user in self._wanted if user not in self._asked and user not in self._theirs_s]:
            del self._wanted[user]
            self._asked[user] = Asked(now_s + ANSWERS_S)
            yield user, Call(self._gateway)

    def hear(self, user: int, call: Call, n_here: int, now_s: float) -> Call | None:
        """What another gateway says of that user; the answer to it."""
        if call.gw == self._gateway:
            return None
        asked = self._asked.get(user)
        if call.n is None:
            if call.gw < self._gateway:
                self._theirs_s[user] = now_s + DECIDED_S
                if asked is not None:
                    del self._asked[user]
                    self._wanted[user] = None
            return Call(self._gateway, n_here, call.gw)
        if asked is not None and call.asked_by == self._gateway:
            asked.n_elsewhere[call.gw] = call.n
        return None

    def due(self, now_s: float) -> Iterator[tuple[int, int]]:
        """(user, sockets that may be here) of the counts that are done."""
        for user in [user for user, asked in self._asked.items() if asked.due_s <= now_s]:
            yield user, max(0, self._limit - sum(self._asked.pop(user).n_elsewhere.values()))

"""Is each event of a channel here, once, in order? One socket's place in each log, and what is wrong with it."""
from __future__ import annotations

from dataclasses import dataclass, field

# A hole is remembered seq by seq, so that what fills it late is known from what comes twice; no honest one is larger.
MAX_HOLE = 100_000
# Events whose sender is remembered, over all channels.
MAX_KNOWN = 65_536


@dataclass(slots=True)
class Tally:
    """What was wrong, over all sockets."""

    lost: int = 0               # never came, though acknowledged or in the log
    duplicated: int = 0         # came once more
    out_of_order: int = 0       # came behind a later one, or is not what others got at this seq


class Position:
    """How far one socket is in one channel."""

    __slots__ = ("missing", "next")

    def __init__(self, next_seq: int) -> None:
        self.next = next_seq                    # awaited; all below it came, but for:
        self.missing: set[int] | None = None

    def arrived(self, seq: int, tally: Tally) -> bool:
        """An event came. Whether for the first time."""
        if seq == self.next:
            self.next = seq + 1
            return True
        if seq > self.next:
            self.skipped(seq, tally)
            self.next = seq + 1
            return True
        if self.missing and seq in self.missing:
            self.missing.remove(seq)
            tally.out_of_order += 1
            return True
        tally.duplicated += 1
        return False

    def skipped(self, upto: int, tally: Tally) -> None:
        """What was awaited next is `upto`: all from our `next` on is missing until it comes."""
        if upto - self.next > MAX_HOLE:
            tally.lost += upto - self.next
        else:
            self.missing = (self.missing or set()) | set(range(self.next, upto))
        self.next = upto

    def settle(self, head: int, tally: Tally) -> None:
        """Nothing more comes, and the log goes up to `head`."""
        tally.lost += len(self.missing or ()) + max(0, head + 1 - self.next)
        self.missing, self.next = None, max(self.next, head + 1)


@dataclass(slots=True)
class Known:
    """An event of a log, as its 201 says; until that comes, as the first socket that told us of it did."""

    client_msg_id: str | None
    n_alike: int = 0                    # sockets that said the same
    n_other: int = 0                    # and something else
    acked_s: float | None = None        # when its 201 came


@dataclass(slots=True)
class Logs:
    """What all sockets must agree on: what stands at (channel, seq)?"""

    tally: Tally
    known: dict[tuple[int, int], Known] = field(default_factory=dict)

    def delivered(self, channel: int, seq: int, client_msg_id: str | None) -> Known:
        """A socket got it."""
        known = self._at(channel, seq, client_msg_id)
        if known.client_msg_id == client_msg_id:
            known.n_alike += 1
        else:
            known.n_other += 1
            self.tally.out_of_order += 1
        return known

    def acked(self, channel: int, seq: int, client_msg_id: str, now_s: float) -> None:
        """The API says that this message stands there."""
        known = self._at(channel, seq, client_msg_id)
        if known.client_msg_id != client_msg_id:
            # Those who came first were the ones who had it wrong.
            self.tally.out_of_order += known.n_alike - known.n_other
            known.client_msg_id, known.n_alike, known.n_other = client_msg_id, known.n_other, known.n_alike
        if known.acked_s is None:
            known.acked_s = now_s

    def _at(self, channel: int, seq: int, client_msg_id: str | None) -> Known:
        at = (channel, seq)
        known = self.known.get(at)
        if known is None:
            known = self.known[at] = Known(client_msg_id)
            if len(self.known) > MAX_KNOWN:
                del self.known[next(iter(self.known))]
        return known

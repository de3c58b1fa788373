"""What came of a run: the figures, as a table or as JSON."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from .checks import Tally

# 64 buckets to each power of two: a percentile is right within 1.6 %.
FINE_BITS = 6
LARGEST_US = 2**32


class Percentiles(TypedDict):
    """Milliseconds; None: nothing was measured."""

    p50: float | None
    p99: float | None


class Summary(TypedDict):
    """What `--json` prints."""

    connected: int
    sent: int
    acked: int
    delivered: int
    lost: int
    duplicated: int
    out_of_order: int
    ack_ms: Percentiles
    deliver_ms: Percentiles
    deliveries_per_s: float
    resume_s: float | None


class Histogram:
    """Many times, in a few counters."""

    __slots__ = ("_counts", "n")

    def __init__(self) -> None:
        self.n = 0
        self._counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """One; below 0 counts as 0."""
        us = min(max(int(seconds * 1e6), 0), LARGEST_US)
        shift = max(us.bit_length() - FINE_BITS - 1, 0)
        key = (shift << (FINE_BITS + 1)) + (us >> shift)
        self._counts[key] = self._counts.get(key, 0) + 1
        self.n += 1

    def at_ms(self, share: float) -> float | None:
        """Milliseconds that `share` (0 to 1) of them do not exceed; None: there are none."""
        due = share * self.n
        for key in sorted(self._counts):
            due -= self._counts[key]
            if due <= 0:
                shift, fine = divmod(key, 1 << (FINE_BITS + 1))
                return round((fine << shift) / 1000, 3)
        return None

    def percentiles(self) -> Percentiles:
        """The two that we print."""
        return {"p50": self.at_ms(0.5), "p99": self.at_ms(0.99)}


@dataclass(slots=True)
class Report:
    """What is counted while it runs."""

    tally: Tally = field(default_factory=Tally)
    connected: int = 0
    sent: int = 0
    acked: int = 0
    delivered: int = 0
    ack: Histogram = field(default_factory=Histogram)           # first try to 2xx
    deliver: Histogram = field(default_factory=Histogram)       # 2xx to a socket; 0 if the socket was first
    resume_s: float | None = None       # the longest that sockets were missing
    first_sent_s: float = 0.0
    last_delivered_s: float = 0.0

    def summary(self) -> Summary:
        """All of it."""
        took_s = self.last_delivered_s - self.first_sent_s
        return {
            "connected": self.connected, "sent": self.sent, "acked": self.acked, "delivered": self.delivered,
            "lost": self.tally.lost, "duplicated": self.tally.duplicated, "out_of_order": self.tally.out_of_order,
            "ack_ms": self.ack.percentiles(), "deliver_ms": self.deliver.percentiles(),
            "deliveries_per_s": round(self.delivered / took_s, 1) if took_s > 0 else 0.0,
            "resume_s": None if self.resume_s is None else round(self.resume_s, 3),
        }

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or swapped."""
        return not (self.tally.lost or self.tally.duplicated or self.tally.out_of_order)

    def table(self) -> str:
        """For a person."""
        one = self.summary()
        rows = [
            ("sockets", str(one["connected"])),
            ("messages", f"{one['sent']} sent, {one['acked']} acknowledged"),
            ("deliveries", f"{one['delivered']}, {one['deliveries_per_s']:.0f}/s"),
            ("lost, doubled, out of order", f"{one['lost']}, {one['duplicated']}, {one['out_of_order']}"),
            ("send to 201", _shown(one["ack_ms"])),
            ("201 to delivered", _shown(one["deliver_ms"])),
        ]
        if one["resume_s"] is not None:
            rows.append(("all back after", f"{one['resume_s']:.2f} s"))
        return "\n".join(f"{name:27}  {value}" for name, value in rows)


def _shown(times: Percentiles) -> str:
    if times["p50"] is None or times["p99"] is None:
        return "-"
    return f"p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms"

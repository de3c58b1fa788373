"""One of many processes does a job: a lease with an end, and a number that fences off whoever held it before."""
from __future__ import annotations

from dataclasses import dataclass

from .errors import Refused
from .operation import NoChannel
from .transaction import Transaction


@dataclass(frozen=True, slots=True)
class TakeLease(NoChannel):
    """-> its fencing number; None while somebody else holds it. The holder takes it anew: same number, later end."""

    name: str
    owner: str
    ttl_ms: int

    def apply(self, tx: Transaction) -> int | None:
        """Never refused."""
        rows = tx.rows
        row = rows.one(f"SELECT owner, fence, until FROM leases WHERE name = ?{rows.for_update}", (self.name,))
        until = tx.now_ms + self.ttl_ms
        if row is None:
            rows.run("INSERT INTO leases (name, owner, fence, until) VALUES (?, ?, 1, ?)",
                     (self.name, self.owner, until))
            return 1
        if row[0] != self.owner and row[2] > tx.now_ms:
            return None
        fence = int(row[1]) + int(row[0] != self.owner)
        rows.run("UPDATE leases SET owner = ?, fence = ?, until = ? WHERE name = ?",
                 (self.owner, fence, until, self.name))
        return fence


@dataclass(frozen=True, slots=True)
class DropLease(NoChannel):
    """Let somebody else have it at once."""

    name: str
    owner: str
    fence: int

    def apply(self, tx: Transaction) -> None:
        """Never refused: one that is lost already needs no dropping."""
        tx.rows.run("UPDATE leases SET until = 0 WHERE name = ? AND owner = ? AND fence = ?",
                    (self.name, self.owner, self.fence))


@dataclass(frozen=True, slots=True)
class MarkPublished(NoChannel):
    """The holder published (channel, from, to] anew. Refused 409: it is the holder no more."""

    name: str
    fence: int
    ranges: tuple[tuple[int, int, int], ...]

    def apply(self, tx: Transaction) -> None:
        """Refused 409."""
        row = tx.rows.one(f"SELECT fence FROM leases WHERE name = ?{tx.rows.for_update}", (self.name,))
        if row is None or row[0] != self.fence:
            raise Refused(409, f"the lease {self.name} went to somebody else")
        for channel, after, last in self.ranges:
            tx.mark_published(channel, after, last)

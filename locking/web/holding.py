"""Who may write an item now? Its version and its lock, looked at in the transaction that writes."""
from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hotpath.core.serve import Request, RequestError
from hotpath.core.serve.conditions import is_current, is_known
from hotpath.locking.clock import now_us
from hotpath.locking.lease import Held, Lease, holders
from hotpath.locking.work import Tx

from .problems import Refusal, retry_after
from .tables import Item

# What a lease's token can be: 64 bits.
_TOKEN = re.compile(r"[0-9]{1,18}")


def tag_of(version: int) -> str:
    """An item's entity tag, without quotes."""
    return f"v{version}"


def etag(version: int) -> tuple[str, str]:
    """The field that says it. Strong: a version is never used for two contents."""
    return "ETag", f'"{tag_of(version)}"'


def name_of(item: int) -> str:
    """Of an item's lease."""
    return f"item:{item}"


def token_of(request: Request) -> int | None:
    """Lock-Token; None without one. RequestError 400: no integer."""
    text = request.field("lock-token")
    if text is None:
        return None
    if _TOKEN.fullmatch(text) is None:
        raise RequestError(f"Lock-Token {text[:40]!r} is not allowed; allowed: the integer that the lock came with")
    return int(text)


@dataclass(frozen=True, slots=True)
class Asked:
    """Under which conditions a request writes an item."""

    match: str | None
    unless: str | None
    token: int | None

    @classmethod
    def of(cls, request: Request) -> Asked:
        """As it says. RequestError 400."""
        asked = cls(request.field("if-match"), request.field("if-none-match"), token_of(request))
        for condition in (asked.match, asked.unless):
            if condition is not None:
                is_known(condition, "")
        return asked

    def writable(self, tx: Tx, item: int) -> tuple[Item, Lease | None]:
        """The item, locked, and who holds its lock; it may be written now. Missing; Refusal 428, 412, 423."""
        row = tx.load(Item, item)
        if self.match is None:
            raise Refusal(428, "a write needs If-Match: the ETag of what it replaces, or *",
                          headers=(etag(row.version),), version=row.version)
        current = tag_of(row.version)
        if not is_current(self.match, current) or (self.unless is not None and is_known(self.unless, current)):
            raise Refusal(412, f"the item has version {row.version} now", headers=(etag(row.version),),
                          version=row.version)
        held = holder_of(tx.session, item)
        if self.token != (None if held is None else held.token):
            raise not_yours(tx.session, held)
        return row, held


def holder_of(session: Session, item: int) -> Lease | None:
    """Who holds the item's lock now; it stays so if this transaction has locked the item before.

    Its lease is taken, renewed and given back by whoever has the item's row locked: so it needs no lock of its own, and
    one that was never locked needs no lease.
    """
    return holders(session, [name_of(item)]).get(name_of(item))


def not_yours(session: Session, held: Lease | Held | None) -> Refusal:
    """423, saying who holds the lock and how long it may last."""
    if held is None:
        return Refusal(423, "nobody holds the lock any more; take it anew, or write without Lock-Token")
    left_s = held.expires - session.execute(select(now_us(session))).scalar_one() / 1e6
    return Refusal(423, f"{held.owner} holds the lock", headers=(retry_after(left_s),), owner=held.owner)

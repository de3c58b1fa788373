"""Up to which stamp has every member seen everything? Tombstones up to there can go, and nothing is resurrected.

Every member i keeps a row: `row[r]` says that all which entered the group at r, up to that hlc, is here, durably. A
client's write enters at the replica that took it; what a peer sends has entered elsewhere. `row[i]` is the promise of
i: nothing that old will ever enter here. The frontier F is the least entry of all members' rows.

The rules, and why each is needed:

* A row is said before the bucket sums that prove it are read, and a row advances only after a whole exchange, to the
  element-wise maximum with what the other said before its sums were read. So whoever learns a row has all it claims,
  and hands it on with its own: knowledge is transitive, relays work.
* Rows count only between equal `group` numbers, which name one membership, and the life of each member's data, and
  never come back. When the group changes all rows begin again at 0, but for the own promise. `row[r] > 0` then means:
  all is here that r had at some moment when it knew this group already. So what a forgotten member, or one whose disk
  was lost, left behind at anybody reaches all before F passes it.
* A replica with an empty disk copies first: a whole exchange, both sides knowing its new life. Then it has whatever
  the other ever vouched for in the older group, by which others may still be collecting.

Pure: no clock, no I/O, no lock. Whoever shares one between threads holds a lock around it.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

Row = Mapping[str, int]


class Held(NamedTuple):
    """The frontier, and the member that holds it back: whose row has the least entry."""

    hlc: int
    by: str


class Frontier:
    """What one replica knows of what everybody has."""

    def __init__(self, name: str, members: Collection[str] = (), group: int = 0, *, promise: int = 0) -> None:
        """Of replica `name`, which gave this promise before."""
        self.name = name
        self.members = frozenset((*members, name))
        self.group = group
        self._promise = promise
        self._row: dict[str, int] = {}          # ours, without our own entry
        self._rows: dict[str, dict[str, int]] = {}

    def regroup(self, members: Collection[str], group: int) -> None:
        """The membership is this one now. `members` without ourselves: we were forgotten, and F stays 0."""
        self.members = frozenset(members)
        if group != self.group:
            self.group = group
            self._row = {}
            self._rows = {}

    @property
    def promised(self) -> int:
        """Nothing up to here will ever enter at this replica."""
        return self._promise

    def promise(self, hlc: int) -> None:
        """Raise the promise; call it once nothing older is under way any more."""
        self._promise = max(self._promise, hlc)

    @property
    def row(self) -> dict[str, int]:
        """Our row, to be said before anything it claims is read."""
        return {**self._row, self.name: self._promise}

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        """The others' rows that we know, for relaying."""
        return {member: dict(row) for member, row in self._rows.items() if member in self.members}

    def heard(self, member: str, group: int, row: Row) -> None:
        """`member` claims `row`, as it said itself or as another relays. What belongs to another group is nothing."""
        if group == self.group and member != self.name and member in self.members:
            known = self._rows.setdefault(member, {})
            _raise(known, row, self.members)

    def learned(self, peer: str, group: int, row: Row) -> None:
        """A whole exchange with `peer` ended, which had said `row` in `group` before what it sent us was read."""
        if group == self.group and peer in self.members:
            _raise(self._row, {origin: hlc for origin, hlc in row.items() if origin != self.name}, self.members)
            self.heard(peer, group, row)

    def frontier(self) -> Held:
        """F, and who holds it back."""
        if self.name not in self.members:
            return Held(0, self.name)
        # Of equal minima the member that cannot vouch for itself is named first: the others wait for it.
        hlc, _own, by = min(
            (min(row.get(origin, 0) for origin in self.members), row.get(member, 0), member)
            for member, row in ((member, self._row_of(member)) for member in self.members))
        return Held(hlc, by)

    def _row_of(self, member: str) -> Row:
        return self.row if member == self.name else self._rows.get(member, {})


def _raise(row: dict[str, int], to: Row, members: Collection[str]) -> None:
    for origin, hlc in to.items():
        if origin in members:
            row[origin] = max(row.get(origin, 0), hlc)

"""A group of replicas in memory, one dict each: what the real ones must do, small enough to be seen through.

Time is a number that the caller moves. A message is a snapshot that can be delivered in part, late, twice or never.
`Member.collect` looks at all replicas at once, as no real one can: Resurrection for whatever could come back.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from hotpath.crdt.gossip.frontier import Frontier
from hotpath.crdt.gossip.membership import Membership

AFTER = 3
Cell = tuple[int, str, bool]            # hlc, replica, live


class Resurrection(AssertionError):
    """A tombstone went while somebody could still bring back what it removed."""


@dataclass
class Exchange:
    """One exchange under way: what both sides said, and the cells each had when it had said it."""

    asker: Member
    answerer: Member
    lives: tuple[int, int]
    said: tuple[tuple[int, dict[str, int]], tuple[int, dict[str, int]]]
    cells: tuple[dict[str, Cell], dict[str, Cell]]
    joining: bool


@dataclass
class Member:
    """One replica."""

    group: Group
    name: str
    membership: Membership
    frontier: Frontier
    cells: dict[str, Cell] = field(default_factory=dict)
    floor: int = 0
    joining: bool = False

    def write(self, key: str, live: bool, hlc: int | None = None) -> bool:
        """A client's write, stamped here, or an import with an old stamp; False when refused."""
        if self.joining or (hlc is not None and hlc <= self.frontier.promised):
            return False
        self.group.now += 1
        self.take(key, (self.group.now if hlc is None else hlc, self.name, live))
        return True

    def take(self, key: str, cell: Cell) -> None:
        """Join one cell in; what is stale goes nowhere."""
        if key not in self.cells and cell[0] <= self.floor:
            return
        self.cells[key] = max(self.cells.get(key, cell), cell)

    def promise(self) -> None:
        """Nothing AFTER ticks old enters here any more."""
        self.frontier.promise(max(self.group.now - AFTER, 0))

    def know(self, membership: Membership) -> None:
        """The membership is this one now."""
        self.membership = membership
        self.frontier.regroup(membership.present, membership.group)

    def drop(self, upto: int) -> None:
        """Tombstones up to there go."""
        self.floor = max(self.floor, upto)
        self.cells = {key: cell for key, cell in self.cells.items() if cell[2] or cell[0] > upto}

    def collect(self, upto: int | None = None) -> None:
        """Collect up to the frontier, or where a mistaken caller says."""
        upto = self.frontier.frontier().hlc if upto is None else upto
        seen = [self.group.members[name] for name in self.membership.present if name in self.group.members]
        for holder in seen:
            for key, cell in holder.cells.items():
                for other in seen:
                    if cell[0] <= upto and not other.joining and not other.has_seen(key, cell):
                        raise Resurrection(f"{self.name} collects to {upto}, but {other.name} lacks {key} {cell}")
        self.drop(upto)

    def has_seen(self, key: str, cell: Cell) -> bool:
        """Whether nothing older than `cell` can win here any more."""
        return self.cells[key] >= cell if key in self.cells else cell[0] <= self.floor


class Group:
    """All replicas and their time."""

    def __init__(self, names: str) -> None:
        self.now = 0
        self.lives = 0
        self.members: dict[str, Member] = {}
        for name in names:
            self.start(name, names, joining=False)
        for one in self.members.values():
            for other in self.members.values():
                one.know(one.membership.joined(other.membership.entries.values()))

    def start(self, name: str, peers: str, *, joining: bool = True) -> Member:
        """A replica with an empty disk, in place of whatever had the name."""
        self.lives += 1
        # Falling numbers, so that a new life never wins by its number and must count beyond the old one.
        membership = Membership(name, 1000 - self.lives)
        for peer in peers:
            if peer != name:
                membership = membership.add(peer, "")
        frontier = Frontier(name, membership.present, membership.group)
        self.members[name] = Member(self, name, membership, frontier, joining=joining)
        return self.members[name]

    def hello(self, asker: str, answerer: str) -> Exchange | None:
        """The first message and its answer; None: refused, or nobody there."""
        one, two = self.members[asker], self.members[answerer]
        if one.name not in two.membership.present or two.name not in one.membership.present:
            return None
        said_by_one = one.membership.group, one.frontier.row
        entries_of_one, floor = one.membership.entries.values(), one.floor
        two.know(two.membership.joined(entries_of_one))
        if one.name not in two.membership.present:
            return None
        two.frontier.heard(one.name, *said_by_one)
        for name, row in one.frontier.rows.items():
            two.frontier.heard(name, one.membership.group, row)
        two.drop(floor)
        said_by_two = two.membership.group, two.frontier.row
        relayed = two.frontier.rows
        one.know(one.membership.joined(two.membership.entries.values()))
        one.frontier.heard(two.name, *said_by_two)
        for name, row in relayed.items():
            one.frontier.heard(name, said_by_two[0], row)
        one.drop(two.floor)
        return Exchange(one, two, (one.membership.life, two.membership.life), (said_by_one, said_by_two),
                        (dict(one.cells), dict(two.cells)), two.joining)

    def finish(self, exchange: Exchange, *, told: bool = True, given: bool = True, cut: int | None = None) -> None:
        """The cells arrive: at the asker if `told`, at the answerer if `given`; only the first `cut` of them, if so."""
        one, two = exchange.asker, exchange.answerer
        if self.members[one.name] is not one or self.members[two.name] is not two:
            return                      # a process of another life has taken the place
        said_by_one, said_by_two = exchange.said
        if told:
            self.deliver(exchange.cells[1], one, cut)
            if cut is None:
                one.frontier.learned(two.name, *said_by_two)
                if not exchange.joining and said_by_one[0] == said_by_two[0]:
                    one.joining = False
        if given:
            self.deliver(exchange.cells[0], two, cut)
            if cut is None and one.name in two.membership.present:
                two.frontier.learned(one.name, *said_by_one)

    def deliver(self, cells: dict[str, Cell], to: Member, cut: int | None = None) -> None:
        """Some cells arrive."""
        for key, cell in sorted(cells.items())[:cut]:
            to.take(key, cell)

    def exchange(self, asker: str, answerer: str) -> None:
        """A whole one, nothing lost."""
        under_way = self.hello(asker, answerer)
        if under_way is not None:
            self.finish(under_way)

    def settle(self) -> None:
        """Everybody reaches everybody, often enough for any state to spread."""
        for _ in range(2 * len(self.members) + 4):
            for one in self.members:
                for two in self.members:
                    if one != two:
                        self.exchange(one, two)

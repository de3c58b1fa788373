"""Replicas in one process: real tables, a frontier and a membership each, and a disk that a crash leaves as it was.

Nothing moves by itself: the caller writes, commits, sends, loses, repeats, crashes, and turns every clock. Beside each
replica stands what it must never fall behind, and beside all of them the oracle, told of every acknowledged write.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from hotpath.core.data import lww
from hotpath.core.data.lww import lwwtable
from hotpath.crdt.gossip.frontier import Frontier
from hotpath.crdt.gossip.membership import Entry, Membership
from hotpath.crdt.lwwdict import LWWDict
from tests.crdt.checker import Violated, check_agreed, check_kept
from tests.crdt.oracle import Oracle, Write, state_of
from tests.crdt.twinbytes import parse

AHEAD = 2_000 << 16         # a clock mark is written this far ahead of what it lets through
AFTER_MS = 50               # gc.after
START_MS = 1_000_000        # true time at the start: far from both ends of the clock


@dataclass
class Disk:
    """What is left after a crash."""

    cells: list[bytes] = field(default_factory=list)
    floor: int = 0
    mark: int = 0           # no stamp above it was given
    promised: int = 0
    life: int = 0
    entries: tuple[Entry, ...] = ()


class Node:
    """One replica."""

    def __init__(self, cluster: Cluster, name: str, disk: Disk, *, offset_ms: int = 0, joining: bool = False) -> None:
        """Starts as a process does: from its disk."""
        self.cluster, self.name, self.disk = cluster, name, disk
        self.offset_ms = offset_ms
        self.joining = joining              # copies first, serves later
        self.pending: list[bytes] = []      # in the table, not on disk
        with patch.object(lwwtable, "os", cluster):
            self.table = LWWDict(name, bias=cluster.bias, wall_ms=self.wall_ms)
        for cell in reversed(disk.cells):   # a join: the order is of no account
            self.table.merge(lww.bundle([cell], cluster.bias))
        self.table.collect(disk.floor)
        self.table.observe(disk.mark)
        self.membership = Membership(name, disk.life, disk.entries)
        self.frontier = Frontier(name, self.membership.present, self.membership.group, promise=disk.promised)

    def wall_ms(self) -> int:
        """This host's clock."""
        return max(self.cluster.true_ms + self.offset_ms, 0)

    # Clients.

    def write(self, op: str, key: bytes, payload: bytes) -> bytes | None:
        """A client's write, in the table and not yet on disk; None: refused."""
        if self.joining:
            return None
        if max(self.table.clock + 1, self.wall_ms() << 16) + 16 > self.disk.mark:
            self.raise_mark()
        try:
            cell = self.table.write(op, key, b"" if op == "remove" else payload)
        except KeyError:
            return None
        self.cluster.given(self, cell)
        self.pending.append(cell)
        return cell

    def raise_mark(self) -> None:
        """On disk before a stamp passes the last one."""
        self.disk.mark = max(self.table.clock, self.wall_ms() << 16) + AHEAD

    def commit(self) -> None:
        """All that is pending is on disk: its writers have their answer."""
        self.disk.cells += self.pending
        self.cluster.acknowledged(self, self.pending)
        self.pending = []

    def read(self, key: bytes) -> tuple[lww.Stamp, int, bytes] | None:
        """What a client is shown: never what a crash could take back."""
        found = self.table.read(key)
        if any(parse(cell)[0] == key for cell in self.pending):
            self.commit()
        self.cluster.shown(self, key, found)
        return found

    def client_merge(self, cells: list[bytes]) -> bool:
        """An import with stamps of its own; False: some are older than the promise, nothing was merged."""
        if self.joining or any(parse(cell)[1].hlc <= self.frontier.promised for cell in cells):
            return False
        self.merge(lww.bundle(cells, self.cluster.bias))
        self.cluster.acknowledged(self, cells)
        return True

    # What others send.

    def merge(self, delta: bytes) -> None:
        """On disk first, then in the table."""
        winners, ignored, _ = self.table.winning(delta)
        if ignored:
            self.commit()       # or what they lost to would be gone after a crash, and they too
        cells = lww.split(winners)
        self.disk.cells += cells
        self.table.merge(winners)
        self.cluster.entered(self, cells)

    # Clock, promise, collection.

    def promise(self) -> None:
        """Nothing AFTER_MS old will ever enter here."""
        hlc = max(self.wall_ms() - AFTER_MS, 0) << 16
        if hlc > self.frontier.promised:
            self.table.observe(hlc)
            self.disk.promised = hlc
            self.disk.mark = max(self.disk.mark, hlc)
            self.frontier.promise(hlc)

    def collect(self, upto: int) -> None:
        """The floor is on disk before anything goes."""
        self.disk.floor = max(self.disk.floor, upto)
        self.disk.mark = max(self.disk.mark, upto)
        self.table.collect(upto)

    def collect_seen(self) -> None:
        """Up to where all members have seen everything."""
        self.collect(self.frontier.frontier().hlc)

    def know(self, membership: Membership) -> None:
        """The membership is this one now, also on disk."""
        self.membership = membership
        self.disk.entries = tuple(membership.entries.values())
        self.frontier.regroup(membership.present, membership.group)


@dataclass
class Exchange:
    """One under way: who, in which lives, and what each said before its buckets are read."""

    asker: Node
    answerer: Node
    said: tuple[tuple[int, dict[str, int]], tuple[int, dict[str, int]]]
    joining: bool


class Cluster:
    """All replicas, their true time, and what they owe to whom."""

    def __init__(self, names: Iterable[str], bias: str = "add") -> None:
        self.bias = bias
        self.true_ms = START_MS
        # The tables draw their secrets here: it says in which order their cells come, and where they must grow, which
        # takes a tick of the clock more. A history must be the same when it is replayed.
        self.urandom = Random(bias).randbytes
        self.oracle = Oracle(bias)
        self.lives = 0
        self.nodes: dict[str, Node] = {}
        self.best: dict[str, dict[bytes, Write]] = {}       # per replica: the greatest that it durably had
        self.last: dict[str, int] = {}                      # per name: the greatest stamp given, in any life
        self.seen: dict[str, dict[bytes, int]] = {}         # per replica and key: the greatest stamp shown
        self.went: list[bytes] = []                         # whatever entered anywhere, for late deliveries
        for name in names:
            self.start(name, list(names), joining=False)
        for one in self.nodes.values():
            for other in self.nodes.values():
                one.know(one.membership.joined(other.membership.entries.values()))

    def start(self, name: str, peers: Iterable[str], *, joining: bool = True) -> Node:
        """A replica with an empty disk that knows these peers."""
        self.lives += 1
        disk = Disk(life=1000 - self.lives)
        membership = Membership(name, disk.life)
        for peer in peers:
            if peer != name:
                membership = membership.add(peer, "")
        disk.entries = tuple(membership.entries.values())
        self.best[name], self.seen[name] = {}, {}
        self.nodes[name] = Node(self, name, disk, joining=joining)
        return self.nodes[name]

    def crash(self, name: str) -> None:
        """kill -9, and a start from what is on disk. What was pending is gone: nobody had an answer."""
        old = self.nodes[name]
        self.nodes[name] = Node(self, name, old.disk, offset_ms=old.offset_ms, joining=old.joining)
        self.check_kept_by(self.nodes[name])

    def lose_disk(self, name: str) -> None:
        """Crash, and the disk is empty: what only this replica had is gone for good."""
        peers = list(self.nodes[name].membership.present)
        self.nodes.pop(name)
        self.last[name] = 0     # nobody is left who knows; equal stamps are decided by the payload
        self.remember_only_what_is_left()
        self.start(name, peers)

    def remember_only_what_is_left(self) -> None:
        """The oracle is told again, of what members still hold."""
        self.oracle = Oracle(self.bias)
        for node in self.nodes.values():
            self.oracle.record_all(node.disk.cells)

    # What is owed.

    def given(self, node: Node, cell: bytes) -> None:
        """Stamps rise, whatever became of earlier ones; and they are above what was shown here."""
        key, stamp, _, _ = parse(cell)
        if stamp.hlc <= self.last.get(node.name, 0):
            raise Violated(f"{node.name} gave {stamp} after {self.last[node.name]:016x}")
        if stamp.hlc <= self.seen[node.name].get(key, 0):
            raise Violated(f"{node.name} gave {stamp} to a write that saw {self.seen[node.name][key]:016x}")
        if stamp.hlc <= node.disk.promised:
            raise Violated(f"{node.name} gave {stamp}, below its promise {node.disk.promised:016x}")
        self.last[node.name] = stamp.hlc

    def acknowledged(self, node: Node, cells: Iterable[bytes]) -> None:
        """A client was told yes."""
        listed = list(cells)
        self.oracle.record_all(listed)
        self.entered(node, listed)

    def entered(self, node: Node, cells: Iterable[bytes]) -> None:
        """These are on the replica's disk."""
        best = self.best[node.name]
        for cell in cells:
            self.went.append(cell)
            self.oracle.record(cell)
            key, stamp, live, payload = parse(cell)
            write = Write(stamp.hlc, stamp.replica, live, payload)
            best[key] = max(best.get(key, write), write, key=self.oracle.order)

    def shown(self, node: Node, key: bytes, found: tuple[lww.Stamp, int, bytes] | None) -> None:
        """A client saw this: what it sees later at this replica is not older."""
        seen = self.seen[node.name].get(key, 0)
        if found is None:
            if seen > node.table.floor:
                raise Violated(f"{node.name} {key!r}: nothing is there, {seen:016x} was")
        elif found[0].hlc < seen:
            raise Violated(f"{node.name} {key!r}: {found[0]} after {seen:016x}")
        else:
            self.seen[node.name][key] = found[0].hlc

    def check_kept_by(self, node: Node) -> None:
        """The replica has the greatest of all it ever durably had, or collected it."""
        state, floor = state_of(node.table), node.table.floor
        for key, write in self.best[node.name].items():
            held = state.get(key)
            if held is None:
                if write.live or write.hlc > floor:
                    raise Violated(f"{node.name} {key!r}: {write} is lost")
            elif self.oracle.order(held) < self.oracle.order(write):
                raise Violated(f"{node.name} {key!r}: {held} instead of {write}")

    def check_all(self) -> None:
        """After healing: everybody holds what the oracle holds, but for collected tombstones."""
        floor = max(node.table.floor for node in self.nodes.values())
        expected = {key: write for key, write in self.oracle.state().items() if write.live or write.hlc > floor}
        states = []
        for node in self.nodes.values():
            node.collect(floor)
            states.append(state_of(node.table))
            self.check_kept_by(node)
        check_agreed(states, expected)
        told = Oracle(self.bias)
        for key, write in states[0].items():
            told.record(lww.encode(key, lww.Stamp(write.hlc, write.replica), write.live, write.payload))
        held = [cell for cells in (*self.oracle.added.items(), *self.oracle.removed.items()) for cell in
                (lww.encode(cells[0], lww.Stamp(w.hlc, w.replica), w.live, w.payload) for w in cells[1])]
        check_kept(held, told, floor=floor)
        digests = {node.table.digest() for node in self.nodes.values()}
        if len(digests) != 1:
            raise Violated("equal states, unequal digests")

    # Replication.

    def push(self, delta: bytes, sender: str, to: str) -> None:
        """A copied, late or repeated push arrives; who is no member of the receiver's group is refused."""
        node = self.nodes.get(to)
        if node is not None and sender in node.membership.present:
            node.merge(delta)

    def hello(self, asker: str, answerer: str) -> Exchange | None:
        """The first message and its answer; None: refused."""
        one, two = self.nodes[asker], self.nodes[answerer]
        if one.name not in two.membership.present or two.name not in one.membership.present:
            return None
        one.commit()
        said_by_one = one.membership.group, one.frontier.row
        relayed_by_one, floor_of_one = one.frontier.rows, one.table.floor
        two.know(two.membership.joined(one.membership.entries.values()))
        if one.name not in two.membership.present:
            return None
        two.commit()
        two.frontier.heard(one.name, *said_by_one)
        for name, row in relayed_by_one.items():
            two.frontier.heard(name, said_by_one[0], row)
        said_by_two = two.membership.group, two.frontier.row
        relayed_by_two, floor_of_two = two.frontier.rows, two.table.floor
        one.know(one.membership.joined(two.membership.entries.values()))
        one.frontier.heard(two.name, *said_by_two)
        for name, row in relayed_by_two.items():
            one.frontier.heard(name, said_by_two[0], row)
        for node in (one, two):
            node.collect(max(floor_of_one, floor_of_two))
        return Exchange(one, two, (said_by_one, said_by_two), two.joining)

    def cells_of(self, exchange: Exchange) -> tuple[bytes, bytes]:
        """What the asker, and the answerer, lack in the buckets that differ now."""
        one, two = exchange.asker, exchange.answerer
        for node in (one, two):
            node.commit()
            node.table.synchronize()
        buckets = lww.differing(one.table.digest(), two.table.digest())
        to_one, to_two = [], []
        while buckets:
            delta, wanted, done = two.table.missing(one.table.fingerprints(buckets), 64)
            to_two += lww.split(one.table.pick(buckets[:done], wanted))
            to_one += lww.split(delta)
            buckets = buckets[done:]
        return lww.bundle(to_one, self.bias), lww.bundle(to_two, self.bias)

    def finish(self, exchange: Exchange, *, told: bool = True, given: bool = True) -> None:
        """The cells arrive: all at the asker if `told`, all at the answerer if `given`, else half of them."""
        one, two = exchange.asker, exchange.answerer
        if self.nodes.get(one.name) is not one or self.nodes.get(two.name) is not two:
            return                          # a process has died meanwhile
        to_one, to_two = self.cells_of(exchange)
        said_by_one, said_by_two = exchange.said
        if told:
            one.merge(to_one)
            one.frontier.learned(two.name, *said_by_two)
            if not exchange.joining and said_by_one[0] == said_by_two[0]:
                one.joining = False
        else:
            one.merge(half(to_one, self.bias))
        if given and one.name in two.membership.present:
            two.merge(to_two)
            two.frontier.learned(one.name, *said_by_one)
        else:
            two.merge(half(to_two, self.bias))

    def exchange(self, asker: str, answerer: str) -> None:
        """A whole one, nothing lost."""
        under_way = self.hello(asker, answerer)
        if under_way is not None:
            self.finish(under_way)

    def settle(self, rounds: int | None = None) -> None:
        """Everybody reaches everybody, often enough for any state to spread."""
        for _ in range(rounds or 2 * len(self.nodes) + 4):
            for one in list(self.nodes):
                for other in list(self.nodes):
                    if one != other:
                        self.exchange(one, other)

    def heal(self) -> None:
        """Clocks are right, everything is committed, everybody reaches everybody."""
        for node in self.nodes.values():
            node.offset_ms = 0
            node.commit()
        self.settle()


def half(delta: bytes, bias: str) -> bytes:
    """The first half of its cells: the rest is lost on the way."""
    cells = lww.split(delta)
    return lww.bundle(cells[:len(cells) // 2], bias)

"""The cluster of `cluster.py` made of the real parts: journal, replica, promise, group, exchange, all in one process.

Messages are function calls that can be lost at any place or said twice, and a crash is a copy of the folder. The
disks sync nothing, as nobody pulls the plug here, but a test can hold their syncs: what waits then is not acknowledged.
"""
from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from hotpath.core.data import lww
from hotpath.crdt.gossip.exchange import Asker
from hotpath.crdt.gossip.group import Group, Refusal
from hotpath.crdt.gossip.link import LinkError
from hotpath.crdt.gossip.members import Members
from hotpath.crdt.gossip.messages import Give
from hotpath.crdt.gossip.settings import Settings
from hotpath.crdt.replica import TooOld, Wish
from tests.crdt.checker import Violated, check_agreed
from tests.crdt.journal.disks import Lazy
from tests.crdt.oracle import Oracle, Write, state_of
from tests.crdt.pairs import Side, Wire, nothing
from tests.crdt.replicas import Worker, opened
from tests.crdt.twinbytes import parse
from tests.waiting import wait_for

AFTER_MS = 50
START_MS = 1_800_000_000_000
SETTINGS = Settings(after_s=AFTER_MS / 1000, max_drift_s=60.0)


class HeldLazy(Lazy):
    """A disk that syncs nothing, and waits before a write or before a sync while it is held there."""

    def __init__(self) -> None:
        self.free = {"write": threading.Event(), "sync": threading.Event()}
        self.let_go()

    def let_go(self) -> None:
        """Nothing waits any more."""
        for gate in self.free.values():
            gate.set()

    def write(self, fd: int, data: memoryview) -> int:
        assert self.free["write"].wait(30)
        return super().write(fd, data)

    def sync_data(self, fd: int) -> None:
        assert self.free["sync"].wait(30)


class Twice(Wire):
    """Says everything twice; the `lost`-th message is lost."""

    def __call__(self, kind: str, path: str, body: bytes) -> bytes:
        self._ask(path, body)
        return super().__call__(kind, path, body)

    def _ask(self, path: str, body: bytes) -> None:
        side = self._answerer.answerer
        side.exchange(body) if path == "/sync/exchange" else side.cells(body)


class Node:
    """One replica: its parts, which a crash replaces, and its folder."""

    def __init__(self, cluster: RealCluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.lives = 0
        self.offset_ms = 0
        self.folder = cluster.folder / f"{name}-0"
        self.start(new_life=True)

    def wall_ms(self) -> int:
        """This host's clock."""
        return self.cluster.true_ms + self.offset_ms

    def start(self, *, new_life: bool = False) -> None:
        """From the folder."""
        self.stack = ExitStack()
        self.disk = HeldLazy()
        replica = self.stack.enter_context(opened(self.folder, self.disk, name=self.name, bias=self.cluster.bias,
                                                  wall_ms=self.wall_ms))
        replica._max_drift_ms = 60_000
        members = Members.open(self.folder, self.name, new_life=new_life)
        members.configure([(peer, f"http://{peer}", "") for peer in self.cluster.names if peer != self.name])
        self.side = Side(replica, Group(replica, members, SETTINGS, joining=False,
                                        now_s=lambda: self.cluster.true_ms / 1000))
        self.replica, self.group = replica, self.side.group

    def stop(self) -> None:
        """In order."""
        self.disk.let_go()
        self.stack.close()

    def crash(self, pending: list[Wish], before: str, told: bytes) -> None:
        """It dies with these writes under way, `before` the write or the sync: nobody had an answer.

        Amid that it was told the cell `told`; if it answered then, it owes that too.
        """
        self.lives += 1
        after = self.cluster.folder / f"{self.name}-{self.lives}"
        self.disk.free[before].clear()
        try:
            workers = [Worker(self.replica.write, wish) for wish in pending]
            for worker in workers:
                worker.must_wait()
            merge = Worker(self.replica.merge, lww.bundle([told], self.cluster.bias))
            wait_for(lambda: has_ended_or_waits(merge), "the merge to end or to wait")
            answered = not merge.is_alive() and merge.error is None
            shutil.copytree(self.folder, after)
        finally:
            self.disk.let_go()
        self.stop()
        for worker in (*workers, merge):
            worker.join(30)
        shutil.rmtree(self.folder)
        self.folder = after
        self.start()
        # What was written but not answered may have stayed: then it is there for good.
        for wish in pending:
            found = self.replica.table.cell(wish.key)
            last = self.cluster.last[self.name]
            if found is not None and found.stamp.replica == self.name and found.stamp.hlc > last:
                self.cluster.answered(self.name, wish, found.stamp)
        if answered or told in lww.split(self.replica.table.delta()):
            self.cluster.acknowledged(self.name, told)


def has_ended_or_waits(worker: Worker) -> bool:
    """Whether it got as far as it gets while the disk is held."""
    if not worker.is_alive():
        return True
    # It says so by an assertion if it ended since we looked.
    with suppress(AssertionError):
        return worker.waits_for_the_journal()
    return True


class RealCluster:
    """All replicas, their true time, and what is owed."""

    def __init__(self, folder: Path, names: str, bias: str) -> None:
        self.folder, self.names, self.bias = folder, names, bias
        self.true_ms = START_MS
        self.oracle = Oracle(bias)
        self.best: dict[str, dict[bytes, Write]] = {name: {} for name in names}
        self.last = dict.fromkeys(names, 0)
        self.nodes = {name: Node(self, name) for name in names}
        self.settle(2)

    def close(self) -> None:
        """End all."""
        for node in self.nodes.values():
            node.stop()

    # What people do.

    def write(self, name: str, wish: Wish) -> None:
        """A write with its answer."""
        node = self.nodes[name]
        outcome = node.replica.write(wish)
        if not outcome.done:
            return
        assert outcome.stamp is not None
        if outcome.stamp.hlc <= self.last[name]:
            raise Violated(f"{name} gave {outcome.stamp} after {self.last[name]:016x}")
        if outcome.stamp.hlc <= node.group.members.promised:
            raise Violated(f"{name} gave {outcome.stamp}, below its promise {node.group.members.promised:016x}")
        self.answered(name, wish, outcome.stamp)

    def answered(self, name: str, wish: Wish, stamp: lww.Stamp) -> None:
        """It was written under this stamp."""
        self.last[name] = max(self.last[name], stamp.hlc)
        self.acknowledged(name, lww.encode(wish.key, stamp, wish.op != "remove", wish.payload))

    def client_merge(self, name: str, cells: list[bytes]) -> None:
        """An import, unless it is refused."""
        node = self.nodes[name]
        try:
            with node.group.promise.entering() as bar:
                node.replica.merge(lww.bundle(cells, self.bias), least_hlc=bar)
        except TooOld:
            return
        for cell in cells:
            self.acknowledged(name, cell)

    def acknowledged(self, name: str, cell: bytes) -> None:
        """It is owed from now on, everywhere in the end, and here already."""
        self.oracle.record(cell)
        key, stamp, live, payload = parse(cell)
        write = Write(stamp.hlc, stamp.replica, live, payload)
        best = self.best[name]
        best[key] = max(best.get(key, write), write, key=self.oracle.order)

    # What the network does.

    def exchange(self, asker: str, answerer: str, *, lost: int = 0, twice: bool = False) -> None:
        """One exchange, in which a message may be lost."""
        one, other = self.nodes[asker], self.nodes[answerer]
        wire = (Twice if twice else Wire)(other.side, lost=lost)
        try:
            Asker(one.group, answerer, wire, nothing).run()
        except (LinkError, Refusal):
            return

    def push(self, sender: str, to: str, cells: list[bytes]) -> None:
        """Some committed cells, in any order, late or twice."""
        give = Give(self.nodes[sender].group.members.speaker, lww.bundle(cells, self.bias))
        try:
            self.nodes[to].side.answerer.cells(give.encode())
        except Refusal:
            return

    def settle(self, rounds: int) -> None:
        """Everybody reaches everybody."""
        for _ in range(rounds):
            for one in self.names:
                for other in self.names:
                    if one != other:
                        self.exchange(one, other)

    # What must hold.

    def check_kept(self) -> None:
        """Every replica has the greatest of all it acknowledged, or collected it."""
        for name, node in self.nodes.items():
            state, floor = state_of(node.replica.table), node.replica.table.floor
            for key, write in self.best[name].items():
                held = state.get(key)
                if held is None:
                    greater = [other for other in self.oracle.removed[key] if other.hlc <= floor
                               and self.oracle.order(other) >= self.oracle.order(write)]
                    if not greater:
                        raise Violated(f"{name} {key!r}: {write} is lost")
                elif self.oracle.order(held) < self.oracle.order(write):
                    raise Violated(f"{name} {key!r}: {held} instead of {write}")

    def check_all(self) -> None:
        """After healing: everybody holds what the oracle holds, but for collected removals."""
        self.check_kept()
        floor = max(node.replica.table.floor for node in self.nodes.values())
        expected = {key: write for key, write in self.oracle.state().items() if write.live or write.hlc > floor}
        for node in self.nodes.values():
            node.replica.collect(floor)
        check_agreed([state_of(node.replica.table) for node in self.nodes.values()], expected)

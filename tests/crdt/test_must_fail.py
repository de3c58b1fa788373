"""Each mistake that the design avoids, made on purpose: the checkers must find it, and must be content without it."""
import threading

import pytest

from hotpath.core.data import lww
from hotpath.crdt.lwwdict import LWWDict
from tests.crdt.checker import Op, Violated, check_adds, check_kept, check_linearizable, check_saw
from tests.crdt.cluster import AFTER_MS, START_MS, Cluster, half
from tests.crdt.oracle import Oracle
from tests.crdt.twin import Table
from tests.crdt.twinbytes import parse

MINUTE_MS = 60_000


class WallClock(Table):
    """Stamps are the wall clock and nothing else."""

    def tick(self):
        return self.wall() << 16


class BlockStamps(Table):
    """Each thread takes a block of stamps at once, and writes with what is left of it."""

    BLOCK = 64

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._mine = threading.local()

    def tick(self):
        left = getattr(self._mine, "left", [])
        if not left:
            first = super().tick()
            self.observe(first + self.BLOCK - 1)
            left = self._mine.left = list(range(first, first + self.BLOCK))
        return left.pop(0)


class Clerk:
    """Notes what one table's clients did, by a clock of its own."""

    def __init__(self):
        self.now = 0
        self.history = []
        self.cells = []

    def put(self, table, key, payload):
        cell = table.write("put", key, payload)
        stamp = parse(cell)[1]
        self.cells.append(cell)
        self.note("put", key, stamp)
        return cell

    def read(self, table, key):
        found = table.read(key)
        self.note("read", key, found and found[0])
        return found and found[2]

    def note(self, kind, key, stamp):
        self.now += 2
        self.history.append(Op(kind, key, self.now, self.now + 1, stamp and (stamp.hlc, stamp.replica)))


def in_a_thread(job):
    thread = threading.Thread(target=job)
    thread.start()
    thread.join()


def two_people_in_turn(make):
    """b reads what a wrote and answers it; b's clock is a minute slow."""
    fast = make("a", wall_ms=lambda: START_MS)
    slow = make("b", wall_ms=lambda: START_MS - MINUTE_MS)
    clerk = Clerk()
    clerk.put(fast, b"k", b"\0question")
    slow.merge(fast.delta())
    assert clerk.read(slow, b"k") == b"question"
    clerk.put(slow, b"k", b"\0answer")
    fast.merge(slow.delta())
    return clerk, fast.lookup("k"), slow.lookup("k")


def test_wall_clock_stamps_lose_the_later_write_of_a_slow_clock():
    clerk, *values = two_people_in_turn(LWWDict)
    check_saw(clerk.history)
    assert values == [b"answer", b"answer"]
    clerk, *values = two_people_in_turn(WallClock)
    assert values == [b"question", b"question"]
    with pytest.raises(Violated):
        check_saw(clerk.history)


def two_threads_in_turn(make):
    """Each thread writes once, then the first reads and writes again."""
    table, clerk = make("a", wall_ms=lambda: START_MS), Clerk()
    first_goes_on, second_wrote = threading.Event(), threading.Event()

    def first():
        clerk.put(table, b"other", b"\0")
        first_goes_on.set()
        second_wrote.wait()
        clerk.read(table, b"k")
        clerk.put(table, b"k", b"\0mine")
        clerk.read(table, b"k")

    def second():
        first_goes_on.wait()
        clerk.put(table, b"k", b"\0theirs")
        second_wrote.set()

    threads = [threading.Thread(target=job) for job in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clerk, table.lookup("k")


def test_stamps_given_in_blocks_break_read_your_writes():
    clerk, value = two_threads_in_turn(LWWDict)
    check_saw(clerk.history)
    check_linearizable(clerk.history)
    assert value == b"mine"
    clerk, value = two_threads_in_turn(BlockStamps)
    assert value == b"theirs"
    with pytest.raises(Violated):
        check_saw(clerk.history)


def remove_while_one_is_away(collect):
    """c has a value that a and b remove while c is away; then c comes back."""
    cluster = Cluster("abc")
    cluster.nodes["a"].write("put", b"k", b"\0")
    cluster.settle()
    cluster.nodes["a"].write("remove", b"k", b"")
    cluster.true_ms += 3 * AFTER_MS
    for _ in range(4):
        for node in cluster.nodes.values():
            node.promise()
        cluster.exchange("a", "b")
    for name in "ab":
        collect(cluster.nodes[name])
    cluster.heal()
    return cluster


def test_collecting_before_the_frontier_resurrects():
    cluster = remove_while_one_is_away(lambda node: node.collect_seen())
    cluster.check_all()
    assert all("k" not in node.table for node in cluster.nodes.values())

    # By age alone, and with a floor that nobody is told of: c's value is younger news than nothing at all.
    def by_age(node):
        for key in [cell.key for cell in node.table.cells() if not cell.live]:
            node.table.collect(node.table.stamp(key))

    cluster = remove_while_one_is_away(by_age)
    with pytest.raises(Violated):
        cluster.check_all()


def test_collecting_what_one_member_has_not_seen_takes_a_live_write_away():
    def eager(node):
        node.collect(node.frontier.promised)

    def story(collect):
        """A write of c is younger than the tombstone it lost to elsewhere, and c is away when that goes."""
        cluster = Cluster("abc")
        cluster.nodes["a"].write("remove", b"k", b"")
        cluster.true_ms += 1
        written = cluster.nodes["c"].write("put", b"k", b"\0")
        cluster.nodes["c"].commit()
        cluster.true_ms += 3 * AFTER_MS
        for name in "ab":
            cluster.nodes[name].promise()
        cluster.exchange("a", "b")
        for name in "ab":
            collect(cluster.nodes[name])
        cluster.heal()
        return cluster, written

    cluster, written = story(lambda node: node.collect_seen())
    cluster.check_all()
    assert all(node.table.stamp("k") == lww.parse(written)[1] for node in cluster.nodes.values())
    cluster, _ = story(eager)
    with pytest.raises(Violated):
        cluster.check_all()


def half_an_exchange(*, believed):
    """b gets half of what it lacks; `believed`: and counts it as all."""
    cluster = Cluster("ab")
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    for key in (b"k", b"l", b"m"):
        b.write("put", key, b"\0")
    cluster.settle()
    for key in (b"k", b"l", b"m"):
        a.write("remove", key, b"")
    a.commit()
    cluster.true_ms += 3 * AFTER_MS
    for node in (a, b):
        node.promise()
    exchange = cluster.hello("a", "b")
    if believed:
        _, to_b = cluster.cells_of(exchange)
        a.frontier.learned("b", *exchange.said[1])
        b.merge(half(to_b, cluster.bias))
        b.frontier.learned("a", *exchange.said[0])
        a.frontier.heard("b", b.membership.group, b.frontier.row)
    else:
        cluster.finish(exchange, given=False)
    a.collect_seen()
    cluster.heal()
    return cluster


def test_a_row_that_advances_after_half_an_exchange_resurrects():
    half_an_exchange(believed=False).check_all()
    with pytest.raises(Violated):
        half_an_exchange(believed=True).check_all()


def test_a_start_without_the_clock_mark_repeats_stamps():
    def story(*, marked):
        cluster = Cluster("ab")
        node = cluster.nodes["a"]
        node.offset_ms = 1_000
        node.write("put", b"k", b"\0")      # shown to nobody, and lost
        if not marked:
            node.disk.mark = 0
        cluster.crash("a")
        cluster.nodes["a"].offset_ms = 0
        cluster.nodes["a"].write("put", b"k", b"\0other")

    story(marked=True)
    with pytest.raises(Violated):
        story(marked=False)


def test_a_promise_that_does_not_raise_the_clock_is_broken_by_a_clock_set_back():
    def story(*, raises):
        cluster = Cluster("ab")
        node = cluster.nodes["a"]
        node.offset_ms = 5_000
        if raises:
            node.promise()
        else:
            node.disk.promised = (node.wall_ms() - AFTER_MS) << 16
            node.frontier.promise(node.disk.promised)
        node.offset_ms = 0
        node.write("put", b"k", b"\0")

    story(raises=True)
    with pytest.raises(Violated):
        story(raises=False)


def test_an_answer_before_the_disk_has_it_loses_acknowledged_writes():
    def story(*, waits):
        cluster = Cluster("ab")
        node = cluster.nodes["a"]
        cell = node.write("put", b"k", b"\0")
        if waits:
            node.commit()
        answered = [cell]
        cluster.crash("a")
        held = Oracle()
        held.record_all(lww.split(cluster.nodes["a"].table.delta()))
        check_kept(answered, held)

    story(waits=True)
    with pytest.raises(Violated):
        story(waits=False)


def test_a_read_that_does_not_wait_for_the_disk_goes_back_after_a_crash():
    def story(*, waits):
        cluster = Cluster("ab")
        node = cluster.nodes["a"]
        node.write("put", b"k", b"\0")
        if waits:
            node.read(b"k")
        else:
            cluster.shown(node, b"k", node.table.read(b"k"))
        cluster.crash("a")
        cluster.nodes["a"].read(b"k")

    story(waits=True)
    with pytest.raises(Violated):
        story(waits=False)


def test_a_merge_that_loses_to_what_is_not_on_disk_is_lost_with_it():
    def story(*, waits):
        cluster = Cluster("ab")
        a, b = cluster.nodes["a"], cluster.nodes["b"]
        told = b.write("put", b"k", b"\0told")
        b.commit()
        cluster.true_ms += 1
        a.write("put", b"k", b"\0later")
        if waits:
            a.merge(lww.bundle([told], cluster.bias))
        else:
            assert a.table.merge(lww.bundle([told], cluster.bias)) == 0
        cluster.crash("a")
        held = Oracle()
        held.record_all(lww.split(cluster.nodes["a"].table.delta()))
        check_kept([told], held)

    story(waits=True)
    with pytest.raises(Violated):
        story(waits=False)


def test_an_add_that_looks_first_and_writes_later_lets_two_win():
    def story(add):
        table, clerk = LWWDict("a", wall_ms=lambda: START_MS), Clerk()
        seen = ["k" in table for _ in range(2)]
        for was_there in seen:
            add(table, clerk, was_there)
        return clerk.history

    def atomic(table, clerk, _was_there):
        try:
            cell = table.write("add", b"k", b"\0")
        except KeyError:
            return
        clerk.note("add", b"k", lww.parse(cell)[1])

    def in_two_steps(table, clerk, was_there):
        if not was_there:
            clerk.note("add", b"k", lww.parse(table.write("put", b"k", b"\0"))[1])

    check_adds(story(atomic))
    with pytest.raises(Violated):
        check_adds(story(in_two_steps))

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from hotpath.core.data.lww import LWWTable, Stamp, bundle, encode, pack, parse
from hotpath.crdt.journal import Unavailable
from hotpath.crdt.replica import (
    BiasMismatch,
    Damaged,
    DriftTooLarge,
    Merged,
    Outcome,
    Replica,
    TooOld,
    Wish,
    key_of,
    record_of,
)
from tests.crdt.replicas import HeldDisk, Worker, ahead, opened, put
from tests.waiting import wait_for

NO_ROOM = OSError(errno.ENOSPC, "no room")


def cell(key: bytes, stamp: Stamp, value: object = 1, live: bool = True) -> bytes:
    return encode(key, stamp, live, pack(value) if live else b"")


def delta(*cells: bytes, bias: str = "add") -> bytes:
    return bundle(cells, bias)


def soon(replica: Replica, ms: int = 0, name: str = "b") -> Stamp:
    return ahead(replica.table.wall() + ms, name)


# What a crash could take back is never shown.

SHOWS = {
    "a read": lambda replica: replica.read(b"k"),
    "a page": lambda replica: replica.page(b"", None, 10),
    "a snapshot": lambda replica: replica.delta(),
    "a barrier": lambda replica: replica.barrier(),
    "a refused add": lambda replica: put(replica, b"k", 2, "add"),
    "a failed condition": lambda replica: replica.write(Wish("put", b"k", pack(2), frozenset(["x"]), True)),
}


@pytest.mark.parametrize("show", SHOWS.values(), ids=SHOWS)
def test_nothing_is_shown_before_it_is_on_disk(tmp_path, show):
    disk = HeldDisk()
    with opened(tmp_path, disk) as replica:
        disk.free.clear()
        writer = Worker(put, replica, b"k", 1)
        writer.must_wait()
        reader = Worker(show, replica)
        reader.must_wait()
        disk.free.set()
        assert writer.result().verdict == "created"
        reader.result()


def test_a_key_that_is_not_pending_is_read_at_once(tmp_path):
    disk = HeldDisk()
    with opened(tmp_path, disk) as replica:
        put(replica, b"old", 1)
        disk.free.clear()
        writer = Worker(put, replica, b"k", 1)
        writer.must_wait()
        found = replica.read(b"old")
        assert found is not None
        assert found[2] == b"1"
        assert replica.read(b"never") is None
        disk.free.set()
        writer.result()


def test_a_removal_is_not_shown_before_it_is_on_disk(tmp_path):
    disk = HeldDisk()
    with opened(tmp_path, disk) as replica:
        put(replica, b"k", 1)
        disk.free.clear()
        writer = Worker(put, replica, b"k", None, "remove")
        writer.must_wait()
        reader = Worker(replica.read, b"k")
        reader.must_wait()
        update = Worker(put, replica, b"k", 2, "replace")      # 404 would show it as well
        update.must_wait()
        disk.free.set()
        assert reader.result()[1] == -1
        assert update.result().verdict == "absent"
        writer.result()


def test_what_others_send_is_on_disk_before_it_is_in_the_table(tmp_path):
    disk = HeldDisk()
    with opened(tmp_path, disk) as replica:
        disk.free.clear()
        merge = Worker(replica.merge, delta(cell(b"k", soon(replica))))
        merge.must_wait()
        assert replica.read(b"k") is None
        cursor = replica.changes.now
        assert replica.changes.since(cursor, 10, 10_000) == ([], cursor)
        disk.free.set()
        assert merge.result() == Merged(1, 0, 0)
        assert replica.read(b"k") is not None


def test_changes_and_winners_are_told_only_behind_the_commit(tmp_path):
    disk = HeldDisk()
    told: list[bytes] = []
    with opened(tmp_path, disk) as replica:
        replica.on_winners.append(told.extend)
        cursor = replica.changes.now
        disk.free.clear()
        writer = Worker(put, replica, b"k", 1)
        writer.must_wait()
        assert (told, replica.changes.since(cursor, 10, 10_000)[0]) == ([], [])
        disk.free.set()
        stamp = writer.result().stamp
        wait_for(lambda: told, "the winners")
        assert [parse(one)[:2] for one in told] == [(b"k", stamp)]
        assert replica.changes.since(cursor, 10, 10_000)[0] == told


def test_a_listener_that_fails_disturbs_nobody(tmp_path):
    told: list[bytes] = []

    def fail(cells: list[bytes]) -> None:
        raise RuntimeError("on purpose")

    with opened(tmp_path) as replica:
        replica.on_winners += [fail, told.extend]
        put(replica, b"k", 1)
        wait_for(lambda: told, "the winners")
        put(replica, b"l", 1)


# Operations.

def test_each_operation_says_what_became_of_it(tmp_path):
    with opened(tmp_path) as replica:
        first = put(replica, b"k", 1, "add")
        assert first.verdict == "created"
        assert put(replica, b"k", 2, "add") == Outcome("exists", first.stamp)
        second = put(replica, b"k", 2, "replace")
        assert second.verdict == "updated"
        assert put(replica, b"l", 1, "replace") == Outcome("absent", None)
        assert put(replica, b"k", 3).verdict == "updated"
        assert put(replica, b"m", 3).verdict == "created"
        gone = put(replica, b"k", None, "remove")
        assert gone.verdict == "removed"
        assert put(replica, b"k", 1, "replace") == Outcome("absent", gone.stamp)
        assert put(replica, b"never", None, "remove").verdict == "removed"
        assert put(replica, b"k", 1, "add").verdict == "created"


@pytest.mark.parametrize("op", ["put", "replace", "remove"])
def test_a_condition_is_judged_by_what_is_live(tmp_path, op):
    with opened(tmp_path) as replica:
        payload = b"" if op == "remove" else pack(1)
        assert replica.write(Wish(op, b"k", payload, None, True)) == Outcome("mismatch", None)
        stamp = put(replica, b"k", 1).stamp
        assert replica.write(Wish(op, b"k", payload, frozenset(), True)) == Outcome("mismatch", stamp)
        assert replica.write(Wish(op, b"k", payload, frozenset(["x", str(stamp)]), True)).done
        assert not replica.write(Wish(op, b"k", payload, frozenset([str(stamp)]), True)).done
        put(replica, b"k", 1)
        assert replica.write(Wish(op, b"k", payload, None, True)).done
        put(replica, b"k", None, "remove")
        tombstone = replica.read(b"k")
        assert tombstone is not None
        assert replica.write(Wish(op, b"k", payload, frozenset([str(tombstone[0])]), True)) == Outcome("mismatch", None)


def test_of_racing_adds_exactly_one_wins(tmp_path):
    with opened(tmp_path) as replica:
        start = threading.Barrier(8)

        def race(i: int) -> list[str]:
            start.wait()
            return [put(replica, b"key %d" % n, i, "add").verdict for n in range(25)]

        rows = [worker.result() for worker in [Worker(race, i) for i in range(8)]]
        for column in zip(*rows, strict=True):
            assert sorted(column) == ["created"] + ["exists"] * 7


def test_a_batch_has_one_sync_and_each_outcome_of_its_own(tmp_path):
    with opened(tmp_path) as replica:
        put(replica, b"k", 1)
        before = replica.journal.stats()["fsyncs"]
        wishes = [Wish("add", b"k", pack(1)), Wish("remove", b"k"), Wish("add", b"k", pack(2)),
                  Wish("replace", b"l", pack(1)), *(Wish("put", b"n%d" % n, pack(n)) for n in range(1000))]
        outcomes = replica.batch(wishes)
        assert replica.journal.stats()["fsyncs"] == before + 1
        assert [outcome.verdict for outcome in outcomes[:5]] == ["exists", "removed", "created", "absent", "created"]
        assert len(outcomes) == len(wishes)
        assert [n for n in range(1000) if replica.read(b"n%d" % n) is None] == []
        wait_for(lambda: replica.stats()["pending"] == 0, "the committer to say so")


def test_an_empty_batch_is_nothing(tmp_path):
    with opened(tmp_path) as replica:
        assert replica.batch([]) == []


def test_what_was_answered_is_there_again(tmp_path):
    with opened(tmp_path) as replica:
        stamps = {key: put(replica, key, key.decode()).stamp for key in (b"a", b"b", b"c")}
        stamps[b"b"] = put(replica, b"b", None, "remove").stamp
        replica.merge(delta(cell(b"d", soon(replica))))
        root = replica.table.root
    with opened(tmp_path) as replica:
        assert replica.table.root == root
        for key, stamp in stamps.items():
            found = replica.read(key)
            assert found is not None
            assert found[0] == stamp
        assert put(replica, b"a", 1).stamp > max(stamps.values())


def test_what_a_compaction_keeps_is_everything(tmp_path):
    with opened(tmp_path) as replica:
        for n in range(200):
            put(replica, b"k%d" % (n % 7), n)
        replica.merge(delta(cell(b"d", soon(replica))))
        before = replica.journal.stats()["bytes"]
        replica.journal.compact(replica.snapshot)
        assert replica.journal.stats()["bytes"] < before
        assert replica.live_bytes <= replica.journal.stats()["bytes"]
        root = replica.table.root
    with opened(tmp_path) as replica:
        assert replica.table.root == root


# Merges.

def test_a_merge_counts_what_became_of_its_cells(tmp_path):
    with opened(tmp_path) as replica:
        put(replica, b"k", 1)
        stamp = soon(replica, 1000)
        both = delta(cell(b"k", stamp), cell(b"l", stamp))
        assert replica.merge(both) == Merged(2, 0, 0)
        syncs = replica.journal.stats()["fsyncs"]
        assert replica.merge(both) == Merged(0, 2, 0)
        assert replica.journal.stats()["fsyncs"] == syncs       # a repeated merge costs no disk
        stats = replica.stats()
        assert (stats["overwritten"], stats["ignored"]) == (1, 2)
        assert replica.merge(delta()) == Merged(0, 0, 0)


def test_a_cell_behind_the_floor_is_stale(tmp_path):
    with opened(tmp_path) as replica:
        old = soon(replica, -1000)
        put(replica, b"k", 1)
        gone = put(replica, b"k", None, "remove").stamp
        assert gone is not None
        assert replica.collect(gone.hlc) == 1
        assert replica.collect(gone.hlc) == 0
        assert replica.read(b"k") is None
        assert replica.merge(delta(cell(b"k", old))) == Merged(0, 0, 1)
        assert replica.stats()["stale"] == 1
    with opened(tmp_path) as replica:
        assert replica.table.floor == gone.hlc
        assert replica.merge(delta(cell(b"k", old))) == Merged(0, 0, 1)


def test_a_cell_too_far_ahead_refuses_the_whole_merge_with_both_clocks(tmp_path):
    with opened(tmp_path, wall_ms=lambda: 1_000_000) as replica:
        with pytest.raises(DriftTooLarge) as caught:
            replica.merge(delta(cell(b"k", ahead(1_000_000)), cell(b"l", ahead(1_005_001))))
        assert (caught.value.local_ms, caught.value.remote_ms) == (1_000_000, 1_005_001)
        assert (replica.read(b"k"), replica.table.clock >> 16 > 1_000_000) == (None, False)
        assert replica.merge(delta(cell(b"l", ahead(1_005_000)))) == Merged(1, 0, 0)
        assert replica.counts.drift == 1


def test_a_write_that_saw_another_wins_over_it(tmp_path):
    with opened(tmp_path) as replica:
        seen = soon(replica, 4000)
        replica.merge(delta(cell(b"k", seen)))
        stamp = put(replica, b"other", 1).stamp
        assert stamp is not None
        assert stamp.hlc > seen.hlc


def test_a_cell_at_or_below_the_promise_refuses_the_whole_merge(tmp_path):
    with opened(tmp_path) as replica:
        low, high = soon(replica, -10), soon(replica)
        with pytest.raises(TooOld):
            replica.merge(delta(cell(b"k", low), cell(b"l", high)), least_hlc=low.hlc)
        assert replica.read(b"l") is None
        assert replica.merge(delta(cell(b"k", low)), least_hlc=low.hlc - 1) == Merged(1, 0, 0)
        assert replica.counts.old == 1


def test_a_damaged_delta_or_one_of_the_other_bias_is_refused(tmp_path):
    with opened(tmp_path) as replica:
        sound = delta(cell(b"k", soon(replica)))
        with pytest.raises(Damaged):
            replica.merge(sound[:-1] + bytes([sound[-1] ^ 1]))
        with pytest.raises(BiasMismatch):
            replica.merge(delta(cell(b"k", soon(replica)), bias="remove"))
        assert replica.read(b"k") is None
        assert replica.counts.damaged == 2


def test_two_replicas_that_merge_each_other_are_equal(tmp_path):
    with opened(tmp_path / "a") as one, opened(tmp_path / "b", name="b") as two:
        put(one, b"x", 1)
        put(two, b"x", 2)
        put(two, b"y", b"\0raw")
        put(one, b"z", None, "remove")
        one.merge(two.delta())
        two.merge(one.delta())
        assert one.table.digest() == two.table.digest()


# Faults.

def test_a_full_disk_refuses_writes_at_once_and_goes_on_reading(tmp_path):
    disk = HeldDisk()
    with opened(tmp_path, disk) as replica:
        put(replica, b"old", 1)
        disk.error = NO_ROOM
        with pytest.raises(Unavailable):
            put(replica, b"k", 1)
        with pytest.raises(Unavailable):
            put(replica, b"l", 1)
        with pytest.raises(Unavailable):
            replica.merge(delta(cell(b"m", soon(replica))))
        found = replica.read(b"old")
        assert found is not None
        with pytest.raises(Unavailable):
            replica.read(b"k")          # it is pending: nobody knows yet
        assert (replica.read(b"l"), replica.read(b"m")) == (None, None)
        disk.error = None
        wait_for(lambda: not replica.journal.full, "room")
        wait_for(lambda: replica.stats()["pending"] == 0, "the group that waited")
        assert replica.read(b"k") is not None
        assert put(replica, b"l", 1).verdict == "created"


def test_a_suspended_replica_takes_no_writes_and_says_why(tmp_path):
    with opened(tmp_path) as replica:
        put(replica, b"k", 1)
        replica.suspended = "the clock is ahead"
        with pytest.raises(Unavailable, match="the clock is ahead"):
            put(replica, b"k", 2)
        assert replica.read(b"k") is not None
        assert replica.merge(delta(cell(b"l", soon(replica)))) == Merged(1, 0, 0)     # what heals it goes on
        replica.suspended = None
        assert put(replica, b"k", 2).verdict == "updated"


def test_a_refused_operation_leaves_its_key_as_it_was(tmp_path):
    with opened(tmp_path) as replica:
        put(replica, b"k", 1)
        put(replica, b"k", 2, "add")
        put(replica, b"l", 2, "replace")
        wait_for(lambda: replica.stats()["pending"] == 0, "the committer to say so")


@pytest.mark.parametrize("key", [b"k", b"k" * 300, "ключ".encode(), b"\xff\x00"])
def test_key_and_record_are_read_from_the_encoded_cell(key):
    encoded = cell(key, Stamp(7, "abcdefgh"), {"a": 1})
    assert key_of(encoded) == key
    table = LWWTable("a")
    table.merged(delta(encoded))
    record = record_of(encoded)
    assert int.from_bytes(record[:4], "big") == len(record) - 8 == len(encoded)


def test_paths_of_this_machine_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with opened(Path("relative")) as replica:
        put(replica, b"k", 1)
    with opened(tmp_path / "relative") as replica:
        assert replica.read(b"k") is not None

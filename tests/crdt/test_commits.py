from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotpath.core.data.lww import LWWTable, Stamp, bundle, encode, pack
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import offload, run, sleep, spawn, timeout
from hotpath.core.tasks.task import kept_by_loop
from hotpath.crdt.journal import Journal, Unavailable
from hotpath.crdt.replica import Merged, Replica, Wish
from tests.crdt.replicas import HeldDisk, put


class Kept:
    """Holds what a loop keeps."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def close(self) -> None:
        """Nothing to give back."""


def in_a_loop(folder: Path, disk: HeldDisk, act: Callable[[Replica], Any]) -> Any:
    """`act` in a task, on a replica whose writers and readers are tasks."""
    def whole() -> Any:
        journal, _ = Journal.open(folder, replica="a", bias="add", fatal=lambda error: None, disk=disk)
        replica = Replica(LWWTable("a"))
        replica.open(journal, kept_by_loop("test", Kept).loop)
        try:
            with timeout(30):
                return act(replica)
        finally:
            disk.error = None
            disk.free.set()
            offload(journal.close)

    return run(whole)


def turn() -> None:
    """Let every task run that can."""
    for _ in range(3):
        sleep(0)


def test_tasks_wait_for_the_disk_and_the_loop_does_not(tmp_path):
    disk = HeldDisk()

    def act(replica: Replica) -> None:
        put(replica, b"old", 1)
        disk.free.clear()
        writer = spawn(put, replica, b"k", 1)
        turn()
        shows = [spawn(replica.read, b"k"), spawn(put, replica, b"k", 2, "add"),
                 spawn(replica.page, b"", None, 10), spawn(replica.delta)]
        offload(disk.syncing.wait, 30)
        turn()
        assert not writer.done
        assert not any(task.done for task in shows)
        found = replica.read(b"old")
        assert found is not None
        assert found[2] == b"1"
        disk.free.set()
        assert writer.result().verdict == "created"
        read, refused, page, _ = [task.result() for task in shows]
        assert read[2] == b"1"
        assert refused.verdict == "exists"
        assert [row[0] for row in page] == [b"k", b"old"]

    in_a_loop(tmp_path, disk, act)


def test_writes_that_come_during_a_sync_share_the_next(tmp_path):
    disk = HeldDisk()

    def act(replica: Replica) -> None:
        disk.free.clear()
        first = spawn(put, replica, b"first", 1)
        offload(disk.syncing.wait, 30)
        others = [spawn(put, replica, b"k%d" % n, n) for n in range(50)]
        turn()
        disk.free.set()
        first.result()
        for task in others:
            task.result()
        assert replica.journal.stats()["fsyncs"] == 2

    in_a_loop(tmp_path, disk, act)


def test_whoever_waits_when_the_disk_fills_up_is_told_at_once(tmp_path):
    disk = HeldDisk()

    def act(replica: Replica) -> None:
        disk.error = OSError(errno.ENOSPC, "no room")
        tasks = [spawn(put, replica, b"k%d" % n, n) for n in range(3)]
        for task in tasks:
            with pytest.raises(Unavailable):
                task.result()
        with pytest.raises(Unavailable):
            replica.read(b"k0")
        assert replica.read(b"other") is None

    in_a_loop(tmp_path, disk, act)


def test_a_merge_waits_beside_the_loop(tmp_path):
    disk = HeldDisk()

    def act(replica: Replica) -> None:
        stamp = Stamp(replica.table.wall() << 16, "b")
        disk.free.clear()
        merge = spawn(replica.merge, bundle([encode(b"k", stamp, True, pack(1))], "add"))
        turn()
        offload(disk.syncing.wait, 30)
        assert (merge.done, replica.read(b"k")) == (False, None)
        disk.free.set()
        assert merge.result() == Merged(1, 0, 0)
        found = replica.read(b"k")
        assert found is not None
        assert found[0] == stamp

    in_a_loop(tmp_path, disk, act)


def test_a_writer_that_goes_away_takes_nothing_back(tmp_path):
    disk = HeldDisk()

    def act(replica: Replica) -> None:
        disk.free.clear()
        writer = spawn(put, replica, b"k", 1)
        other = spawn(replica.write, Wish("put", b"k", pack(2)))
        turn()
        writer.cancel()
        turn()
        disk.free.set()
        assert other.result().verdict == "updated"
        found = replica.read(b"k")
        assert found is not None
        assert found[2] == b"2"

    in_a_loop(tmp_path, disk, act)

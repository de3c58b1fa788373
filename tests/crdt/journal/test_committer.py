"""committer: one sync for all who wait, none for nobody; a full disk heals, a failed sync does not."""
import errno
import os
import resource
import signal
import threading

import pytest

from hotpath.crdt.journal import Unavailable, committer
from tests.core.data.forking import forked
from tests.crdt.journal.cells import cell, cells_of, record
from tests.crdt.journal.disks import Failing, Held, Small, Watched
from tests.crdt.journal.opening import WITHIN_S, held, open_journal, opened
from tests.waiting import wait_for


def append(journal, n, size=10):
    return journal.append(record(cell(b"%d" % n, n, bytes(size))), n)


def written(*numbers, size=10):
    return {cell(b"%d" % n, n, bytes(size)) for n in numbers}


def refused(journal):
    """Whether a new append is."""
    try:
        journal.append(b"", 0)
    except Unavailable:
        return True
    return False


def test_all_who_wait_share_one_sync(tmp_path):
    disk = Held()
    waiters = 50
    with opened(tmp_path, disk=disk) as (journal, _):
        first = append(journal, 0)
        assert disk.entered.acquire(timeout=WITHIN_S)       # the first group is being synced, the next collects
        tickets, done = [], []

        def work(n):
            ticket = append(journal, n)
            tickets.append(ticket)
            journal.wait(ticket, WITHIN_S)
            done.append(n)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 1 + waiters)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(tickets) == waiters, "the appends")
        assert set(tickets) == {first + 1}
        assert (journal.committed, done) == (0, [])
        disk.let_go.release()
        assert disk.entered.acquire(timeout=WITHIN_S)
        journal.wait(first, WITHIN_S)
        assert (journal.committed, done) == (first, [])     # written, not synced: nobody is told
        disk.let_go.release()
        for thread in threads:
            thread.join(WITHIN_S)
        assert disk.syncs == journal.stats()["fsyncs"] == 2
        assert sorted(done) == list(range(1, 1 + waiters))
        disk.let_go.release()
    assert held(tmp_path) == written(*range(1 + waiters))


def test_a_group_waits_for_those_whom_the_last_one_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(committer, "GATHER", 10**6)
    disk = Held()
    with opened(tmp_path, disk=disk) as (journal, _):
        with journal.lock:
            first = [append(journal, n) for n in (1, 2)]
        assert disk.entered.acquire(timeout=WITHIN_S)
        second = [append(journal, 3)]
        disk.let_go.release()
        for ticket in first:
            journal.wait(ticket, WITHIN_S)
            second.append(append(journal, 3 + len(second)))
        assert len(set(second)) == 1
        assert disk.entered.acquire(timeout=WITHIN_S)
        for _ in range(2):
            disk.let_go.release()
        journal.wait(second[0], WITHIN_S)
        append(journal, 6)                          # the other two do not come back: closing waits for nobody
    assert disk.syncs == 3
    assert held(tmp_path) == written(*range(1, 7))


def test_a_barrier_covers_the_group_that_is_being_synced(tmp_path):
    disk = Held()
    with opened(tmp_path, disk=disk) as (journal, _):
        ticket = append(journal, 1)
        assert disk.entered.acquire(timeout=WITHIN_S)
        assert journal.barrier() == ticket
        with pytest.raises(TimeoutError):
            journal.wait(journal.barrier(), 0.001)
        disk.let_go.release()
        journal.wait(journal.barrier(), WITHIN_S)
        assert journal.barrier() == journal.committed == ticket


def test_appending_never_waits_for_the_disk(tmp_path):
    disk = Held()
    with opened(tmp_path, disk=disk) as (journal, _):
        append(journal, 1)
        assert disk.entered.acquire(timeout=WITHIN_S)
        assert len({append(journal, n) for n in range(2, 1000)}) == 1
        for _ in range(2):
            disk.let_go.release()
    assert len(held(tmp_path)) == 999


def test_who_holds_the_lock_appends_in_one_step_with_a_change_of_its_own(tmp_path):
    table, seen = {}, []
    with opened(tmp_path) as (journal, _):
        may_look = threading.Event()

        def look():
            may_look.wait()
            with journal.lock:
                seen.append((table.get("k"), journal.barrier()))

        reader = threading.Thread(target=look)
        reader.start()
        with journal.lock:
            table["k"] = 1
            may_look.set()
            ticket = append(journal, 1)
        reader.join(WITHIN_S)
        assert seen == [(1, ticket)]


@pytest.mark.parametrize("fsync", ["interval", "off"])
def test_the_other_modes_answer_before_the_sync(tmp_path, fsync):
    disk = Held()
    with opened(tmp_path, disk=disk, fsync=fsync, interval_s=0.001) as (journal, _):
        journal.wait(append(journal, 1), WITHIN_S)
        assert disk.syncs == 0
        if fsync == "interval":
            assert disk.entered.acquire(timeout=WITHIN_S)       # though nobody writes any more
        for _ in range(10):
            disk.let_go.release()
    assert disk.syncs >= 1                                      # closing syncs in each mode
    assert held(tmp_path) == written(1)


@pytest.mark.parametrize("fsync", ["interval", "off"])
def test_a_segment_is_synced_before_the_next_is_made_in_each_mode(tmp_path, fsync):
    disk = Watched()
    with opened(tmp_path, disk=disk, fsync=fsync, interval_s=1000, segment_bytes=200) as (journal, _):
        disk.calls.clear()
        for n in range(1, 8):
            journal.wait(append(journal, n, 100), WITHIN_S)
        wait_for(lambda: "create" in disk.calls, "a new segment")
        calls = disk.calls[:disk.calls.index("create")]
    assert calls[-2:] == ["write", "sync_data"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_refuses_until_there_is_room_and_loses_nothing(tmp_path, code):
    # From the third on writes fail: the one of a group, then its retries.
    disk = Failing("write", 2, code)
    told, committed = [], []
    with opened(tmp_path, disk=disk) as (journal, _):
        journal.on_full.append(lambda: told.append(journal.full))
        journal.on_commit.append(committed.append)
        journal.wait(append(journal, 1), WITHIN_S)
        stuck = append(journal, 2)
        with pytest.raises(Unavailable, match="full"):
            journal.wait(stuck, WITHIN_S)
        with pytest.raises(Unavailable, match="full"):
            append(journal, 3)
        assert told == [True]
        disk.times = 1              # and one more
        wait_for(lambda: not journal.full, "room")
        wait_for(lambda: stuck in committed, "the call")
        journal.wait(stuck, WITHIN_S)
        journal.wait(append(journal, 4), WITHIN_S)
    assert held(tmp_path) == written(1, 2, 4)


def test_what_a_full_disk_took_of_a_group_is_taken_back(tmp_path):
    disk = Small(10_000)
    with opened(tmp_path, disk=disk) as (journal, _):
        journal.wait(append(journal, 1), WITHIN_S)
        path = tmp_path / "journal" / "00000001.log"
        size = path.stat().st_size
        disk.room = 50
        ticket = append(journal, 2, 200)
        wait_for(lambda: journal.full, "a full disk")
        wait_for(lambda: path.stat().st_size == size, "the half group to go")
        disk.room = 10_000
        wait_for(lambda: not journal.full, "room")
        journal.wait(ticket, WITHIN_S)
    assert held(tmp_path) == written(1) | written(2, size=200)


def test_a_journal_closed_while_the_disk_is_full_keeps_what_it_promised(tmp_path):
    disk = Small(10_000)
    journal, _ = open_journal(tmp_path, disk=disk)
    journal.wait(append(journal, 1), WITHIN_S)
    disk.room = 0
    ticket = append(journal, 2)
    wait_for(lambda: journal.full, "a full disk")
    journal.close()
    with pytest.raises(Unavailable):
        journal.wait(ticket)
    assert held(tmp_path) == written(1)


def test_no_room_for_a_new_segment_lengthens_the_old_one(tmp_path):
    disk = Failing("create", 1, errno.ENOSPC, times=3)
    with opened(tmp_path, disk=disk, segment_bytes=150) as (journal, _):
        for n in range(1, 8):
            journal.wait(append(journal, n, 100), WITHIN_S)
        wait_for(lambda: journal.stats()["segments"] > 1, "room")
    assert held(tmp_path) == written(*range(1, 8), size=100)


@pytest.mark.parametrize("call", ["sync_data", "write", "rename", "sync_folder", "sync"])
def test_an_error_of_the_disk_is_told_once_and_never_tried_again(tmp_path, call):
    errors = []
    disk = Failing(call, 10**9, errno.EIO)
    journal, _ = open_journal(tmp_path, disk=disk, fatal=errors.append, segment_bytes=300)
    journal.wait(append(journal, 1), WITHIN_S)
    disk.n = 0
    tickets = []
    while not refused(journal):
        tickets.append(append(journal, 2 + len(tickets), 100))
        try:
            journal.wait(tickets[-1], WITHIN_S)
        except Unavailable as error:
            assert "failed" in str(error)       # noqa: PT017 (the wait fails, or the next append does)
    wait_for(lambda: errors, "the call")
    n = disk.calls.count(call)
    assert refused(journal)
    journal.close()
    assert [error.errno for error in errors] == [errno.EIO]
    assert disk.calls.count(call) == n
    acknowledged = [2 + i for i, ticket in enumerate(tickets) if ticket <= journal.committed]
    assert held(tmp_path) >= written(1) | written(*acknowledged, size=100)


def test_a_half_group_that_cannot_be_taken_back_is_the_end(tmp_path):
    class Worse(Failing):
        def truncate(self, fd, size):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    errors = []
    disk = Worse("write", 2, errno.ENOSPC)
    journal, _ = open_journal(tmp_path, disk=disk, fatal=errors.append)
    journal.wait(append(journal, 1), WITHIN_S)
    append(journal, 2, 200)
    wait_for(lambda: errors, "the call")
    assert refused(journal)
    journal.close()
    assert held(tmp_path) == written(1)


def test_a_callback_that_raises_does_not_leave_anybody_waiting(tmp_path):
    errors = []
    journal, _ = open_journal(tmp_path, fatal=errors.append)
    journal.on_commit.append(lambda ticket: 1 // 0)
    journal.wait(append(journal, 1), WITHIN_S)
    wait_for(lambda: refused(journal), "the end")
    journal.close()
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_real_limit_fills_the_disk_and_a_higher_one_heals_it(tmp_path):
    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
        with opened(tmp_path, segment_bytes=10**6) as (journal, _):
            numbers = []
            while not journal.full:
                try:
                    ticket = append(journal, len(numbers), 500)
                    numbers.append(ticket)
                    journal.wait(ticket, WITHIN_S)
                except Unavailable:
                    assert journal.full
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            wait_for(lambda: not journal.full, "room")
            journal.wait(append(journal, 1000, 500), WITHIN_S)
        assert held(tmp_path) == written(*range(len(numbers)), 1000, size=500)
        assert len(numbers) > 5

    with forked(work) as end:
        assert end() == 0


def test_readers_of_the_deltas_get_no_cell_twice(tmp_path):
    with opened(tmp_path, segment_bytes=300) as (journal, _):
        for n in range(20):
            journal.wait(append(journal, n), WITHIN_S)
    with opened(tmp_path) as (_, replayed):
        deltas = list(replayed.deltas)
    assert sum(int.from_bytes(one[8:16], "big") for one in deltas) == replayed.cells == 20
    assert cells_of(deltas) == written(*range(20))

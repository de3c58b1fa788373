"""journal: what was acknowledged is there again, and a directory has one owner."""
import os
import threading

import pytest

from hotpath.crdt.journal import ForeignData, InUse, Journal, Unavailable
from hotpath.crdt.journal.layout import Owner
from tests.core.data.forking import forked
from tests.crdt.journal.cells import cell, cells_of, commit, control, delta, record
from tests.crdt.journal.disks import Lazy, Small, Watched
from tests.crdt.journal.opening import WITHIN_S, held, open_journal, opened
from tests.waiting import wait_for


def write(journal, *cells, hlc=1):
    journal.wait(journal.append(b"".join(map(record, cells)), hlc), WITHIN_S)


def test_what_was_waited_for_is_found_again(tmp_path):
    a, b, c = cell(b"k", 1, b"v"), cell(b"k", 2, live=0), cell(b"l", 3, b"w", replica="b")
    with opened(tmp_path / "new" / "folder") as (journal, replayed):
        assert replayed.empty
        assert list(replayed.deltas) == []
        write(journal, a)
        write(journal, b, c)
    with opened(tmp_path / "new" / "folder") as (_, replayed):
        assert not replayed.empty
        assert replayed.cells == 3
        assert cells_of(replayed.deltas) == {a, b, c}


def test_the_bytes_are_those_of_the_contract(tmp_path):
    one = cell(b"k", 1 << 40, b"v")
    with opened(tmp_path) as (journal, _):
        write(journal, one, hlc=1 << 40)
    header = b"LWWJ\x01\x01\x00\x00a" + bytes(7)
    start = header + control("clock", 0) + control("floor", 0)
    start += commit(len(start))
    group = record(one) + control("clock", (1 << 40) + (2000 << 16))
    group += commit(len(start) + len(group))
    assert (tmp_path / "journal" / "00000001.log").read_bytes() == start + group
    assert Owner("a", "add").empty_delta() == delta([])


def test_a_start_knows_every_stamp_that_may_have_been_given(tmp_path):
    with opened(tmp_path) as (journal, replayed):
        assert replayed.clock == 0
        write(journal, cell(b"k", 10 << 40), hlc=10 << 40)
    with opened(tmp_path) as (journal, replayed):
        assert replayed.clock == (10 << 40) + (2000 << 16)
        write(journal, cell(b"k", (10 << 40) + 1), hlc=(10 << 40) + 1)      # the mark lies far enough ahead
        journal.wait(journal.append_control("clock", 11 << 40), WITHIN_S)
    size = (tmp_path / "journal" / "00000001.log").stat().st_size
    with opened(tmp_path) as (_, replayed):
        assert replayed.clock == 11 << 40
    assert (tmp_path / "journal" / "00000001.log").stat().st_size == size


def test_a_floor_is_the_greatest_that_was_journalled(tmp_path):
    with opened(tmp_path) as (journal, _):
        for floor in (5, 9, 7):
            journal.wait(journal.append_control("floor", floor), WITHIN_S)
    with opened(tmp_path) as (_, replayed):
        assert replayed.floor == 9
        assert not replayed.empty


def test_a_directory_in_which_nothing_was_written_is_that_of_a_joiner(tmp_path):
    for _ in range(3):
        with opened(tmp_path) as (_, replayed):
            assert replayed.empty


def test_tickets_rise_and_a_barrier_covers_what_was_appended(tmp_path):
    told = []
    with opened(tmp_path) as (journal, _):
        journal.on_commit.append(told.append)
        assert journal.barrier() == journal.committed == 0
        first = journal.append(record(cell(b"k", 1)), 1)
        barrier = journal.barrier()
        assert barrier >= first
        journal.wait(barrier, WITHIN_S)
        assert journal.committed >= barrier
        second = journal.append(record(cell(b"k", 2)), 2)
        assert second > first
        journal.wait(second, WITHIN_S)
        wait_for(lambda: told[-1:] == [second], "the call")
    assert told == sorted(told)


def test_close_commits_what_is_open_and_then_refuses(tmp_path):
    journal, _ = open_journal(tmp_path)
    ticket = journal.append(record(cell(b"k", 1)), 1)
    journal.close()
    journal.close()
    journal.wait(ticket)
    with pytest.raises(Unavailable, match="closed"):
        journal.append(record(cell(b"k", 2)), 2)
    assert held(tmp_path) == {cell(b"k", 1)}


def test_a_second_process_is_told_who_has_it(tmp_path):
    def second():
        with pytest.raises(InUse, match=f"in use by process {os.getppid()}"):
            open_journal(tmp_path)

    with opened(tmp_path):
        with forked(second) as end:
            assert end() == 0
        with pytest.raises(InUse) as caught:
            open_journal(tmp_path, patience_s=0.1)
        assert caught.value.pid == os.getpid()
    held(tmp_path)


def test_a_successor_waits_until_the_directory_is_free(tmp_path):
    journal, _ = open_journal(tmp_path)
    write(journal, cell(b"k", 1))
    found = []
    successor = threading.Thread(target=lambda: found.append(held(tmp_path, patience_s=None)))
    successor.start()
    write(journal, cell(b"l", 2))
    assert not found
    journal.close()
    successor.join(WITHIN_S)
    assert found == [{cell(b"k", 1), cell(b"l", 2)}]


def test_the_kernel_gives_the_directory_back_when_its_owner_is_killed(tmp_path):
    def own():
        journal, _ = open_journal(tmp_path)
        write(journal, cell(b"k", 1))
        (tmp_path / "ready").touch()
        journal.wait(10**9)

    with forked(own) as end:
        wait_for((tmp_path / "ready").exists, "the child")
        end(9)
    assert held(tmp_path) == {cell(b"k", 1)}


@pytest.mark.parametrize(("replica", "bias"), [("b", "add"), ("a", "remove")])
def test_the_directory_of_another_is_refused_and_left_as_it_is(tmp_path, replica, bias):
    with opened(tmp_path) as (journal, _):
        write(journal, cell(b"k", 1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.log")}
    with pytest.raises(ForeignData, match="belongs to replica a with bias add"):
        Journal.open(tmp_path, replica=replica, bias=bias, fatal=print)
    with pytest.raises(ForeignData):
        Journal.open(tmp_path, replica=replica, bias=bias, fatal=print, repair=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.log")} == before
    assert held(tmp_path) == {cell(b"k", 1)}


def test_segments_end_at_their_size_and_are_read_in_whole(tmp_path):
    cells = [cell(b"%d" % i, i, bytes(50)) for i in range(1, 100)]
    with opened(tmp_path, segment_bytes=400) as (journal, _):
        for one in cells:
            write(journal, one)
        assert journal.stats()["segments"] > 10
        assert journal.stats()["bytes"] == sum(path.stat().st_size for path in (tmp_path / "journal").iterdir())
    assert held(tmp_path) == set(cells)


def test_a_compaction_leaves_the_snapshot_and_what_came_since(tmp_path):
    state = {cell(b"%d" % i, i) for i in range(1, 50)}
    with opened(tmp_path, segment_bytes=300) as (journal, _):
        for one in sorted(state):
            write(journal, one)
        journal.wait(journal.append_control("clock", 99 << 40), WITHIN_S)
        late = cell(b"late", 60)

        def snapshot():
            write(journal, late)            # a write while the table is copied, which the copy lacks
            return delta(state), 7

        journal.compact(snapshot)
        assert journal.stats()["segments"] <= 2
        assert len(list((tmp_path / "snapshot").iterdir())) == 1
        write(journal, cell(b"after", 70))
    for _ in range(2):
        with opened(tmp_path) as (journal, replayed):
            assert cells_of(replayed.deltas) == state | {late, cell(b"after", 70)}
            assert (replayed.clock, replayed.floor) == (99 << 40, 7)
            journal.compact(lambda: (delta(state | {late, cell(b"after", 70)}), 0))
    assert len(list((tmp_path / "journal").iterdir())) == 1


def test_a_compaction_waits_for_what_was_journalled_ahead_of_the_table(tmp_path):
    table = set()
    one = cell(b"k", 1)
    with opened(tmp_path) as (journal, _):
        ticket = journal.append_ahead(record(one), 1)
        journal.wait(ticket, WITHIN_S)
        compaction = threading.Thread(target=journal.compact, args=(lambda: (delta(table), 0),))
        compaction.start()
        wait_for(lambda: (tmp_path / "journal" / "00000002.log").exists(), "the new segment")
        assert not list((tmp_path / "snapshot").iterdir())
        table.add(one)
        journal.entered(ticket)
        compaction.join(WITHIN_S)
        assert [path.name for path in (tmp_path / "snapshot").iterdir()] == ["00000002.lww"]
    assert held(tmp_path) == {one}


def test_a_compaction_without_room_changes_nothing(tmp_path):
    disk = Small(10_000)
    state = {cell(b"%d" % i, i) for i in range(1, 20)}
    with opened(tmp_path, disk=disk) as (journal, _):
        write(journal, *state)
        disk.room = 1000
        with pytest.raises(Unavailable, match="No space left"):
            journal.compact(lambda: (delta(state | {cell(b"large", 1, bytes(5000))}), 0))
        assert not list((tmp_path / "snapshot").iterdir())
        disk.room = 10
        with pytest.raises(Unavailable, match="full"):
            journal.compact(lambda: (delta(state), 0))
        disk.room = 10_000
        write(journal, cell(b"more", 30))
        journal.compact(lambda: (delta(state | {cell(b"more", 30)}), 0))
    assert held(tmp_path) == state | {cell(b"more", 30)}


def test_compaction_pays_once_the_files_are_much_larger_than_the_table(tmp_path):
    with opened(tmp_path, compact=2.0) as (journal, _):
        assert not journal.wants_compaction(0)
        write(journal, cell(b"k", 1, bytes(3 << 20)))
        assert journal.wants_compaction(0)
        assert journal.wants_compaction(1 << 20)
        assert not journal.wants_compaction(2 << 20)


def test_a_group_may_be_empty_of_cells(tmp_path):
    with opened(tmp_path) as (journal, _):
        journal.wait(journal.append(b"", 0), WITHIN_S)
    assert held(tmp_path) == set()


def test_what_a_killed_process_wrote_is_synced_before_it_is_shown(tmp_path):
    with opened(tmp_path, disk=Lazy()) as (journal, _):
        write(journal, cell(b"k", 1))
    with (tmp_path / "journal" / "00000001.log").open("ab") as file:
        file.write(b"torn")
    disk = Watched()
    with opened(tmp_path, disk=disk):
        calls = disk.calls[:]
    cut = calls.index("truncate")
    assert calls[cut:cut + 3] == ["truncate", "sync", "sync_folder"]

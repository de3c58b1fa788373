"""replay: whatever happened to the bytes, a start holds all that was acknowledged or refuses by name."""
import itertools
import os
import shutil
import struct

import pytest

from hotpath.crdt.journal import DamagedJournal, ForeignData
from hotpath.crdt.journal.layout import Layout, Owner
from hotpath.crdt.journal.replay import check_all, deltas
from tests.crdt.journal.cells import cell, cells_of, commit, control, delta, record
from tests.crdt.journal.disks import Lazy
from tests.crdt.journal.opening import WITHIN_S
from tests.crdt.journal.opening import opened as opened_on

# Values that look like what the journal looks for: zeros as after a power cut, a record, a commit.
CELLS = [
    cell(b"first", 1, b"value"),
    cell(b"zeros", 2, bytes(30)),
    cell(b"gone", 3, live=0),
    cell(b"record", 4, record(cell(b"inner", 2**63))),
    cell(b"commit", 5, commit(16) + commit(400)),
    cell(b"last", 6, bytes(20)),
]


def opened(folder, **options):
    return opened_on(folder, disk=Lazy(), **options)


def held(folder):
    with opened(folder) as (_, replayed):
        return cells_of(replayed.deltas)


def write(folder, cells, **options):
    with opened(folder, **options) as (journal, _):
        for one in cells:
            journal.wait(journal.append(record(one), 1), WITHIN_S)


def fresh(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("journal", "snapshot"):
        (folder / name).mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.l[ow][gw]")}


@pytest.fixture(scope="module")
def one_segment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    write(folder, CELLS)
    return files_of(folder)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A snapshot with two cells, a segment with three, one with one."""
    folder = tmp_path_factory.mktemp("several")
    with opened(folder, segment_bytes=450) as (journal, _):
        journal.compact(lambda: (delta(CELLS[:2]), 7))
    write(folder, CELLS[2:], segment_bytes=450)
    files = files_of(folder)
    assert sorted(files) == ["journal/00000002.log", "journal/00000003.log", "snapshot/00000002.lww"]
    return files


def outcome(folder, find=held):
    """What a start holds, or the file and the offset it refuses for."""
    try:
        return find(folder)
    except DamagedJournal as error:
        refusal = error
    assert str(refusal).startswith(f"{refusal.file}: damaged at byte {refusal.offset}")
    return str(refusal.file.relative_to(folder)), refusal.offset


def read_through(folder):
    """The same without a lock, a thread and a sync, for what is tried ten thousand times."""
    owner = Owner("a", "add")
    return cells_of(deltas(check_all(Layout(folder), owner), owner))


def test_a_segment_cut_at_any_byte_holds_every_record_before_the_cut(tmp_path, one_segment):
    data = one_segment["journal/00000001.log"]
    ends = {one: data.index(one) + len(one) for one in CELLS}
    created = data.index(CELLS[0]) - 8
    for n in range(created, len(data) + 1):
        folder = fresh(tmp_path / "cut", {"journal/00000001.log": data[:n]})
        expected = {one for one, end in ends.items() if end <= n}
        assert outcome(folder, read_through) == expected
        if n % 5 == 0:                              # and what is written behind the cut stays, start after start
            write(folder, [cell(b"later", 9)])
            assert outcome(folder) == expected | {cell(b"later", 9)}


def test_a_segment_shorter_than_it_was_created_is_damaged_or_holds_nothing(tmp_path, one_segment):
    data = one_segment["journal/00000001.log"]
    for n in range(data.index(CELLS[0]) - 8):
        assert outcome(fresh(tmp_path / "cut", {"journal/00000001.log": data[:n]})) in (
            set(), ("journal/00000001.log", n))


@pytest.mark.parametrize("which", ["one_segment", "several"])
def test_no_flipped_bit_loses_anything_silently(tmp_path, which, request):
    files = request.getfixturevalue(which)
    refused = 0
    folder = fresh(tmp_path / "flip", files)
    for name, data in files.items():
        with (folder / name).open("r+b", buffering=0) as file:
            for at, bit in itertools.product(range(len(data)), range(8)):
                os.pwrite(file.fileno(), bytes([data[at] ^ 1 << bit]), at)
                got = outcome(folder, read_through)
                os.pwrite(file.fileno(), data[at:at + 1], at)
                if isinstance(got, tuple):
                    refused += 1
                    assert got[0] == name
                    assert got[1] <= at
                else:
                    assert got == set(CELLS)
    assert refused > 8 * sum(map(len, files.values())) * 3 // 4


def test_a_flipped_length_is_not_taken_for_a_torn_tail(tmp_path, one_segment):
    data = one_segment["journal/00000001.log"]
    for one in CELLS:
        at = data.index(one) - 8
        for length in (0, len(one) - 1, len(one) + 1, 2**31):
            broken = data[:at] + struct.pack(">I", length) + data[at + 4:]
            assert outcome(fresh(tmp_path / "flip", {"journal/00000001.log": broken})) == ("journal/00000001.log", at)


@pytest.mark.parametrize("tail", [b"\0", bytes(100), bytes(5000), b"\xff" * 300, record(cell(b"k", 1))[:-1],
                                  record(cell(b"k", 1, commit(500)))[:-1]])
def test_a_tail_of_zeros_or_rubbish_is_cut(tmp_path, one_segment, tail):
    data = one_segment["journal/00000001.log"]
    folder = fresh(tmp_path / "tail", {"journal/00000001.log": data + tail})
    write(folder, [cell(b"later", 9)])
    assert outcome(folder) == {*CELLS, cell(b"later", 9)}
    assert (folder / "journal" / "00000001.log").read_bytes().startswith(data + record(cell(b"later", 9)))


def test_a_group_of_which_the_middle_is_zeros_and_the_commit_is_missing_is_cut(tmp_path, one_segment):
    data = one_segment["journal/00000001.log"]
    torn = record(cell(b"k", 1)) + bytes(600) + record(cell(b"l", 2))
    assert outcome(fresh(tmp_path / "tail", {"journal/00000001.log": data + torn})) == {*CELLS, cell(b"k", 1)}


def test_a_tail_is_no_excuse_in_a_segment_that_is_not_the_last(tmp_path, several):
    name = "journal/00000002.log"
    for broken in (several[name][:-1], several[name] + b"\0"):
        got = outcome(fresh(tmp_path / "old", {**several, name: broken}))
        assert got[0] == name


@pytest.mark.parametrize("name", ["journal/00000002.log", "snapshot/00000002.lww"])
def test_a_missing_file_is_named(tmp_path, several, name):
    files = dict(several)
    del files[name]
    missing = "journal/00000001.log" if name.startswith("snapshot") else name
    assert outcome(fresh(tmp_path / "gap", files)) == (missing, 0)


def test_what_a_snapshot_stands_for_is_not_read_again(tmp_path, several):
    # A compaction that died between its rename and its last unlink leaves older files, and in them dead cells.
    old = {"journal/00000001.log": b"whatever", "snapshot/00000001.lww": b"whatever", "journal/00000009.log.new": b"x"}
    folder = fresh(tmp_path / "left", {**several, **old})
    assert outcome(folder) == set(CELLS)
    assert sorted(files_of(folder)) == sorted(several)
    assert not (folder / "journal" / "00000009.log.new").exists()


def test_a_snapshot_of_the_other_bias_is_foreign(tmp_path, several):
    folder = fresh(tmp_path / "bias", {**several, "snapshot/00000002.lww": delta(CELLS[:2], bias=0)})
    with pytest.raises(ForeignData, match="bias remove"):
        outcome(folder)


def test_a_snapshot_that_is_no_delta_is_damaged(tmp_path, several):
    name = "snapshot/00000002.lww"
    for data in (b"", b"LWWD", bytes(4), bytes(40)):
        assert outcome(fresh(tmp_path / "snap", {**several, name: data}))[0] == name


def test_repair_sets_the_damaged_file_aside_and_keeps_what_is_before_the_damage(tmp_path, several):
    for name, data in several.items():
        for at in range(0, len(data), 7):
            broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
            folder = fresh(tmp_path / "repair", {**several, name: broken})
            if not isinstance(outcome(folder), tuple):
                continue
            with opened(folder, repair=True) as (journal, replayed):
                assert not replayed.empty
                assert [path.read_bytes() for path in replayed.set_aside] == [broken]
                assert replayed.set_aside[0].name.endswith(".damaged")
                before = {one for one in CELLS if one in data and data.index(one) + len(one) <= at}
                elsewhere = {one for one in CELLS if one not in data}
                kept = cells_of(replayed.deltas)
                assert elsewhere <= kept
                assert kept - elsewhere == (before if name.endswith("log") else set())
                journal.wait(journal.append(record(cell(b"later", 9)), 1), WITHIN_S)
            assert outcome(folder) == kept | {cell(b"later", 9)}


def test_repair_of_a_second_damage_keeps_the_first_file_too(tmp_path, one_segment):
    data = one_segment["journal/00000001.log"]
    folder = fresh(tmp_path / "twice", {"journal/00000001.log": data})
    at = data.index(CELLS[3])
    for n in (1, 2):
        broken = data[:at] + b"??" + data[at + 2:]
        (folder / "journal" / "00000001.log").write_bytes(broken)
        with opened(folder, repair=True) as (_, replayed):
            assert replayed.set_aside == [folder / "journal" / f"00000001.log.{n}.damaged"]


def test_repair_of_a_missing_segment_goes_on_without_it(tmp_path, several):
    files = dict(several)
    del files["journal/00000002.log"]
    folder = fresh(tmp_path / "gap", files)
    with opened(folder, repair=True) as (_, replayed):
        assert replayed.set_aside == [folder / "journal" / "00000002.log"]
    assert outcome(folder) == {one for one in CELLS if any(one in data for data in files.values())}


def test_damage_that_comes_after_the_check_is_found_too(tmp_path, one_segment):
    folder = fresh(tmp_path / "late", one_segment)
    with opened(folder) as (_, replayed):
        path = folder / "journal" / "00000001.log"
        path.write_bytes(path.read_bytes().replace(b"value", b"wrong"))
        with pytest.raises(DamagedJournal):
            list(replayed.deltas)


def test_a_record_of_a_kind_we_do_not_know_is_passed_over(tmp_path, one_segment):
    data = one_segment["journal/00000001.log"] + control("later", 2**63)
    assert outcome(fresh(tmp_path / "kind", {"journal/00000001.log": data})) == set(CELLS)

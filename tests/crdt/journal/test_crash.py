"""A journal dies at every step there is: whatever was acknowledged is there, and nothing that never was."""
from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hotpath.crdt.journal import DamagedJournal, Disk, Unavailable
from hotpath.crdt.journal.layout import Layout, Owner
from hotpath.crdt.journal.replay import check_all, deltas
from tests.core.data.forking import forked
from tests.crdt.journal.cells import cell, cells_of, delta, record
from tests.crdt.journal.disks import Deadly, Lazy, PowerCut, Watched
from tests.crdt.journal.opening import WITHIN_S, held, open_journal, opened

STEPS = range(1, 13)
COMPACT_AFTER = (4, 8)
SEGMENT_BYTES = 700
LUCK = ("least", "most", "zeros", "names")


def cells_at(step):
    """What is written in one group: some small, some of several blocks."""
    return [cell(b"%d.%d" % (step, i), step << 32, bytes([step]) * (1500 if step % 5 == 0 else 20)) for i in range(2)]


ALL = {one for step in STEPS for one in cells_at(step)}


def work(folder: Path, disk: Disk, acknowledge: Callable[[int], None], **options) -> None:
    """Write and compact; tell each step once it is acknowledged. Ends early when the journal does."""
    journal = None
    try:
        journal, replayed = open_journal(folder, disk=disk, fatal=lambda error: None, segment_bytes=SEGMENT_BYTES,
                                         **options)
        table = cells_of(replayed.deltas)
        for step in STEPS:
            table.update(cells_at(step))
            journal.wait(journal.append(b"".join(map(record, cells_at(step))), step << 32), WITHIN_S)
            journal.wait(journal.append_control("floor", step), WITHIN_S)
            acknowledge(step)
            if step in COMPACT_AFTER:
                journal.compact(lambda: (delta(sorted(table)), 0))
    except Unavailable:
        pass
    except OSError as error:
        assert error.errno == errno.EIO     # noqa: PT017 (of the opening itself, which has no journal to fail)
    finally:
        if journal is not None:
            journal.close()


def lost(folder: Path, acknowledged: list[int]) -> set[bytes]:
    """What is missing that was acknowledged."""
    if not (folder / "journal").is_dir() or not (folder / "snapshot").is_dir():
        found, floor, clock = set(), 0, 0
    else:
        owner = Owner("a", "add")
        files = check_all(Layout(folder), owner)
        found = cells_of(deltas(files, owner))
        floor = max((file.floor for file in files), default=0)
        clock = max((file.clock for file in files), default=0)
    last = max(acknowledged, default=0)
    assert found <= ALL
    missing = {one for step in acknowledged for one in cells_at(step)} - found
    return missing | ({b"floor"} if floor < last else set()) | ({b"clock"} if clock < last << 32 else set())


def calls_of_the_whole_work(folder: Path) -> list[str]:
    disk = Watched(Lazy())
    steps: list[int] = []
    work(folder, disk, steps.append)
    assert steps == list(STEPS)
    assert lost(folder, steps) == set()
    assert {"create", "write", "sync_data", "sync", "rename", "sync_folder", "unlink"} <= set(disk.calls)
    return disk.calls


def test_killed_before_any_call_to_the_kernel_it_has_what_it_acknowledged(tmp_path):
    total = len(calls_of_the_whole_work(tmp_path / "whole"))
    killed = 0
    for n in itertools.count():
        folder = tmp_path / "killed"
        folder.mkdir()
        out, into = os.pipe()

        def live_and_die(folder=folder, into=into, n=n):
            work(folder, Deadly(n), lambda done: os.write(into, bytes([done])))

        with forked(live_and_die) as end:
            os.close(into)
            with open(out, "rb") as pipe:
                acknowledged = list(pipe.read())
            status = end()
        assert lost(folder, acknowledged) == set()
        with opened(folder, disk=Lazy()) as (journal, replayed):      # and it starts, and goes on
            assert {one for step in acknowledged for one in cells_at(step)} <= cells_of(replayed.deltas)
            journal.wait(journal.append(record(cells_at(1)[0]), 1), WITHIN_S)
        assert lost(folder, acknowledged) == set()
        shutil.rmtree(folder)
        if status == 0:
            break
        assert status == -9
        killed += 1
    # The committer and the compaction take turns as they like, so that the count differs by a few.
    assert killed > total * 3 // 4


def test_many_writers_killed_while_they_write_keep_what_was_acknowledged(tmp_path):
    out, into = os.pipe()

    def one(n):
        return cell(b"%d" % n, n + 1)

    def live():
        with opened(tmp_path, segment_bytes=5000) as (journal, _):
            def write(thread):
                for n in range(thread, 10**9, 8):
                    journal.wait(journal.append(record(one(n)), n + 1))
                    os.write(into, n.to_bytes(4, "big"))

            threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
            for thread in threads:
                thread.start()
            threads[0].join()

    with forked(live) as end:
        os.close(into)
        with open(out, "rb") as pipe:
            told = pipe.read(4 * 400)
            assert end(signal.SIGKILL) == -signal.SIGKILL
            told += pipe.read()
    acknowledged = {one(int.from_bytes(told[i:i + 4], "big")) for i in range(0, len(told), 4)}
    assert len(acknowledged) >= 400
    assert acknowledged <= held(tmp_path)


def losses_at_a_power_cut(tmp_path: Path, n: int, disk: PowerCut, **options) -> tuple[int, bool]:
    """How many images of a cut before call `n` lack something acknowledged, and whether the work was cut at all."""
    origin = tmp_path / "live"
    acknowledged: list[int] = []
    work(origin, disk, acknowledged.append, **options)
    losses = 0
    if not disk.is_off:
        disk.look()
    for luck in LUCK:
        image = tmp_path / luck
        disk.image(origin, image, luck)
        try:
            losses += lost(image, acknowledged) != set()
        except DamagedJournal:
            losses += 1             # nothing rotted: to refuse is wrong as well
        shutil.rmtree(image, ignore_errors=True)
    shutil.rmtree(origin, ignore_errors=True)
    return losses, disk.is_off


def test_a_power_cut_before_any_call_leaves_what_was_acknowledged(tmp_path):
    for n in itertools.count():
        losses, cut = losses_at_a_power_cut(tmp_path, n, PowerCut(n))
        assert losses == 0, n
        if not cut:
            break
    assert n > 50


class Lying(PowerCut):
    """Answers a sync that it did not do."""

    def after(self, call, *given):
        if call != "sync_data":
            super().after(call, *given)


@pytest.mark.parametrize(("disk", "options"), [
    (PowerCut, {"fsync": "off"}),
    (PowerCut, {"fsync": "interval", "interval_s": 1000}),
    (Lying, {}),
], ids=["off", "interval", "lying"])
def test_a_journal_that_acknowledges_before_the_sync_is_found_out(tmp_path, disk, options):
    losses = sum(losses_at_a_power_cut(tmp_path, n, disk(n), **options)[0] for n in range(15, 45))
    assert losses > 0


def test_a_recovery_that_is_killed_at_any_step_is_recovered_from(tmp_path):
    def leftovers(folder):
        """A torn tail, a file half made, a segment and a snapshot that are stood for."""
        shutil.rmtree(folder, ignore_errors=True)
        acknowledged = []
        work(folder, Lazy(), acknowledged.append)
        last = max((folder / "journal").iterdir())
        with last.open("ab") as file:
            file.write(b"torn")
        (folder / "journal" / "00000099.log.new").write_bytes(b"LWW")
        (folder / "journal" / "00000001.log").write_bytes(b"old")
        (folder / "snapshot" / "00000001.lww").write_bytes(b"old")
        return acknowledged

    for n in itertools.count():
        acknowledged = leftovers(tmp_path / "data")

        def start(n=n):
            with opened(tmp_path / "data", disk=Deadly(n)):
                pass

        with forked(start) as end:
            status = end()
        assert lost(tmp_path / "data", acknowledged) == set()
        if status == 0:
            break
    assert n >= 8
    assert not list((tmp_path / "data" / "journal").glob("*.new"))


def test_a_repair_that_is_killed_at_any_step_keeps_the_damaged_bytes(tmp_path):
    whole = tmp_path / "whole"
    work(whole, Lazy(), lambda step: None)
    damaged = min(path for path in (whole / "journal").iterdir())
    data = bytearray(damaged.read_bytes())
    data[200] ^= 1
    damaged.write_bytes(data)
    for n in itertools.count():
        folder = tmp_path / "data"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)

        def start(n=n, folder=folder):
            with opened(folder, disk=Deadly(n), repair=True):
                pass

        with forked(start) as end:
            status = end()
        assert bytes(data) in [path.read_bytes() for path in (folder / "journal").iterdir()]
        with opened(folder, disk=Lazy(), repair=True):
            pass
        assert bytes(data) in [path.read_bytes() for path in (folder / "journal").glob("*.damaged")]
        if status == 0:
            break
    assert n >= 8

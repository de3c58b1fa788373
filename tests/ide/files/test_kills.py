"""Whatever is acknowledged is current or in the history: after `kill -9`, and beside a program that writes too."""
import os
import random
import select
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hotpath.ide.config import HistoryConfig
from hotpath.ide.errors import NotFound, Stale
from hotpath.ide.files import moving, removing, saving, unzipping
from hotpath.ide.files.reading import etag_of
from tests.ide.files import places
from tests.ide.files.hostile import honest
from tests.ide.files.places import made, versions
from tests.waiting import DEADLINE_S

ROOT = Path(__file__).parents[3]
KILLS = 8


def known(place, path):
    """The ETags of what is there and of what was."""
    found = {str(one["etag"]) for one in place.files.history(path)}
    with suppress(NotFound):
        file = place.files.open(path)
        file.close()
        found.add(file.etag)
    return found


def save_until_killed(folder, acknowledged):
    """Start a saver, let it acknowledge some, and kill it wherever it is then."""
    with subprocess.Popen([sys.executable, "-m", "tests.ide.files.savers", folder, "f"], cwd=ROOT,
                          stdout=subprocess.PIPE) as saver:
        try:
            for _ in range(random.randint(2, 40)):
                assert select.select([saver.stdout], [], [], DEADLINE_S)[0]
                acknowledged.append(saver.stdout.readline().decode().strip())
            # Somewhere within the next save; which point that is, is up to chance.
            select.select([], [], [], random.random() * 0.003)
        finally:
            saver.kill()
        acknowledged += [line.decode().strip() for line in saver.stdout]


def test_each_acknowledged_content_is_current_or_in_the_history(tmp_path):
    place = places.place(tmp_path, history=HistoryConfig(keep=1000))
    made(place, b"f", b"begin")
    place.files.close()
    acknowledged = []
    for _ in range(KILLS):
        save_until_killed(str(tmp_path), acknowledged)
        place = places.place(tmp_path, history=HistoryConfig(keep=1000))
        place.files.recover()
        assert place.leftovers == []
        etags = [line for line in acknowledged if len(line) == 32]
        assert etags
        assert set(etags) <= known(place, b"f")
        for path in place.root.iterdir():
            # The old or the new, never half of one.
            lines = path.read_bytes().splitlines()
            assert path.name in ("f", "f.moved")
            assert len(set(lines)) == 1
        place.files.close()


class Killed(BaseException):
    """Nothing that any of ours catches: as far as the disk can tell, the process ended here."""


POINTS = [(saving, "exchange"), (saving, "rename_new"), (moving, "exchange"), (moving, "rename_new"),
          (removing, "remove_tree"), (unzipping, "rename_new"), (unzipping, "exchange")]


def change_all(place):
    """One of each."""
    files = place.files
    files.put(b"f", b"saved", match="*", create=False)
    files.put(b"new", b"made", match=None, create=True)
    files.move(b"f", b"g", overwrite=True)
    files.copy(b"g", b"d/f", overwrite=True)
    files.move(b"new", b"newer")
    files.unzip(b"d", honest({"f": b"unpacked", "x/y": b"more"}))
    files.delete(b"newer")
    files.delete(b"d", recursive=True)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(3))
@pytest.mark.parametrize(("module", "name"), POINTS)
def test_an_end_at_any_step_loses_nothing(tmp_path, module, name, nth, when):
    place = places.place(tmp_path)
    contents = {b"f": b"old", b"g": b"over", b"d/f": b"inner", b"d/g": b"beside"}
    for path, body in contents.items():
        made(place, path, body)
        (place.root / os.fsdecode(path)).write_bytes(body + b" by a program")

    # In a child, so that no `finally` of ours tidies up.
    child = os.fork()
    if child == 0:
        left = [nth]
        real = getattr(module, name)

        def act(*args):
            if left[0] == 0 and when == "before":
                os._exit(9)
            real(*args)
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1

        setattr(module, name, act)
        try:
            change_all(place)
        finally:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    place = place.again()
    place.files.recover()
    assert place.leftovers == []
    there = [body for body in places.tree(place.root).values() if isinstance(body, bytes)]
    for path, body in contents.items():
        kept = [*there, *(one for other in contents for one in versions(place, other))]
        assert body in kept, path
        assert body + b" by a program" in kept, path
    place.files.close()


def test_a_start_puts_what_was_displaced_into_the_history_and_sweeps_the_rest(tmp_path):
    place = places.place(tmp_path)
    tmp = tmp_path / "tmp"
    (tmp / "half").write_bytes(b"half written")
    (tmp / "staged/inner").mkdir(parents=True)
    (tmp / "staged/inner/f").write_bytes(b"not yet there")
    (tmp / "displaced").write_bytes(b"displaced")
    os.symlink("some/f", tmp / "displaced.path")
    (tmp / "deleted/x").mkdir(parents=True)
    (tmp / "deleted/x/f").write_bytes(b"deleted")
    os.symlink("gone", tmp / "deleted.path")
    os.symlink("nothing", tmp / "lonely.path")
    (tmp / "unzipped").mkdir()
    (tmp / "unzipped/f").write_bytes(b"replaced")
    os.symlink(".", tmp / "unzipped.path")
    place.files.recover()
    assert place.leftovers == []
    assert versions(place, b"some/f") == [b"displaced"]
    assert versions(place, b"gone/x/f") == [b"deleted"]
    assert versions(place, b"f") == [b"replaced"]
    assert sum(1 for one in (tmp_path / "history").rglob("*.*")) == 3
    place.files.close()


def test_a_path_longer_than_a_link_of_xfs_is_known_again(tmp_path, monkeypatch):
    place = places.place(tmp_path)

    def too_long(*_args, **_options):
        raise OSError(36, "File name too long")

    path = b"/".join([b"x" * 200] * 10)
    (tmp_path / "tmp/displaced").write_bytes(b"displaced")
    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", too_long)
        place.files._volume.arm(b"displaced", path)
    place.files.recover()
    assert versions(place, path) == [b"displaced"]
    assert place.leftovers == []
    place.files.close()


def test_saves_beside_a_program_that_writes_the_same_file(tmp_path):
    """Ours are acknowledged only over what we saw; what the program renamed into place is never lost either."""
    place = places.place(tmp_path, history=HistoryConfig(keep=1000))
    etag = made(place, b"f", b"begin")
    path = place.root / "f"
    written, stopping = [], threading.Event()

    def program():
        n = 0
        while not stopping.is_set() and n < 300:
            n += 1
            body = b"program %d" % n
            (place.root / "fresh").write_bytes(body)
            os.replace(place.root / "fresh", path)
            written.append(etag_of(body))
            stopping.wait(0.002)

    thread = threading.Thread(target=program)
    thread.start()
    acknowledged, refused = [etag], 0
    try:
        for n in range(200):
            try:
                etag = place.files.put(b"f", b"ours %d" % n, match=etag, create=False)[1]
                acknowledged.append(etag)
            except Stale as error:
                refused += 1
                etag = error.etag
    finally:
        stopping.set()
        thread.join()
    assert len(acknowledged) > 1
    assert refused > 0
    assert set(acknowledged) <= known(place, b"f")
    # Each save of ours replaced exactly what it had seen, so that was kept; the program's own renames keep nothing.
    assert place.leftovers == []
    assert known(place, b"f") <= {*acknowledged, *written}
    place.files.close()


def test_many_writers_of_ours_are_ordered(place):
    """Each replaces what another saved, so all but the last are in the history, and no two replaced the same."""
    made(place, b"f", b"0")
    replaced, lock = [], threading.Lock()

    def write(name):
        for n in range(20):
            while True:
                file = place.files.open(b"f")
                file.close()
                try:
                    place.files.put(b"f", b"%s %d" % (name, n), match=file.etag, create=False)
                except Stale:
                    continue
                with lock:
                    replaced.append(file.etag)
                break

    threads = [threading.Thread(target=write, args=(name,)) for name in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replaced) == len(set(replaced)) == 60

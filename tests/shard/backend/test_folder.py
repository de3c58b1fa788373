import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotpath.shard.backend import folder as folders
from hotpath.shard.backend.errors import CannotStart, Taken
from hotpath.shard.backend.folder import LOCK, MARKER, Folder, write_private
from hotpath.shard.backend.waiting import after
from tests.waiting import DEADLINE_S


def claimed(path, *names, home=None, cluster="blog") -> Folder:
    folder = Folder(path, cluster, "process")
    with folder.exclusive(after(10)):
        folder.claim(names, home)
    return folder


def test_it_is_ours_once_claimed_and_remembers_where_the_map_is(tmp_path):
    assert not Folder(tmp_path / "data", "blog", "process").is_ours
    claimed(tmp_path / "data", "s0", home="s0")
    claimed(tmp_path / "data", "s1", home="s1")
    folder = Folder(tmp_path / "data", "blog", "process")
    assert folder.home("s7", elsewhere=False) == "s0"
    with pytest.raises(CannotStart, match="take `meta` out again"):
        folder.home("s7", elsewhere=True)


def test_a_map_that_was_elsewhere_stays_there(tmp_path):
    folder = claimed(tmp_path)
    assert folder.home("s0", elsewhere=True) is None
    with pytest.raises(CannotStart, match="put that back"):
        folder.home("s0", elsewhere=False)


def test_a_full_disk_is_said(tmp_path):
    with pytest.raises(CannotStart, match="No space left"):
        _fill(Folder(tmp_path, "blog", "process"))


def _fill(folder):
    with folder.exclusive(after(10)), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def test_what_stands_there_already_is_somebody_else_s(tmp_path):
    (tmp_path / "s1").symlink_to("nowhere")
    with pytest.raises(Taken, match=r"s1 is there already"):
        claimed(tmp_path, "s0", "s1")
    assert not (tmp_path / MARKER).exists()
    claimed(tmp_path, "s0")


@pytest.mark.parametrize(("cluster", "backend"), [("other", "process"), ("blog", "docker")])
def test_another_cluster_s_is_refused(tmp_path, cluster, backend):
    claimed(tmp_path)
    with pytest.raises(Taken, match="belongs to the cluster 'blog' with backend process"), \
            Folder(tmp_path, cluster, backend).exclusive(after(10)):
        pass


def test_a_damaged_marker_is_said(tmp_path):
    claimed(tmp_path)
    (tmp_path / MARKER).write_text("{")
    with pytest.raises(CannotStart, match="cannot be read"), Folder(tmp_path, "blog", "process").exclusive(after(10)):
        pass


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=r"data: .*file/data cannot be used"), \
            Folder(tmp_path / "file" / "data", "blog", "process").exclusive(after(10)):
        pass


def test_one_at_a_time_and_the_same_thread_again(tmp_path):
    folder, other = (Folder(tmp_path, "blog", "process") for _ in range(2))
    with folder.exclusive(after(10)), folder.exclusive(after(10)):
        for blocked in (other, folder):
            with ThreadPoolExecutor(1) as threads, pytest.raises(CannotStart, match="another command"):
                threads.submit(_enter, blocked, time.monotonic()).result()
    _enter(other, time.monotonic())


def _enter(folder, deadline_s):
    with folder.exclusive(deadline_s):
        pass


def test_whoever_waited_through_a_purge_has_a_lock_of_its_own(tmp_path, monkeypatch):
    waits, lock = threading.Event(), folders._lock
    monkeypatch.setattr(folders, "_lock", lambda fd: lock(fd) or bool(waits.set()))
    folder, waiting, third = (Folder(tmp_path / "data", "blog", "process") for _ in range(3))
    with ThreadPoolExecutor(1) as threads, folder.exclusive(after(10)):
        folder.claim(())
        got = threads.submit(_hold_and_let, waiting, third)
        assert waits.wait(DEADLINE_S)
        folder.remove()
        assert not (tmp_path / "data").exists()
    got.result()


def test_a_purge_between_two_steps_of_an_opening_is_no_error(tmp_path, monkeypatch):
    folder = Folder(tmp_path / "data", "blog", "process")
    real = os.open

    def purged(path, *args):
        monkeypatch.setattr(os, "open", real)
        folder.path.rmdir()
        return real(path, *args)

    monkeypatch.setattr(os, "open", purged)
    with folder.exclusive(after(10)):
        assert (folder.path / LOCK).exists()


def _hold_and_let(waiting, third):
    with (waiting.exclusive(after(10)), ThreadPoolExecutor(1) as threads,
          pytest.raises(CannotStart, match="another command")):
        threads.submit(_enter, third, time.monotonic()).result()


def test_only_what_is_ours_is_removed(tmp_path):
    folder = claimed(tmp_path)
    (tmp_path / "theirs").touch()
    with folder.exclusive(after(10)):
        folder.remove()
    assert os.listdir(tmp_path) == ["theirs"]
    assert LOCK not in os.listdir(tmp_path)


def test_a_private_file_is_written_whole_and_follows_no_link(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    for name in ("client.cnf", "client.cnf.new"):
        (tmp_path / name).symlink_to("theirs")
    write_private(tmp_path / "client.cnf", b"secret")
    assert (tmp_path / "client.cnf").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "client.cnf").lstat().st_mode) == 0o600
    assert (tmp_path / "theirs").read_text() == "theirs"

"""Walking a folder that somebody rebuilds meanwhile: what is outside is never seen."""
import hashlib
import os
import threading
from contextlib import contextmanager, suppress
from unittest.mock import patch

import pytest

from hotpath.ide import usage, walking
from hotpath.ide.backup.gathering import Gathering
from hotpath.ide.walking import FOLDER, walk
from hotpath.ide.watching.telling import looked_at

ROUNDS = 150


@pytest.fixture
def place(tmp_path):
    """A project with a folder `swap`, and a secret outside it under the same name."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    for folder in (outside / "deep", root / "swap" / "deep", root / "calm"):
        folder.mkdir(parents=True)
    for folder in (outside, outside / "deep"):
        (folder / "secret").write_bytes(b"secret")
        (folder / "file").write_bytes(b"secret")
    for folder in (root / "swap", root / "swap" / "deep", root / "calm"):
        (folder / "file").write_bytes(b"mine")
    return root, outside


@contextmanager
def swapped(module, folder, outside):
    """When `folder` is known to be one, and is about to be opened, it becomes a link."""
    real, swaps = module.open_beneath, []

    def late(root_fd, path, flags):
        if path == b"swap" and not swaps:
            swaps.append(folder.rename(folder.with_name("kept")))
            folder.symlink_to(outside)
        return real(root_fd, path, flags)

    with patch.object(module, "open_beneath", late):
        yield
    assert swaps


@contextmanager
def swapping(folder, outside):
    """Make it a link and a folder again, as fast as it goes."""
    stop, kept = threading.Event(), folder.with_name("kept")

    def swap():
        while not stop.is_set():
            with suppress(OSError):
                folder.rename(kept)
                folder.symlink_to(outside)
                folder.unlink()
                kept.rename(folder)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_walk_stays_inside(place):
    root, outside = place
    root_fd = os.open(root, FOLDER)
    with swapped(walking, root / "swap", outside):
        seen = {entry.name for visit in walk(root_fd) for entry in visit.entries}
    os.close(root_fd)
    assert "file" in seen
    assert "secret" not in seen


def test_no_etag_is_of_what_lies_outside(place):
    root, outside = place
    root_fd = os.open(root, FOLDER)
    with swapping(root / "swap", outside):
        tags = {looked_at(root_fd, path)[0] for _ in range(ROUNDS) for path in (b"swap/file", b"swap/deep/file")}
    os.close(root_fd)
    assert tags - {None} <= {hashlib.blake2b(b"mine", digest_size=16).hexdigest()}


def test_no_backup_has_what_lies_outside(place):
    root, outside = place
    sent = set()
    with swapped(walking, root / "swap", outside):
        gathering = Gathering({}, set(), lambda _digest, content: sent.add(content.body))
        gathering.run(root, ())
    assert "calm/file" in gathering.files
    assert sent == {b"mine"}


def test_what_lies_outside_is_not_counted(place):
    root, outside = place
    (outside / "large").write_bytes(bytes(4 * 1024 * 1024))
    with swapped(usage, root / "swap", outside):
        assert usage.measure(root).bytes < 1024 * 1024


def test_ignored_folders_are_listed_and_not_entered(place):
    root, _ = place
    root_fd = os.open(root, FOLDER)
    visits = {visit.path: [entry.name for entry in visit.entries] for visit in walk(root_fd, {"swap"})}
    os.close(root_fd)
    assert visits == {b"": ["calm", "swap"], b"calm": ["file"]}


def test_folders_deeper_than_a_path_can_say_are_passed_by(tmp_path):
    fd = os.open(tmp_path, FOLDER)
    for _ in range(50):
        os.mkdir("x" * 200, dir_fd=fd)
        inner = os.open("x" * 200, FOLDER, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    root_fd = os.open(tmp_path, FOLDER)
    assert 19 <= len(list(walk(root_fd))) <= 22
    os.close(root_fd)
    assert 19 <= usage.measure(tmp_path).files <= 22

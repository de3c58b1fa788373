"""A file is the old one or the new one, and nobody else's to read."""
from __future__ import annotations

import errno
import os
import stat

import pytest

from hotpath.core.durable import write_private


def test_a_file_is_replaced_whole_and_only_ours(tmp_path):
    path = tmp_path / "kept"
    path.write_bytes(b"a long old text")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["kept"]


def test_whoever_dies_before_the_end_leaves_the_old_file_and_hinders_nobody(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def die(_fd: int) -> None:
        raise SystemExit("no power")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(SystemExit, match="no power"):
            write_private(path, b"new")
    assert path.read_bytes() == b"old"
    write_private(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_finds_no_room_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def fail(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no room"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept"]


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path):
    (tmp_path / "others").write_bytes(b"theirs")
    (tmp_path / "kept.new").symlink_to("others")
    write_private(tmp_path / "kept", b"new")
    assert (tmp_path / "others").read_bytes() == b"theirs"

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hotpath.core.net.lines import LineFile, open_lines


def test_a_file_is_appended_to_and_closed_once(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    fd = open_lines(str(path))
    os.write(fd, b"behind\n")
    os.close(fd)
    assert path.read_bytes() == b"before\nbehind\n"
    n_open = len(os.listdir("/proc/self/fd"))
    file = LineFile(str(path))
    assert len(os.listdir("/proc/self/fd")) == n_open + 1
    file.close()
    file.close()
    assert len(os.listdir("/proc/self/fd")) == n_open


def test_reopening_makes_the_file_anew_or_keeps_the_old_one(tmp_path: Path):
    path = tmp_path / "sub" / "log"
    path.parent.mkdir()
    file = LineFile(str(path))
    path.rename(tmp_path / "old")
    file.reopen()
    assert path.exists()
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        file.reopen()
    file.close()


def test_a_file_is_opened_once(tmp_path: Path):
    file = LineFile(str(tmp_path / "log"))
    with pytest.raises(RuntimeError, match="once"):
        file.__init__(str(tmp_path / "log"))    # type: ignore[misc]

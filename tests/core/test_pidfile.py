from __future__ import annotations

import os

import pytest

from hotpath.core.errors import ConfigError
from hotpath.core.pidfile import PidFile

OURS = f"{os.getpid()}\n"


def test_it_holds_our_pid_until_it_is_removed(tmp_path):
    path, file = tmp_path / "pid", PidFile()
    file.move(str(path))
    assert path.read_text() == OURS
    assert os.listdir(tmp_path) == ["pid"]
    file.remove()
    assert not path.exists()
    file.remove()


def test_no_path_is_no_file(tmp_path):
    file = PidFile()
    file.move(None)
    file.write()
    file.remove()


def test_it_moves(tmp_path):
    file = PidFile()
    file.move(str(tmp_path / "first"))
    file.move(str(tmp_path / "second"))
    assert os.listdir(tmp_path) == ["second"]
    file.move(None)
    assert os.listdir(tmp_path) == []


def test_the_file_of_the_next_master_is_left_alone(tmp_path):
    path, file = tmp_path / "pid", PidFile()
    file.move(str(path))
    path.write_text("1\n")
    file.remove()
    assert path.read_text() == "1\n"
    file.write()        # the upgrade failed: it is ours again
    assert path.read_text() == OURS


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    path = tmp_path / "nowhere" / "pid"
    with pytest.raises(ConfigError, match=f"pid_file: cannot write {path}: No such file or directory"):
        PidFile().move(str(path))

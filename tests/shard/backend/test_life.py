import os
import subprocess

import pytest

from hotpath.shard.backend.life import holder, is_held, taken
from tests.waiting import wait_for


def test_a_file_that_is_not_there_is_held_by_nobody(tmp_path):
    assert not is_held(tmp_path / "life")
    assert holder(tmp_path / "life") is None


@pytest.mark.parametrize("guess", [None, 1, "its"])
def test_it_is_held_for_as_long_as_a_child_lives_that_inherited_it(tmp_path, guess):
    path = tmp_path / "life"
    fd = taken(path)
    child = subprocess.Popen(["sleep", "60"], pass_fds=(fd,))
    os.close(fd)
    try:
        assert is_held(path)
        assert taken(path) is None
        # Before exec the child has all our files, and its parent is no better guess.
        wait_for(lambda: holder(path, child.pid if guess == "its" else guess) == child.pid, "the child to hold it")
    finally:
        child.kill()
        child.wait()
    wait_for(lambda: not is_held(path), "the kernel to give it back")
    assert holder(path, child.pid) is None


def test_to_ask_disturbs_nobody(tmp_path):
    path = tmp_path / "life"
    os.close(taken(path))
    assert not is_held(path)
    fd = taken(path)
    assert fd is not None
    os.close(fd)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "theirs").touch()
    (tmp_path / "life").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="symbolic links"):
        taken(tmp_path / "life")

"""Control groups, of both versions."""
import os

import pytest

from hotpath.ide.config import SandboxConfig
from hotpath.ide.sandbox import groups
from hotpath.ide.sandbox.groups import Group, Groups, find

CONFIG = SandboxConfig(memory=256 * 1024**2, pids=100, cpus=0.5)


def test_version_2_is_one_folder_with_all_settings(tmp_path):
    made = Groups(CONFIG, {"": tmp_path})
    assert made.version == 2
    made.make("one")
    said = {path.name: path.read_text() for path in (tmp_path / "one").iterdir()}
    assert said == {"memory.max": str(CONFIG.memory), "memory.swap.max": "0", "pids.max": "132",
                    "cpu.max": "50000 100000"}


def test_version_1_is_one_folder_for_each(tmp_path):
    bases = {name: tmp_path / name for name in groups.WANTED}
    for base in bases.values():
        base.mkdir()
    made = Groups(CONFIG, bases)
    assert made.version == 1
    group = made.make("one")
    assert (tmp_path / "memory" / "one" / "memory.limit_in_bytes").read_text() == str(CONFIG.memory)
    assert (tmp_path / "pids" / "one" / "pids.max").read_text() == "132"
    assert (tmp_path / "cpu" / "one" / "cpu.cfs_quota_us").read_text() == "50000"
    assert len(group.folders) == 3


def test_a_needed_setting_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "one" / "memory.max").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        Groups(CONFIG, {"": tmp_path}).make("one")


def test_an_out_of_memory_kill_is_seen(tmp_path):
    group = Group([tmp_path])
    assert not group.ran_out()
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\n")
    assert not group.ran_out()
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\n")
    assert group.ran_out()


def test_real_ones_come_and_go():
    if os.geteuid():
        assert find(CONFIG) == "only root may make control groups"
        return
    found = find(CONFIG)
    if isinstance(found, str):
        return                      # said in the log; the rlimits hold
    group = found.make("one")
    try:
        fds = group.open()
        assert fds
        for fd in fds:
            os.close(fd)
        assert group.members() == []
        assert not group.ran_out()
    finally:
        assert group.remove()
    found.close()
    assert not any(folder.parent.exists() for folder in group.folders)

import subprocess
import sys

import pytest

from bench import quota
from bench.processes import StartError, confined

SPIN = "import time\nend = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass\nprint(time.process_time())"


def used_s(argv: list[str]) -> float:
    return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def test_a_group_gets_its_share_and_is_gone_afterwards():
    if not quota.is_available():
        pytest.skip("no control groups, or not root")
    argv = [sys.executable, "-c", SPIN]
    with quota.cpu_quota(0.1) as group:
        # 0.5 s at a tenth of a CPU, one more period, and what the start took; a busy machine only makes it less.
        assert used_s(confined(argv, group)) < 0.3
    assert not group.exists()


def test_a_group_with_a_process_in_it_is_told_not_to_be_removable(tmp_path, monkeypatch):
    monkeypatch.setattr(quota, "REMOVE_DEADLINE_S", 0.0)
    (tmp_path / "member").touch()
    with pytest.raises(OSError, match="not empty"):
        quota.remove(tmp_path)


def test_without_control_groups_there_is_no_quota(monkeypatch):
    monkeypatch.setattr(quota, "hierarchy", lambda: None)
    assert not quota.is_available()
    with pytest.raises(StartError, match="control groups"), quota.cpu_quota(1.0):
        pass


@pytest.mark.parametrize(("files", "written"), [
    (("cpu.cfs_quota_us", "cpu.cfs_period_us"), {"cpu.cfs_quota_us": "4000", "cpu.cfs_period_us": "10000"}),
    ((), {"cpu.max": "4000 10000"}),
], ids=["version 1", "version 2"])
def test_both_versions_of_control_groups_are_told(tmp_path, files, written):
    for name in files:
        (tmp_path / name).touch()
    quota.limit(tmp_path, 0.4)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == written

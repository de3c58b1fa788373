"""A quota of CPU time for a group of processes, the same for whichever of them runs: control groups, as root."""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .processes import StartError

# The kernel's default of 100 ms would let a server work for 40 ms and then rest for 60, which shows in every latency.
PERIOD_US = 10_000
REMOVE_DEADLINE_S = 60.0


def hierarchy() -> Path | None:
    """Where groups with the cpu controller are made: its own hierarchy (version 1), or the one of version 2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(place)
        if kind == "cgroup2" and "cpu" in Path(place, "cgroup.controllers").read_text().split():
            return Path(place)
    return None


def is_available() -> bool:
    """Whether there can be one here."""
    return os.geteuid() == 0 and hierarchy() is not None


def limit(group: Path, cpus: float) -> None:
    """Let all processes of `group` together use `cpus` CPUs."""
    quota_us = round(cpus * PERIOD_US)
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
    else:
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")


def remove(group: Path) -> None:
    """Once the kernel has forgotten the group's last process."""
    deadline_s = time.monotonic() + REMOVE_DEADLINE_S
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def cpu_quota(cpus: float) -> Iterator[Path]:
    """A group limited to `cpus` CPUs, to be entered by `processes.confined`; StartError where there can be none."""
    base = hierarchy()
    if base is None:
        raise StartError("a CPU quota needs control groups with the cpu controller")
    group = base / f"hotpath-bench.{os.getpid()}"
    try:
        if (base / "cgroup.subtree_control").exists():
            (base / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        limit(group, cpus)
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise StartError(f"a CPU quota needs root: {error}") from None
    try:
        yield group
    finally:
        remove(group)

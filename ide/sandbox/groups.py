"""Control groups: memory, processes and processor time of all programs of a project together, where root has them."""
from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hotpath.core.net.loop import Loop
from hotpath.ide.config import SandboxConfig

log = logging.getLogger(__name__)

NAME = "hotpath-ide"
WANTED = ("memory", "pids", "cpu")
PERIOD_US = 100_000
# Of a group whose processes were killed: what is left then, the next server removes.
REMOVALS, REMOVE_EVERY_S = 50, 0.05
# What we add to a project's own processes: its first one, its parent, and whoever is just entering.
SPARE_PIDS = 32

Setting = tuple[str, str, bool]         # file, value, whether we cannot do without


def settings_v1(config: SandboxConfig) -> dict[str, list[Setting]]:
    """By controller, in the order to write them: memory with swap may not be lower than without."""
    memory = str(config.memory)
    return {
        "memory": [("memory.limit_in_bytes", memory, True), ("memory.memsw.limit_in_bytes", memory, False)],
        "pids": [("pids.max", str(config.pids + SPARE_PIDS), True)],
        "cpu": [("cpu.cfs_period_us", str(PERIOD_US), True),
                ("cpu.cfs_quota_us", str(max(1000, int(config.cpus * PERIOD_US))), True)],
    }


def settings_v2(config: SandboxConfig) -> list[Setting]:
    """Of the one hierarchy."""
    return [("memory.max", str(config.memory), True), ("memory.swap.max", "0", False),
            ("pids.max", str(config.pids + SPARE_PIDS), True),
            ("cpu.max", f"{max(1000, int(config.cpus * PERIOD_US))} {PERIOD_US}", True)]


@dataclass(slots=True)
class Group:
    """Of one project: folders in which the kernel keeps count."""

    folders: list[Path]

    def open(self) -> list[int]:
        """Descriptors that a process joins by; the caller closes them."""
        fds: list[int] = []
        try:
            for folder in self.folders:
                fds.append(os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        return fds

    def members(self) -> list[int]:
        """The processes in it."""
        with suppress(OSError):
            return [int(pid) for pid in (self.folders[0] / "cgroup.procs").read_text().split()]
        return []

    def ran_out(self) -> bool:
        """Whether the kernel killed something in it for memory."""
        for folder in self.folders:
            for name in ("memory.oom_control", "memory.events"):
                with suppress(OSError):
                    words = (folder / name).read_text().split()
                    return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", 0)) > 0
        return False

    def remove(self) -> bool:
        """Once nothing runs in it; False: something still does."""
        gone = True
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                gone = False
        return gone

    def remove_later(self, loop: Loop, tries: int = REMOVALS) -> None:
        """Once the last of its processes is reaped."""
        if not self.remove() and tries:
            loop.call_later(REMOVE_EVERY_S, self.remove_later, loop, tries - 1)


class Groups:
    """Of one server."""

    def __init__(self, config: SandboxConfig, bases: dict[str, Path]) -> None:
        """`bases`: a folder of our own by controller; all the same one with version 2, whose name is then empty."""
        self._config = config
        self._bases = bases
        self.version = 2 if "" in bases else 1

    def make(self, name: str) -> Group:
        """For one project. OSError: it cannot be had."""
        group = Group([])
        try:
            if self.version == 2:
                self._fill(group, self._bases[""] / name, settings_v2(self._config))
            else:
                for controller, settings in settings_v1(self._config).items():
                    self._fill(group, self._bases[controller] / name, settings)
        except OSError:
            group.remove()
            raise
        return group

    def close(self) -> None:
        """The server ends; what is still in use stays, for the next one to remove."""
        for base in set(self._bases.values()):
            with suppress(OSError):
                for folder in base.iterdir():
                    if folder.is_dir():
                        with suppress(OSError):
                            folder.rmdir()
                base.rmdir()

    @staticmethod
    def _fill(group: Group, folder: Path, settings: list[Setting]) -> None:
        folder.mkdir(exist_ok=True)
        group.folders.append(folder)
        for name, value, needed in settings:
            try:
                (folder / name).write_text(value)
            except OSError:
                if needed:
                    raise


def find(config: SandboxConfig) -> Groups | str:
    """Our folders among the machine's control groups, or why there are none."""
    if os.geteuid() != 0:
        return "only root may make control groups"
    try:
        mounts = _mounts()
        if all(name in mounts for name in WANTED):
            bases = {name: _base(mounts[name], _own(name)) for name in WANTED}
        elif "" in mounts:
            base = _base(mounts[""], "")
            for folder in (mounts[""], base):
                (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in WANTED))
            bases = {"": base}
        else:
            return "no control groups are mounted"
        groups = Groups(config, bases)
        try:
            groups.make("try").remove()
        except OSError:
            groups.close()
            raise
    except OSError as error:
        return f"control groups: {error}"
    return groups


def _mounts() -> dict[str, Path]:
    """Where each controller of version 1 is mounted; under the empty name, version 2."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup":
            found.update({name: Path(place) for name in options.split(",") if name in WANTED})
        elif kind == "cgroup2":
            found.setdefault("", Path(place))
    return found


def _own(controller: str) -> str:
    """The server's own group: what limits it limits its projects too."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path.lstrip("/")
    return ""


def _base(mount: Path, own: str) -> Path:
    place = mount / own if (mount / own).is_dir() else mount
    for old in place.glob(f"{NAME}.*"):         # of servers that were killed
        pid = old.name.rpartition(".")[2]
        if not Path("/proc", pid).exists():
            with suppress(OSError):
                for folder in old.iterdir():
                    if folder.is_dir():
                        folder.rmdir()
                old.rmdir()
    base = place / f"{NAME}.{os.getpid()}"
    base.mkdir(exist_ok=True)
    return base

"""A systemd of the test's own: process 1 of namespaces in which nothing runs but our units.

It has this machine's programs, an /etc and a /var of its own over the machine's, a network that is only a loopback,
and a /run. It ends with the test.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.deploy.shipped import UNITS
from tests.waiting import running, wait_for

SYSTEMD = "/lib/systemd/systemd"
NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc")
CGROUPS = Path("/sys/fs/cgroup")
# What units of a system stand on; here all of it is there already.
STUBS = ("basic.target", "multi-user.target", "network-online.target", "shutdown.target", "sysinit.target",
         "umount.target")

BOOT = """
mount --make-rprivate /
mount -t proc proc /proc
# A control group that it takes for the root of all. What counts memory and CPU may hang elsewhere: it is let be.
umount -R /sys/fs/cgroup || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$4"
echo 0 > "/sys/fs/cgroup/$4/cgroup.procs"
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
# RemoveIPC empties it of what its users left.
mount -t tmpfs tmpfs /dev/shm
mkdir "$1/over"
mount -t tmpfs -o mode=755 tmpfs "$1/over"
for each in etc var opt; do
    over="$1/over/$each"
    mkdir -p "$over/upper" "$over/work"
    mount -t overlay -o "lowerdir=/$each,upperdir=$over/upper,workdir=$over/work" overlay "/$each"
done
# No unit of the machine's, nor any that is made of its init scripts or mounts.
for each in /lib/systemd/system /lib/systemd/system-generators /etc/systemd/system; do
    mount -t tmpfs -o mode=755 tmpfs "$each"
done
cp -r "$1"/units/. /etc/systemd/system
mkdir -p /etc/hotpath && cp "$1"/config/*.yaml /etc/hotpath && chmod 755 /etc/hotpath && chmod 644 /etc/hotpath/*
ln -s "$2" /opt/hotpath
systemd-sysusers "$1/hotpath.sysusers"
exec env -i container=hotpath-test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$3" --system --unit=multi-user.target \
    --log-target=null --show-status=no
"""


class Booted:
    """A systemd that runs."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command beside it."""
        done = subprocess.run(["nsenter", f"--target={self.pid}", *NAMESPACES, *words], capture_output=True, text=True,
                              timeout=100, check=False)
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr, self.said())
        return done

    def systemctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """As a person would."""
        return self.run("systemctl", "--no-pager", *words, check=check)

    def show(self, unit: str, key: str) -> str:
        """What systemd knows of a unit."""
        return self.systemctl("show", f"--property={key}", "--value", unit).stdout.strip()

    def main_pid(self, unit: str) -> int:
        """In its own namespace."""
        return int(self.show(unit, "MainPID"))

    def get(self, url: str, *words: str) -> str:
        """What a GET answers."""
        return self.run("curl", "-fsS", "--max-time", "20", *words, url).stdout

    def answers(self, url: str) -> bool:
        """Whether a GET is answered well."""
        return self.run("curl", "-fsS", "--max-time", "20", url, check=False).returncode == 0

    def n_said(self, word: str) -> int:
        """How often it stands in the log."""
        return self.log.read_text(errors="replace").count(word)

    def said(self) -> str:
        """The last words of systemd and all servers."""
        return self.log.read_text(errors="replace")[-6000:]


def missing() -> str | None:
    """Why there can be none here."""
    if os.geteuid() != 0:
        return "only root can boot a systemd of its own"
    if not os.access(SYSTEMD, os.X_OK):
        return "systemd is not installed: apt-get install systemd"
    return None


@contextmanager
def booted(folder: Path, configs: Path) -> Iterator[Booted]:
    """A systemd that has our units, none of them started, while the block runs. `folder` is empty."""
    for name in ("units", "config"):
        (folder / name).mkdir()
    _write_units(folder / "units", folder / "log")
    for path in configs.glob("*.yaml"):
        shutil.copy(path, folder / "config")
    shutil.copy(UNITS / "hotpath.sysusers", folder)
    (folder / "log").touch(0o666)
    (folder / "log").chmod(0o666)
    group = f"hotpath-test-{os.getpid()}"
    command = ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-euc", BOOT, "sh", str(folder), sys.prefix,
               SYSTEMD, group]
    try:
        with running(command) as process:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            pid = int(wait_for(children.read_text, "unshare to fork").split()[0])
            system = Booted(pid, folder / "log")

            def is_up() -> bool:
                assert process.popen.poll() is None, process.read()
                return system.systemctl("is-active", "multi-user.target", check=False).stdout == "active\n"

            wait_for(is_up, "systemd")
            yield system
    finally:
        _remove_cgroups(group)


def _write_units(into: Path, log: Path) -> None:
    shutil.copytree(UNITS, into, dirs_exist_ok=True)
    for name in STUBS:
        (into / name).write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n")
    # Where this checkout and its Python are: PrivateTmp and ProtectHome would hide them, and UMask the way to them.
    places = {str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix}
    (into / "hotpath-.service.d" / "test.conf").write_text(
        f"[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths={' '.join(sorted(places))}\nStandardOutput=append:{log}\n"
        f"StandardError=append:{log}\nRestartSec=100ms\nUMask=0022\n")


def _remove_cgroups(name: str) -> None:
    for place in (CGROUPS / "unified" / name, CGROUPS / name):
        for folder, _, _ in os.walk(place, topdown=False):
            # The kernel lets go of the last of its processes a little after they ended.
            wait_for(lambda folder=folder: _removed(folder), f"{folder} to be empty")


def _removed(folder: str) -> bool:
    with suppress(OSError):
        os.rmdir(folder)
    return not os.path.exists(folder)

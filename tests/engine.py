"""A Docker engine for the tests: the machine's own if it runs, else one that those who test at the same time share.

    from tests.engine import docker_engine  # noqa: F401   in a conftest.py; then: def test_…(docker_engine)
"""
from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_for

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"    # where Debian has servers, off a plain user's path
CGROUPS = "/sys/fs/cgroup"
# A fixture that several modules import is several fixtures to pytest.
ENGINE = pytest.StashKey[None]()


@pytest.fixture(scope="session")
def docker_engine(pytestconfig: pytest.Config) -> None:
    """One for the session."""
    if ENGINE not in pytestconfig.stash:
        stack = ExitStack()
        stack.enter_context(running_engine())
        pytestconfig.stash[ENGINE] = None
        pytestconfig.add_cleanup(stack.close)


@contextmanager
def running_engine() -> Iterator[None]:
    """One while the block runs: that of the machine, if there is one."""
    # Several pytest-xdist workers have one engine between them: the first starts it, and the last to go ends it.
    with _locked("users", fcntl.LOCK_SH) as users:
        with only_one("start"):
            if not engine_answers():
                _start_engine(users)
        yield


@contextmanager
def only_one(what: str) -> Iterator[None]:
    """One process at a time, of all that test on this machine."""
    with _locked(what, fcntl.LOCK_EX):
        yield


def engine_answers() -> bool:
    """Whether a Docker engine runs."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def _locked(name: str, how: int) -> Iterator[Path]:
    path = Path(tempfile.gettempdir()) / f"hotpath-tests-docker-{os.geteuid()}.{name}"
    with open(path, "ab") as file:
        fcntl.flock(file, how)
        yield path


def _start_engine(users: Path) -> None:
    """Return when it answers. It ends when nobody holds a lock on `users` any more: also if they were killed."""
    if why := next((f"{name} is not installed: apt-get install docker.io" for name in ("docker", "dockerd")
                    if not shutil.which(name, path=PATH)), None):
        pytest.skip(why)
    if os.geteuid() != 0:
        pytest.skip("no Docker engine runs, and only root can start one")
    if not os.path.ismount(CGROUPS):
        subprocess.run(["mount", "-t", "cgroup2", "none", CGROUPS], check=True)
    log = users.with_suffix(".log")
    with open(log, "wb") as output:
        subprocess.Popen(["sh", "-c", 'dockerd & exec 9>>"$1"; flock -x 9; kill $!; wait $!', "sh", str(users)],
                         stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                         env={**os.environ, "PATH": PATH})
    # One that somebody else started in this moment makes ours end, and is as good.
    wait_for(engine_answers, f"the Docker engine; its log: {log}", within_s=60)

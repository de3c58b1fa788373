"""Real servers for the tests: a group of mariadbd that the process backend made for the session.

    def test_…(mysqls):                     # tests/shard/conftest.py has it
        places = mysqls.databases(3)        # Endpoints of three new, empty databases, each on another server
"""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from hotpath.shard.backend.account import Account
from hotpath.shard.backend.login import ask
from hotpath.shard.backend.process import Processes
from hotpath.shard.config import ShardConfig
from hotpath.shard.endpoint import Endpoint
from tests.engine import PATH
from tests.scratch import scratch
from tests.waiting import send_signal, wait_for

T = TypeVar("T")

NEEDED = ("mariadbd", "mariadb-install-db")
SERVERS = 4


class Mysqls:
    """Servers s0, s1, …, each of which can be killed, stopped and started again."""

    def __init__(self, folder: Path, n: int) -> None:
        self.names = tuple(f"s{i}" for i in range(n))
        self.backend = Processes(ShardConfig(cluster="tests", backend="process", data=str(folder), shards=n))
        self.folder = folder
        self._numbers = count(1)
        if n:
            self.start()

    def databases(self, n: int) -> list[Endpoint]:
        """Of n new, empty databases, each on another server while there are that many."""
        number = next(self._numbers)
        return [self._new(self.names[i % len(self.names)], f"t{number}_{i}") for i in range(n)]

    def _new(self, server: str, database: str) -> Endpoint:
        root = self.root(server)
        ask(root, f"CREATE DATABASE {database}", database=False)
        return root.in_database(database)

    def root(self, server: str) -> Endpoint:
        """How root logs in to it."""
        account = Account.read(self.folder / server)
        assert account is not None
        return account.root

    def pid(self, server: str) -> int:
        """Of one that runs."""
        pid = self.backend.server(server).pid
        assert pid is not None, f"{server} does not run"
        return pid

    def kill(self, server: str) -> None:
        """As the power going: nothing is flushed."""
        os.kill(self.pid(server), signal.SIGKILL)
        # Not of its first thread: the others end after it.
        wait_for(lambda: not self.backend.server(server).up, f"the end of {server}")

    @contextmanager
    def silent(self, server: str) -> Iterator[None]:
        """It answers nothing while the block runs, but is there."""
        pid = self.pid(server)
        send_signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):      # it may have been ended meanwhile
                os.kill(pid, signal.SIGCONT)

    def start(self, *servers: str) -> None:
        """Those that do not run, or all; return when a login works."""
        self.backend.up(servers or self.names, time.monotonic() + 60)

    def close(self) -> None:
        """At once: their data are of no use."""
        for name in self.names:
            if self.backend.server(name).up:
                self.kill(name)


@contextmanager
def running_mysqls(n: int = SERVERS) -> Iterator[Mysqls]:
    """Some while the block runs."""
    with scratch("hp") as folder, guarded(folder):
        mysqls = Mysqls(folder, n)
        try:
            yield mysqls
        finally:
            mysqls.close()


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Servers below `folder` outlive who starts them: when the tests are killed, this ends them."""
    guard = subprocess.Popen(
        ["sh", "-c", 'read _; for each in "$1"/*/server.pid; do kill -9 "$(cat "$each")"; done; rm -rf "$1"', "sh",
         str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        guard.kill()
        guard.wait()
        assert guard.stdin is not None
        guard.stdin.close()


def missing() -> str | None:
    """What must be installed for servers."""
    return next((f"{program} is not installed: apt-get install mariadb-server-core mariadb-client-core"
                 for program in NEEDED if not shutil.which(program, path=PATH)), None)


# What the session has. A fixture that several modules import is several fixtures to pytest.
GROUP = pytest.StashKey[Mysqls]()


@pytest.fixture(scope="session")
def mysqls(pytestconfig: pytest.Config) -> Mysqls:
    """A group for all tests of the session; whoever stops one starts it again."""
    if why := missing():
        pytest.skip(why)
    return _of_session(pytestconfig, GROUP, running_mysqls)


def _of_session(config: pytest.Config, key: pytest.StashKey[T], make: Callable[[], AbstractContextManager[T]]) -> T:
    if key not in config.stash:
        stack = ExitStack()
        config.stash[key] = stack.enter_context(make())
        config.add_cleanup(stack.close)
    return config.stash[key]

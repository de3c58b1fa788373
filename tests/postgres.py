"""A real PostgreSQL that tests start, stop and kill.

    with running_postgres() as server:
        server.new_url()
"""
from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from hotpath.core.net.linux import die_with_parent
from tests.scratch import scratch
from tests.waiting import free_port, is_alive, send_signal, wait_for

USER = "postgres"
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "32MB",
    "wal_level": "minimal",             # as no one replicates it, a CREATE DATABASE need not go through the log
    "max_wal_senders": "0",
    "max_wal_size": "128MB",            # it may lie in memory
    "dynamic_shared_memory_type": "mmap",   # in its own folder: who is killed leaves what it has in /dev/shm
    "jit": "off",
    "log_min_messages": "fatal",
}


def _folder_of_programs() -> Path | None:
    # Debian keeps them by version, off the path.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


def _as_whom() -> dict[str, Any]:
    """For `subprocess`: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    with suppress(KeyError):
        them = pwd.getpwnam(USER)
        return {"user": them.pw_uid, "group": them.pw_gid, "extra_groups": []}
    them = pwd.getpwnam("nobody")
    return {"user": them.pw_uid, "group": them.pw_gid, "extra_groups": []}


class PostgreSql:
    """A server on 127.0.0.1 that can be killed, stopped and started again on the same files and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        self._data = folder / "data"
        programs = _folder_of_programs()
        assert programs is not None
        self._programs = programs
        if who := _as_whom():
            os.chown(folder, who["user"], who["group"])
        # Nothing is synced only here; what the server writes later is: crash tests depend on it.
        subprocess.run([str(programs / "initdb"), "--no-sync", "-A", "trust", "-U", USER, "-E", "UTF8",
                        "--locale=C.UTF-8", "-D", str(self._data)],
                       check=True, capture_output=True, timeout=60, cwd=folder, **_as_whom())

    def start(self) -> None:
        """Return once it answers. It ends with the thread that calls: one that lives as long as it is needed."""
        settings = {**SETTINGS, "listen_addresses": "127.0.0.1", "port": str(self.port),
                    "unix_socket_directories": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            # Also when the tests themselves are killed. The kernel forgets that wish where the user changes:
            # subprocess calls preexec_fn behind that.
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data),
                 *(f"--{name}={value}" for name, value in settings.items())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder,
                preexec_fn=partial(die_with_parent, signal.SIGKILL), **_as_whom())
        wait_for(self._answers, "postgres to answer", within_s=60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text(errors="replace")
        with suppress(psycopg.Error):
            self.execute("SELECT 1")
            return True
        return False

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement as the superuser; its rows."""
        with psycopg.connect(host="127.0.0.1", port=self.port, user=USER, dbname="postgres", autocommit=True,
                             connect_timeout=5) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def new_url(self) -> str:
        """The URL of a new, empty database."""
        name = f"db{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{name}"

    def _processes(self) -> list[int]:
        """The server's own first, then one for each connection and duty."""
        assert self._process is not None
        pid = self._process.pid
        with suppress(FileNotFoundError, ProcessLookupError):
            return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        return [pid]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: STOP makes it silent, CONT wakes it."""
        for pid in self._processes():
            with suppress(ProcessLookupError):
                send_signal(pid, number)

    def kill(self) -> None:
        """As the power going: nothing is flushed."""
        if self._process is not None:
            send_signal(self._process.pid, signal.SIGSTOP)  # so that no child is born behind the list of them
            pids = self._processes()
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            # It does not start again while one of them has its memory.
            wait_for(lambda: not any(map(is_alive, pids)), "the processes of postgres to end")


@contextmanager
def running_postgres() -> Iterator[PostgreSql]:
    """A server while the block runs."""
    with scratch("pg") as folder:
        server = PostgreSql(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def missing() -> str | None:
    """What must be installed for PostgreSQL."""
    return None if _folder_of_programs() else "postgres is not installed: apt-get install postgresql"

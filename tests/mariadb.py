"""A real MariaDB that tests start, stop and kill.

    with running_mariadb() as server:
        server.new_url()
"""
from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import mysql.connector

from hotpath.core.net.linux import die_with_parent
from tests.scratch import scratch
from tests.waiting import free_port, send_signal, wait_for

NEEDED = ("mariadbd", "mariadb-install-db")
# Small files: a server of its own for some seconds.
INNODB = ("--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:10M:autoextend")
USER = "root"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"    # where Debian has mariadbd, off a plain user's path


def found(program: str) -> str | None:
    """Where it is."""
    return shutil.which(program, path=PATH)


def _as_whom() -> list[str]:
    # As root the server refuses to start unless it is told that this is meant.
    return [f"--user={pwd.getpwuid(os.geteuid()).pw_name}"] if os.geteuid() == 0 else []


class MariaDb:
    """A server on 127.0.0.1 that can be killed, stopped and started again on the same files and port."""

    def __init__(self, folder: Path, *more: str) -> None:
        """`more`: words for the server, which win over ours."""
        self.folder = folder
        self._more = more
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        self._shared: str | None = None
        data = folder / "data"
        # A tmpdir of its own also here: a server that starts removes the temporary tables of all that share its tmpdir.
        subprocess.run([str(found("mariadb-install-db")), "--no-defaults", *INNODB, f"--datadir={data}",
                        f"--tmpdir={folder}",
                        "--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve",
                        *_as_whom()],
                       check=True, capture_output=True, timeout=60, env={**os.environ, "PATH": PATH})
        self._data = data

    def start(self) -> None:
        """Return once it answers. It ends with the thread that calls: one that lives as long as it is needed."""
        log = (self.folder / "log").open("ab")
        # Its syncs are real ones, innodb_flush_log_at_trx_commit=1 being the default: crash tests depend on it.
        self._process = subprocess.Popen(
            [str(found("mariadbd")), "--no-defaults", *INNODB, *_as_whom(), f"--datadir={self._data}",
             f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}", f"--tmpdir={self.folder}",
             "--bind-address=127.0.0.1", f"--port={self.port}", "--innodb-buffer-pool-size=32M",
             "--performance-schema=OFF", "--skip-log-bin", "--max-connections=200", "--skip-name-resolve",
             "--character-set-server=utf8mb4", *self._more],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGKILL))     # also when the tests themselves are killed
        log.close()
        wait_for(self._answers, "mariadbd to answer", within_s=60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text(errors="replace")
        with suppress(mysql.connector.Error, OSError):
            self.execute("SELECT 1")
            return True
        return False

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement as root; its rows."""
        connection = mysql.connector.connect(host="127.0.0.1", port=self.port, user=USER, use_pure=True,
                                             autocommit=True, charset="utf8mb4", collation="utf8mb4_general_ci",
                                             connection_timeout=5)
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()] if cursor.with_rows else []
        finally:
            connection.close()

    def new_url(self) -> str:
        """The URL of a new, empty database."""
        name = f"db{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"mysql+mysqlconnector://{USER}@127.0.0.1:{self.port}/{name}"

    def emptied_url(self) -> str:
        """The URL of a database that has all tables and no rows: to make them anew takes more than a second."""
        if self._shared is None:
            self._shared = self.new_url()
        else:
            name = self._shared.rpartition("/")[2]
            for (table,) in self.execute("SELECT table_name FROM information_schema.tables "
                                         f"WHERE table_schema = '{name}'"):
                self.execute(f"DELETE FROM {name}.{table}")
        return self._shared

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: STOP makes it silent, CONT wakes it."""
        assert self._process is not None
        send_signal(self._process.pid, number)

    def kill(self) -> None:
        """As the power going: nothing is flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_mariadb() -> Iterator[MariaDb]:
    """A server while the block runs."""
    with scratch("maria") as folder:
        server = MariaDb(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def missing() -> str | None:
    """What must be installed for MariaDB."""
    return next((f"{program} is not installed: apt-get install mariadb-server-core mariadb-client-core"
                 for program in NEEDED if not found(program)), None)

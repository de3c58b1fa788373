"""Shards as local servers: mariadbd or mysqld, detached, unprivileged, reached by socket alone."""
from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from hotpath.shard.config import ShardConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.schema import quoted

from . import Server
from .account import ROOT, ROUTER, Account, pattern
from .errors import CannotStart
from .folder import MARKER, Folder
from .life import holder, is_held, taken
from .login import TIMEOUT_S, NoLogin, ask
from .program import PATH, Program, found
from .sandbox import Sandbox
from .waiting import PATIENCE_S, POLL_S, after, wait_until

log = logging.getLogger(__name__)

DATA = "data"               # the server's own directory, in that of the shard
LIFE = "server.lock"        # held by the server
PID = "server.pid"
LOG = "server.log"
SOCKET = "my.sock"
MAX_SOCKET = 107            # bytes of a path in sockaddr_un, its NUL aside
MAX_LOG = 1024 * 1024       # then the log starts anew, the last one kept beside
DETACHED = ("setsid", "--fork")


class Processes:
    """A server for each shard, in DATA/NAME; the map in a database of its own on the first."""

    def __init__(self, config: ShardConfig) -> None:
        self._config = config
        self._folder = Folder(Path(config.data).absolute(), config.cluster, "process")
        self._database = config.cluster
        self._meta_database = f"{config.cluster}_meta"
        self._meta = Endpoint.parse(config.meta) if config.meta is not None else None
        self._known: tuple[Program, Sandbox] | None = None

    def exclusive(self, deadline_s: float) -> AbstractContextManager[object]:
        """See Backend."""
        return self._folder.exclusive(deadline_s)

    def begun(self) -> bool:
        """See Backend."""
        return self._folder.is_ours

    def up(self, names: tuple[str, ...], deadline_s: float) -> dict[str, Endpoint]:
        """See Backend. What lives but does not answer is left alone, and said."""
        program, sandbox = self._program()
        with self.exclusive(deadline_s):
            home = self._home(names[0] if names else None)
            names = tuple(dict.fromkeys((*names, *((home,) if home else ()))))
            for name in names:
                self._check_socket(name)
            self._folder.claim(names, home)
            self._lay_out([name for name in names if not (self._folder.room(name) / DATA).exists()], program, sandbox)
            started = {name for name in names if self._start(name, program, sandbox)}
            for name in names:
                if not self._ready(name, deadline_s, ours=name in started):
                    # Somebody was ending it.
                    self._start(name, program, sandbox)
                    self._ready(name, deadline_s, ours=True)
            return {name: self._endpoint(name) for name in names}

    def create(self, name: str, dsn: str | None = None) -> Endpoint:
        """See Backend."""
        return self.up((name,), after(PATIENCE_S))[name]

    def stop(self, name: str) -> None:
        """See Backend. Raises CannotStart if it does not end."""
        if not is_held(self._folder.room(name) / LIFE):
            return
        with self.exclusive(after(PATIENCE_S)):
            # One that was stopped (SIGSTOP) must run to hear of its end.
            self._end(name, signal.SIGTERM, signal.SIGCONT)

    def _end(self, name: str, *signals: signal.Signals) -> None:
        life = self._folder.room(name) / LIFE
        pid = holder(life, self._pid(name))
        for number in signals:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        if not wait_until(lambda: not is_held(life), after(PATIENCE_S)):
            raise CannotStart(f"{name}: the server (pid {pid}) does not end; kill it, its data survive; its log is "
                              f"{self._folder.room(name) / LOG}")
        log.info("stopped shard=%s pid=%s", name, pid)

    def purge(self, name: str, dsn: str | None = None) -> None:
        """See Backend."""
        if not os.path.lexists(self._folder.room(name)):
            return
        with self.exclusive(after(PATIENCE_S)):
            self._folder.check_room(name)
            if is_held(self._folder.room(name) / LIFE):
                self._end(name, signal.SIGKILL)     # nobody needs the data any more
            _remove(self._folder.room(name))

    def forget(self) -> None:
        """See Backend."""
        if not self._folder.is_ours:
            return
        with self.exclusive(after(PATIENCE_S)):
            for template in self._folder.path.glob(".template-*"):
                _remove(template)
            self._folder.remove()

    def server(self, name: str) -> Server:
        """See Backend."""
        life = self._folder.room(name) / LIFE
        try:
            up = is_held(life)
        except PermissionError:     # another user's
            return Server(str(self._folder.room(name)), None, False)
        return Server(str(self._folder.room(name)), holder(life, self._pid(name)) if up else None, up)

    def meta(self, first: str) -> Endpoint:
        """See Backend; each server makes the database when it starts."""
        if self._meta is not None:
            return self._meta
        return self._endpoint(self._home(first) or first).in_database(self._meta_database)

    def all(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(sorted(path.parent.name for path in self._folder.path.glob(f"*/{MARKER}"))) if self.begun() else ()

    def exists(self, name: str) -> bool:
        """See Backend."""
        return (self._folder.room(name) / DATA).exists()

    # ---- where things are

    def _home(self, first: str | None) -> str | None:
        return self._folder.home(first, elsewhere=self._meta is not None)

    def _check_socket(self, name: str) -> None:
        socket = self._folder.room(name) / DATA / SOCKET
        if (n := len(os.fsencode(socket))) > MAX_SOCKET:
            raise CannotStart(f"data: the socket of {name} would be {socket}, {n} bytes; the kernel allows "
                              f"{MAX_SOCKET}: name a shorter directory")

    def _account(self, name: str) -> Account:
        """Where the server is now: whoever moves the directory moves the socket."""
        home = self._folder.room(name)
        account = Account.read(home)
        if account is None:
            raise CannotStart(f"{name}: {home}/client.cnf, which has the passwords, is missing; stop the server, and "
                              "`up` makes a new one")
        return replace(account, socket=str(home / DATA / SOCKET))

    def _endpoint(self, name: str) -> Endpoint:
        return self._account(name).endpoint

    def _pid(self, name: str) -> int | None:
        try:
            return int((self._folder.room(name) / PID).read_text())
        except (OSError, ValueError):
            return None

    def _program(self) -> tuple[Program, Sandbox]:
        if self._known is None:
            self._known = found(self._config.process.binary), Sandbox(self._config.process.user)
        return self._known

    # ---- files

    def _lay_out(self, names: list[str], program: Program, sandbox: Sandbox) -> None:
        """A data directory for each: copies of one, which is made once."""
        for name in names:
            self._folder.check_room(name)
            self._folder.check_data_not_lost(name, str(self._folder.room(name) / DATA))
        if not names:
            return
        template = self._template(program, sandbox)
        for name in names:
            home = self._folder.make_room(name)
            _remove(home / f"{DATA}.new")
            _run("cp", "-a", "--reflink=auto", str(template), str(home / f"{DATA}.new"))
            if not (home / PID).is_symlink():
                (home / PID).symlink_to(Path(DATA, PID))
            if Account.read(home) is None:
                replace(Account.fresh(self._database), socket=str(home / DATA / SOCKET)).write(home)
        # What a server is to build on must be on disk before it starts: its own syncs cover only what it writes.
        _run("sync", "-f", str(self._folder.path))
        for name in names:
            (self._folder.room(name) / f"{DATA}.new").replace(self._folder.room(name) / DATA)
            self._folder.note_data(name)

    def _template(self, program: Program, sandbox: Sandbox) -> Path:
        path = self._folder.path / f".template-{program.template}"
        if not path.exists():
            fresh = path.with_suffix(".new")
            _remove(fresh)
            fresh.mkdir()
            sandbox.own(fresh)
            program.make_files(fresh, sandbox)
            fresh.replace(path)
        return path

    # ---- life

    def _start(self, name: str, program: Program, sandbox: Sandbox) -> bool:
        """Start it; False: it runs."""
        home = self._folder.room(name)
        data = home / DATA
        fd = taken(home / LIFE)
        if fd is None:
            return False
        try:
            if Account.read(home) is None:
                # Each start sets the passwords: lost ones are no harm.
                Account.fresh(self._database).write(home)
            account = self._account(name)
            if account != Account.read(home):
                account.write(home)
            self._write_accounts(data / "init.sql", account, sandbox)
            (data / PID).unlink(missing_ok=True)
            if (home / LOG).exists() and (home / LOG).stat().st_size > MAX_LOG:
                (home / LOG).replace(home / f"{LOG}.1")
            words = sandbox.command(data, lambda seen: program.serve(seen, self._config.process.args))
            with open(home / LOG, "ab") as said:
                # A child of nobody: it outlives us, whatever happens to our terminal and our process group.
                subprocess.run([*DETACHED, *words], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/",
                               pass_fds=(fd,), env={"PATH": PATH, "LC_ALL": "C"}, check=True, timeout=PATIENCE_S)
            return True
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotStart(f"{name}: {program.path} could not be started: {error}") from None
        finally:
            os.close(fd)

    def _write_accounts(self, path: Path, account: Account, sandbox: Sandbox) -> None:
        # Run at each start: whatever a crash left half done is done then. A line is a statement.
        databases = [self._database]
        if self._home(None) == path.parents[1].name:
            databases.append(self._meta_database)
        lines = [
            f"ALTER USER '{ROOT}'@'localhost' IDENTIFIED BY '{account.root_password}';",
            f"CREATE USER IF NOT EXISTS '{ROUTER}'@'localhost' IDENTIFIED BY '{account.password}';",
            f"ALTER USER '{ROUTER}'@'localhost' IDENTIFIED BY '{account.password}';",
            *(f"CREATE DATABASE IF NOT EXISTS {quoted(database)};" for database in databases),
            *(f"GRANT ALL ON {pattern(database)}.* TO '{ROUTER}'@'localhost';" for database in databases),
        ]
        path.unlink(missing_ok=True)
        # The directory is the server's: it could have put a link there.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            os.fchown(file.fileno(), sandbox.uid, sandbox.gid)
            file.write("\n".join(lines) + "\n")

    def _ready(self, name: str, deadline_s: float, *, ours: bool) -> bool:
        """Wait until a login works; False: it ended, and was not started by us (`ours`)."""
        home = self._folder.room(name)
        endpoint = self._endpoint(name)
        while True:
            lived = is_held(home / LIFE)
            try:
                ask(endpoint, "SELECT 1", timeout_s=min(TIMEOUT_S, max(1.0, deadline_s - time.monotonic())))
                return True
            except NoLogin as error:
                cause = str(error)
            if not lived and not ours:
                return False
            if not lived:
                raise CannotStart(f"{name}: the server ended while it started: {_last_words(home / LOG)} "
                                  f"({home / LOG})")
            if time.monotonic() > deadline_s:
                pid = holder(home / LIFE, self._pid(name))
                raise CannotStart(f"{name}: the server (pid {pid}) does not answer: {cause} ({home / LOG}); give it "
                                  "more time with --timeout, or kill it and start again, its data survive that")
            time.sleep(POLL_S)


def _last_words(path: Path) -> str:
    try:
        lines = path.read_bytes()[-8192:].decode(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return " / ".join([line for line in lines if "[ERROR]" in line][-3:] or lines[-3:])


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def _run(*words: str) -> None:
    try:
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=PATIENCE_S)
    except subprocess.CalledProcessError as error:
        raise CannotStart(f"{' '.join(words)}: {error.stderr.decode(errors='replace').strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotStart(f"{' '.join(words)}: {error}") from None

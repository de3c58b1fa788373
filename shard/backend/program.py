"""The server program of this machine: where it is, whose it is, and how it wants to be called."""
from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import CannotStart
from .sandbox import Sandbox

# Where servers live, off a plain user's path.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/local/mysql/bin"
BINARIES = ("mariadbd", "mysqld")
TIMEOUT_S = 60.0

# What decides how the files look: the same for the template and the servers.
FILES = ("--innodb-data-file-path=ibdata1:10M:autoextend",)
REDO = {"mariadb": "--innodb-log-file-size=48M", "mysql": "--innodb-redo-log-capacity=100M"}

# Every acknowledged commit is on disk. A packet takes the longest row, each byte of it written as two, and more.
SERVE = ("--innodb-flush-log-at-trx-commit=1", "--innodb-doublewrite=ON", "--skip-log-bin", "--max-connections=2000",
         "--max-allowed-packet=128M", "--character-set-server=utf8mb4", "--performance-schema=OFF",
         "--local-infile=OFF")
ONLY = {"mariadb": (), "mysql": ("--mysqlx=OFF",)}


@dataclass(frozen=True, slots=True)
class Program:
    """mariadbd, or MySQL's mysqld."""

    path: str
    flavour: Literal["mariadb", "mysql"]
    version: str

    @property
    def template(self) -> str:
        """A name for data directories as this program makes them."""
        return hashlib.sha256(repr((self, FILES, REDO)).encode()).hexdigest()[:12]

    def serve(self, seen: Path, args: tuple[str, ...]) -> list[str]:
        """The command of a server on the data directory that it sees at `seen`; socket and pid are in there too."""
        return [self.path, "--no-defaults", *FILES, REDO[self.flavour], *SERVE, *ONLY[self.flavour],
                f"--datadir={seen}", f"--socket={seen / 'my.sock'}", f"--pid-file={seen / 'server.pid'}",
                f"--tmpdir={seen}", f"--init-file={seen / 'init.sql'}", "--skip-networking", *args]

    def make_files(self, folder: Path, sandbox: Sandbox) -> None:
        """Fill the empty `folder` with a data directory whose only account is a root without password."""
        if self.flavour == "mysql":
            _run(sandbox, folder, lambda seen: [
                self.path, "--no-defaults", *FILES, REDO["mysql"], f"--datadir={seen}", "--initialize-insecure"])
            # It names the server for replication: no two may share it.
            (folder / "auto.cnf").unlink(missing_ok=True)
            return
        install = shutil.which("mariadb-install-db", path=PATH) or shutil.which("mysql_install_db", path=PATH)
        if install is None:
            raise CannotStart("mariadb-install-db is not installed, and makes what mariadbd starts on: "
                              "apt-get install mariadb-server-core mariadb-client-core")
        # A tmpdir of its own: a server that starts removes the temporary tables of all that share its tmpdir.
        _run(sandbox, folder, lambda seen: [
            install, "--no-defaults", *FILES, REDO["mariadb"], f"--datadir={seen}", f"--tmpdir={seen}",
            "--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve"])
        _run(sandbox, folder, lambda seen: [
            self.path, "--no-defaults", *FILES, REDO["mariadb"], f"--datadir={seen}", f"--tmpdir={seen}", "--bootstrap",
            "--skip-log-bin"],
            b"DELETE FROM mysql.global_priv WHERE Host <> 'localhost' OR User = '';\n")


def found(binary: str) -> Program:
    """The program that `process.binary` means. Raises CannotStart."""
    names = BINARIES if binary == "auto" else (binary,)
    path = next(filter(None, (shutil.which(name, path=PATH) for name in names)), None)
    if path is None:
        what = "neither mariadbd nor mysqld is" if binary == "auto" else f"{binary} is not"
        raise CannotStart(f"process.binary: {what} installed here; as root: apt-get install mariadb-server-core "
                          "mariadb-client-core, or name one, or take another backend")
    try:
        said = subprocess.run([path, "--no-defaults", "--version"], capture_output=True, text=True, timeout=TIMEOUT_S,
                              stdin=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotStart(f"process.binary: {path} does not tell its version: {error}; allowed: mariadbd or mysqld"
                          ) from None
    version = re.search(r"\bVer\s+(\S+)", said)
    if version is None:
        raise CannotStart(f"process.binary: {path} is neither mariadbd nor mysqld")
    return Program(path, "mariadb" if "mariadb" in said.lower() else "mysql", version[1])


def _run(sandbox: Sandbox, folder: Path, command: object, stdin: bytes = b"") -> None:
    assert callable(command)
    words = sandbox.command(folder, command)
    try:
        subprocess.run(words, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=True, cwd="/",
                       env={"PATH": PATH, "LC_ALL": "C"})
    except subprocess.CalledProcessError as error:
        said = (error.stderr + error.stdout).decode(errors="replace").strip().splitlines()
        raise CannotStart(f"{' '.join(words[-9:])} failed with {error.returncode}: {' / '.join(said[-5:])}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotStart(f"the data directory of a server could not be made: {error}") from None

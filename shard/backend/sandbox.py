"""Whom a server runs as, and how it reaches its directory: never as root, whoever starts it."""
from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import CannotStart

AUTO = ("mysql", "nobody")      # the first that exists, if we are root
# Where a directory is mounted for a server that could not enter those above it; Debian has it, empty.
STAND_IN = Path("/mnt")
TIMEOUT_S = 10.0

Command = Callable[[Path], Sequence[str]]


class Sandbox:
    """Runs commands as the servers' user."""

    def __init__(self, user: str) -> None:
        """`user` as `process.user` has it. Raises CannotStart."""
        self.uid, self.gid = os.geteuid(), os.getegid()
        if user == "auto" and self.uid:
            return
        entry = next(filter(None, map(_entry, AUTO if user == "auto" else (user,))), None)
        if entry is None:
            raise CannotStart(f"process.user: there is no user {' or '.join(AUTO) if user == 'auto' else user}; "
                              "allowed: one that exists")
        if self.uid not in (0, entry.pw_uid):
            raise CannotStart(f"process.user: only root can start servers as {entry.pw_name}; start as root or as "
                              f"{entry.pw_name}, or leave it at auto")
        if entry.pw_uid == 0:
            raise CannotStart("process.user: a server does not run as root; allowed: another user")
        self.uid, self.gid = entry.pw_uid, entry.pw_gid

    @property
    def _drops(self) -> bool:
        return os.geteuid() != self.uid

    def own(self, folder: Path) -> None:
        """Give the directory to the servers' user, and to nobody else."""
        folder.chmod(0o700)
        if self._drops:
            os.chown(folder, self.uid, self.gid)

    def command(self, folder: Path, command: Command) -> list[str]:
        """The words that run `command(seen)` as that user, `seen` being where it sees `folder`. Raises CannotStart."""
        if not self._drops:
            return list(command(folder))
        for way in (self._directly, self._mounted):
            seen, words = way(folder)
            if _works([*words, "test", "-w", str(seen)]):
                return [*words, *command(seen)]
        blocked = next((above for above in reversed(folder.parents) if not _works([*self._directly(folder)[1], "test",
                                                                                  "-x", str(above)])), folder)
        raise CannotStart(
            f"{blocked} cannot be entered by {pwd.getpwuid(self.uid).pw_name}, whom the servers run as (process.user); "
            f"chmod o+x {blocked}, or name another directory with `data`, or another user")

    def _directly(self, folder: Path) -> tuple[Path, list[str]]:
        return folder, ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--no-new-privs"]

    def _mounted(self, folder: Path) -> tuple[Path, list[str]]:
        # Only this server sees it there, and only while it lives. A home directory is closed to other users for good
        # reasons: we do not open it.
        return STAND_IN, ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh",
                          str(folder), str(STAND_IN), *self._directly(folder)[1]]


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _works(words: list[str]) -> bool:
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, cwd="/",
                              check=False).returncode == 0
    except OSError as error:
        raise CannotStart(f"{words[0]} cannot be run: {error.strerror}; apt-get install util-linux") from None

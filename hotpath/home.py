"""Where a house keeps what it must not lose: a directory that is ours alone while we run."""
from __future__ import annotations

import fcntl
import logging
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hotpath.core.durable import write_private
from hotpath.core.yamltext import Plain, unparse

log = logging.getLogger(__name__)

# For what lies in a home that only its owner may enter, as root's.
OUTSIDE = Path("/var/lib/hotpath")
ID = "id"
CONFIG = "config"


class CannotStart(Exception):
    """The house cannot be started; the message is the line for the person at the keyboard."""


class Home:
    """A data directory: a folder for each part, and the configurations that they were started with."""

    def __init__(self, folder: Path, id: str) -> None:
        self.folder = folder        # absolute
        self.id = id                # of its databases on a server that others use too

    def passable(self, name: str) -> Path:
        """The folder of a part that, as root, runs programs as somebody else: he must get there.

        Where he may not, it is a link to a folder outside; what the link says, it says for as long as the data live.
        """
        path = self.folder / name
        is_open = all(place.stat().st_mode & stat.S_IXOTH for place in (self.folder, *self.folder.parents))
        if os.geteuid() == 0 and not is_open and not os.path.lexists(path):
            path.symlink_to(OUTSIDE / f"{self.id}-{name}")
        real = path.resolve()
        if path.is_symlink():
            real.mkdir(parents=True, exist_ok=True)
            log.info("%s leads to %s: what runs there is not root, and may not pass where the data are", path, real)
        return real

    def write_config(self, name: str, config: Mapping[str, Plain]) -> Path:
        """The file with this configuration, written anew. There may be a password in it."""
        path = self.folder / CONFIG / f"{name}.yaml"
        fresh = path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write("# Written by `hotpath up` at each start. For commands beside it: hotpath-NAME … -c THIS\n")
            file.write(unparse(config))
        fresh.replace(path)
        return path


@contextmanager
def taken(folder: Path) -> Iterator[Home]:
    """The directory, made if need be, and nobody else's while the block runs. Raises CannotStart."""
    folder = folder.absolute()
    try:
        # Not for us alone: the IDE's projects are below it, and as root it runs their programs as somebody else.
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CannotStart(f"--data: {folder} cannot be used: {error.strerror}; allowed: a directory, or one to be "
                          "made") from None
    try:
        try:
            # The kernel takes it back when we die, however we die.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"--data: {folder} is in use by another hotpath up; stop that one, or name another "
                              "directory") from None
        try:
            (folder / CONFIG).mkdir(mode=0o700, exist_ok=True)
            home = Home(folder, _id(folder / ID))
        except OSError as error:
            raise CannotStart(f"--data: {folder} cannot be written: {error.strerror}") from None
        yield home
    finally:
        os.close(fd)


def _id(path: Path) -> str:
    """What is written there; made once."""
    if not path.exists() or not path.read_text().strip():       # empty: the power went in the middle of it
        write_private(path, f"{secrets.token_hex(4)}\n".encode())
    return path.read_text().strip()

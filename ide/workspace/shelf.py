"""DATA/projects: a folder for each project, made whole or not at all. The folder is the index."""
from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hotpath.core.durable import sync_folder
from hotpath.ide.templates import Template

from . import record
from .record import Record

log = logging.getLogger(__name__)

PARTS = ("files", "tmp", "history")
DRAFT = ".new-"                 # is being made, or was when we were killed
GOING = ".old-"                 # is being removed
Owner = tuple[int, int] | None


class Shelf:
    """All methods block; each leaves the disk in a state that the next start understands."""

    def __init__(self, data: Path, owner: Owner) -> None:
        """`owner`: uid and gid of what projects hold, where they are not ours."""
        self.folder = data / "projects"
        self._owner = owner

    def open(self) -> list[Record]:
        """The projects that are here; what was half made or half removed is removed. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Programs of a project must come through, whatever our umask; ids cannot be guessed, and listed they are not.
        self.folder.chmod(0o711)
        records = []
        for folder in sorted(self.folder.iterdir()):
            if folder.name.startswith((DRAFT, GOING)):
                remove(folder)
            elif record.is_id(folder.name):
                try:
                    records.append(record.read(folder))
                    for part in PARTS:
                        self._part(folder / part)
                except (OSError, ValueError) as error:
                    log.error("a project is left alone id=%s: %s", folder.name, error)
        return records

    def path(self, id: str) -> Path:
        """The project's folder."""
        return self.folder / id

    def make(self, one: Record, fill: Callable[[Path], None]) -> None:
        """Make the project's folder, with what `fill(files)` puts there. Raises OSError, and whatever `fill` raises."""
        draft = self.folder / f"{DRAFT}{one.id}"
        draft.mkdir()
        try:
            draft.chmod(0o711)
            for part in PARTS:
                self._part(draft / part)
            fill(draft / "files")
            record.write(draft, one)
            draft.rename(self.path(one.id))
        except BaseException:
            remove(draft)
            raise
        sync_folder(self.folder)

    def write(self, one: Record) -> None:
        """Keep the record as it is now. Raises OSError."""
        record.write(self.path(one.id), one)

    def purge(self, id: str) -> None:
        """Nothing of it is left; it is no project any more as soon as this began."""
        going = self.folder / f"{GOING}{id}"
        with suppress(FileNotFoundError):
            self.path(id).rename(going)
            sync_folder(self.folder)
        remove(going)

    def starter(self, template: Template) -> Callable[[Path], None]:
        """What puts the template's files into a new project."""
        def fill(files: Path) -> None:
            for name, text in template.files.items():
                path = files / name
                for folder in reversed([above for above in path.parents if above.is_relative_to(files)][:-1]):
                    with suppress(FileExistsError):
                        folder.mkdir()
                        self._give(folder)
                with open(path, "wb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                self._give(path)
            sync_folder(files)

        return fill

    def _part(self, folder: Path) -> None:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if folder.name == "files":
                folder.chmod(0o755)
                self._give(folder)

    def _give(self, path: Path) -> None:
        if self._owner is not None:
            os.chown(path, *self._owner, follow_symlinks=False)


def remove(folder: Path) -> None:
    """The folder and all below it, whatever its modes are; never through a link."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        # A program of the project has forbidden itself its own folders.
        with suppress(OSError):
            os.chmod(folder, stat.S_IRWXU)
        for above, names, _ in os.walk(folder):
            for name in names:
                path = os.path.join(above, name)
                with suppress(OSError):
                    if not os.path.islink(path):
                        os.chmod(path, stat.S_IRWXU)
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.lexists(folder):
            log.error("not removed: %s; remove it by hand", folder)


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """One server per data directory: two would both take up its projects. Raises BlockingIOError."""
    if not data.exists():
        data.mkdir(parents=True)
        data.chmod(0o711)
    fd = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)

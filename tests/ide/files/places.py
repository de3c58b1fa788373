"""A project's folder with nothing in it, and its files."""
from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hotpath.ide.config import HistoryConfig, IdeConfig, IdeLimits, SandboxConfig
from hotpath.ide.errors import NoRoom
from hotpath.ide.files import Files, OpenFile

SMALL = IdeLimits(file=4096, unzip=65536, unzip_files=20, tree=50)


class Room:
    """A budget that says what it was asked for."""

    def __init__(self, n_bytes: int = 2**60, files: int = 2**60) -> None:
        self.left = [n_bytes, files]
        self.used = [0, 0]

    def __call__(self, n_bytes: int, files: int) -> None:
        wanted = self.used[0] + n_bytes, self.used[1] + files
        if (n_bytes > 0 and wanted[0] > self.left[0]) or (files > 0 and wanted[1] > self.left[1]):
            raise NoRoom("the project is full")
        self.used = [*wanted]


@dataclass
class Place:
    """One project."""

    folder: Path
    files: Files
    room: Room

    @property
    def root(self) -> Path:
        """What its programs see."""
        return self.folder / "files"

    @property
    def leftovers(self) -> list[str]:
        """What lies in tmp/."""
        return os.listdir(self.folder / "tmp")

    def again(self, **changes: object) -> Place:
        """The same folder as the next start finds it."""
        self.files.close()
        return place(self.folder, **changes)


def place(folder: Path, *, limits: IdeLimits | None = None, history: HistoryConfig | None = None, disk: int = 2**30,
          ignore: tuple[str, ...] = (".venv",), owner: tuple[int, int] | None = None,
          room: Callable[[int, int], None] | None = None) -> Place:
    folder.mkdir(exist_ok=True, parents=True)
    config = msgspec.structs.replace(IdeConfig(), limits=limits or IdeLimits(), history=history or HistoryConfig(),
                                     sandbox=SandboxConfig(disk=disk))
    room = room or Room()
    return Place(folder, Files(folder, config, ignore, owner, room), room)


def content(file: OpenFile) -> bytes:
    """What the web part would send."""
    try:
        pieces, at = [], 0
        while piece := os.pread(file.fd, file.size - at, at):
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)
    finally:
        file.close()


def made(place: Place, path: bytes, body: bytes) -> str:
    """A new file; its ETag."""
    return place.files.put(path, body, match=None, create=True, parents=True)[1]


def versions(place: Place, path: bytes) -> list[bytes]:
    """The earlier contents, newest first."""
    return [content(place.files.history_open(path, str(one["etag"]))) for one in place.files.history(path)]


def tree(root: Path) -> dict[str, bytes | str | None]:
    """All that is below: contents of files, targets of links, None of folders."""
    found: dict[str, bytes | str | None] = {}
    for above, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(above, name)
            key = str(path.relative_to(root))
            found[key] = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found

"""What is kept of a project beside its files: DATA/projects/ID/project.json."""
from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path

import msgspec

from hotpath.core.durable import write_private
from hotpath.ide.files.times import moment

NAME = "project.json"
ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
ID_LENGTH = 12


class Record(msgspec.Struct):
    """One project. Times are RFC 3339, in UTC."""

    id: str
    name: str
    template: str
    created: str
    opened: str
    run: str | None = None          # None: the template's
    keep_running: bool = False
    is_set_up: bool = False         # the template's set-up has ended well
    deleted: str | None = None      # since when it is in the trash

_WRITING = threading.Lock()


def new_id() -> str:
    """60 random bits."""
    return "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))


def is_id(text: str) -> bool:
    """Whether it can be a project's id."""
    return len(text) == ID_LENGTH and all(letter in ID_LETTERS for letter in text)


def now() -> str:
    """This moment, to the millisecond: projects are sorted by it."""
    return moment(time.time_ns())


def read(folder: Path) -> Record:
    """Raises OSError, ValueError: no record of ours."""
    record = msgspec.json.decode((folder / NAME).read_bytes(), type=Record)
    if record.id != folder.name:
        raise ValueError(f"it is the record of {record.id}")
    return record


def write(folder: Path, record: Record) -> None:
    """On disk when this returns; whoever is killed in it leaves the old one or the new one. Raises OSError."""
    with _WRITING:          # two at once would write into one draft; and the last must be what is true last
        write_private(folder / NAME, msgspec.json.format(msgspec.json.encode(record)) + b"\n")

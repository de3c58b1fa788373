"""`hotpath-ide backup` and `restore`: on the data directory, whether a server runs on it or not."""
from __future__ import annotations

import os
from pathlib import Path

from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import NotFound, TooMany
from hotpath.ide.templates import Template
from hotpath.ide.workspace import naming, record
from hotpath.ide.workspace.record import Record
from hotpath.ide.workspace.shelf import Shelf

from .backups import Backups


def backup(config: IdeConfig, id: str) -> int:
    """Copy a project to the store and print the number of the backup; the exit status. Raises Refusal.

    It only reads, so a server may run meanwhile.
    """
    folder = config.folder / "projects" / id
    try:
        if not record.is_id(id):
            raise FileNotFoundError(id)
        kept = record.read(folder)
    except (OSError, ValueError) as error:
        raise NotFound(f"there is no project {id} in {config.folder}") from error
    template = config.all_templates.get(kept.template) or Template(kept.template, kept.template, "")
    facts = {"template": kept.template, "run": template.run if kept.run is None else kept.run}
    made = Backups(config).run(id, facts, folder / "files", template.ignore)
    print(made["seq"])
    return 0


def restore(config: IdeConfig, id: str, seq: int | None, name: str | None) -> int:
    """Make a new project of a backup and print its id; the exit status. Raises Refusal.

    A server that runs takes it up at its next start.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    config.folder.chmod(0o711)
    owner = config.sandbox.ids if os.geteuid() == 0 else None
    shelf = Shelf(config.folder, owner)
    others = projects(shelf.folder)
    if len(others) >= config.limits.projects:
        raise TooMany(f"there are {len(others)} projects; delete one first (limits.projects)")
    moment = record.now()
    kept = Record(record.new_id(), free_name(name, id, others), "", moment, moment)

    def fill(files: Path) -> None:
        facts = Backups(config).restore(id, seq, files, owner)
        kept.template, kept.run = facts["template"], facts["run"]

    shelf.folder.mkdir(exist_ok=True)
    shelf.folder.chmod(0o711)
    shelf.make(kept, fill)
    print(kept.id)
    return 0


def projects(folder: Path) -> list[Record]:
    """What is kept of the projects there, those in the trash left out."""
    found = []
    for one in sorted(folder.iterdir()) if folder.is_dir() else ():
        if record.is_id(one.name):
            try:
                found.append(record.read(one))
            except (OSError, ValueError):
                continue
    return [kept for kept in found if kept.deleted is None]


def free_name(name: str | None, id: str, others: list[Record]) -> str:
    """The name, or one that tells where it comes from. Raises Invalid, NameTaken."""
    taken = {kept.name.casefold() for kept in others}
    if name is not None:
        return naming.checked(name, taken)
    return naming.of_restored(next((kept.name for kept in others if kept.id == id), id), taken)

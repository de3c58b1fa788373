"""All projects: which there are, how one is made, and how it goes."""
from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Lock, Task, offload, spawn
from hotpath.ide.backup import Backups
from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import Invalid, NotFound, Refusal, TooMany
from hotpath.ide.preview import Previews
from hotpath.ide.sandbox import Running, Sandbox
from hotpath.ide.templates import Template
from hotpath.ide.watching import Watcher

from . import naming, record, upkeep
from .project import Project
from .record import Record
from .secret import secret
from .shelf import Shelf, alone

log = logging.getLogger(__name__)

Facts = tuple[str, str | None]         # a template's name, and what Run runs; None: what the template says


class Workspace:
    """Used in the loop's thread; `open` comes first. Methods that say so wait, and so need a task."""

    def __init__(self, config: IdeConfig, sandbox: Sandbox) -> None:
        """Nothing is read yet."""
        self.config = config
        self.sandbox = sandbox
        # Whom files belong to, where that is not us: only root can give them away.
        self.owner = None if os.geteuid() else config.sandbox.ids
        self.shelf = Shelf(config.folder, self.owner)
        self.watcher = Watcher(config.limits.watches)
        self.backups = Backups(config)
        self.starts: list[float] = []           # seconds that sandboxes took, for metrics; the last thousand
        self._templates = config.all_templates
        self._projects: dict[str, Project] = {}
        self._trash: dict[str, Record] = {}
        self._making = Lock()                   # names are taken one by one
        self._loop: Loop | None = None
        self._upkeep: Task[object] | None = None
        self._kept = ExitStack()                # until close

    def attach(self, loop: Loop) -> None:
        """Before `open`: the loop that everything runs on."""
        self._loop = loop

    def open(self) -> None:
        """In a task: take up what is there. Raises OSError, BlockingIOError: another server has this data directory."""
        assert self._loop is not None
        self._kept.enter_context(alone(self.config.folder))
        self.previews = Previews(self.config, offload(secret, self.config.folder), self._running)
        self.watcher.open()
        self._kept.callback(self.watcher.close)
        for kept in offload(self.shelf.open):
            if kept.deleted is not None:
                self._trash[kept.id] = kept
            else:
                self._take(kept)
        for project in self._projects.values():
            offload(project.files.recover)
        found = self.sandbox.adopt([project.spec for project in self._projects.values()])
        for id, running in found.items():
            self._projects[id].taken_up(running)
        self.previews.open(self._loop)
        self._kept.callback(self.previews.close)
        self._upkeep = spawn(upkeep.keep, self, name="ide upkeep")
        log.info("open projects=%d running=%d trash=%d sandbox=%s", len(self._projects), len(found), len(self._trash),
                 self.sandbox.kind)

    def close(self) -> None:
        """The server ends; containers go on, all else ends with us."""
        self.sandbox.close()
        self._kept.close()

    # ------------------------------------------------------------------------------------------------ which there are

    def projects(self) -> list[Project]:
        """Last opened first."""
        return sorted(self._projects.values(), key=lambda project: project.kept.opened, reverse=True)

    def get(self, id: str) -> Project:
        """Raises NotFound: there is none, or it is in the trash."""
        project = self._projects.get(id)
        if project is None:
            raise NotFound("there is no such project")
        return project

    def template(self, name: str) -> Template:
        """Of that name; one that is not configured any more still names the project's kind."""
        return self._templates.get(name) or Template(name, name, "")

    def templates(self) -> list[dict[str, Any]]:
        """In a task: all, with what is missing for each."""
        said = []
        for template in self._templates.values():
            missing = self.sandbox.missing(template)
            said.append({"name": template.name, "title": template.title, "image": template.image, "run": template.run,
                         "available": missing is None, "missing": missing})
        return said

    def free_name(self, name: str, of: Project | None = None) -> str:
        """The name without blanks around it. Raises Invalid, NameTaken: another project than `of` has it."""
        return naming.checked(name, self._names(but=of))

    def _names(self, but: Project | None = None) -> set[str]:
        return {project.name.casefold() for project in self._projects.values() if project is not but}

    # -------------------------------------------------------------------------------------------------- how it goes

    def create(self, name: str, template: str, start: bool = True) -> Project:
        """In a task: a new project, there also if its sandbox does not start. Raises Invalid, NameTaken, TooMany."""
        if template not in self._templates:
            raise Invalid(f"there is no template {template[:80]!r}; allowed: {', '.join(self._templates)}")
        fill = self.shelf.starter(self._templates[template])

        def begin(files: Path) -> Facts:
            fill(files)
            return template, None

        project = spawn(self._made, name, begin).result()
        if start:
            with suppress(Refusal):         # its state says so
                project.start()
        return project

    def restore(self, id: str, seq: int) -> Project:
        """In a task: a backup as a new project. Raises NoBackup, BackupFailed, NotFound, NameTaken."""
        def fill(files: Path) -> Facts:
            facts = self.backups.restore(id, seq, files, self.owner)
            return facts["template"], facts["run"]

        known = self._projects.get(id)
        name = naming.of_restored(known.name if known is not None else id, self._names())
        return spawn(self._made, name, fill).result()

    def _made(self, name: str, fill: Callable[[Path], Facts]) -> Project:
        with self._making:
            name = self.free_name(name)
            if len(self._projects) >= self.config.limits.projects:
                raise TooMany(f"there are {len(self._projects)} projects; delete one first (limits.projects)")
            moment = record.now()
            kept = Record(record.new_id(), name, "", moment, moment)

            def filled(files: Path) -> None:
                kept.template, kept.run = fill(files)

            offload(self.shelf.make, kept, filled)
            project = self._take(kept)
        project.count()
        return project

    def delete(self, id: str, purge: bool = False) -> None:
        """In a task: stop it and put it into the trash, or remove it for good. Raises NotFound."""
        spawn(self._deleted, id, purge).result()

    def _deleted(self, id: str, purge: bool) -> None:
        if purge and id in self._trash:
            self.purge(id)
            return
        project = self.get(id)
        project.keep(deleted=record.now())
        if self._projects.get(id) is not project:       # another delete was faster
            raise NotFound("there is no such project")
        # From here on nobody finds it; whoever has it already meets a project that is stopped.
        del self._projects[id]
        self._trash[id] = project.kept
        project.close()
        if purge:
            self.purge(id)

    def undelete(self, id: str) -> Project:
        """In a task: take it out of the trash. Raises NotFound, NameTaken, TooMany."""
        if id in self._projects:
            return self._projects[id]
        kept = self._trash.get(id)
        if kept is None:
            raise NotFound("there is no such project in the trash")
        with self._making:
            self.free_name(kept.name)
            if len(self._projects) >= self.config.limits.projects:
                raise TooMany(f"there are {len(self._projects)} projects; delete one first (limits.projects)")
            since, kept.deleted = kept.deleted, None
            try:
                offload(self.shelf.write, kept)
            except BaseException:
                kept.deleted = since
                raise
            if self._trash.get(id) is not kept:
                raise NotFound("it was purged meanwhile")
            project = self._take(kept)
            del self._trash[id]
        project.count()
        return project

    def purge(self, id: str) -> None:
        """In a task: nothing is left of what is in the trash."""
        kept = self._trash.pop(id, None)
        if kept is not None:
            with suppress(Refusal):         # an engine that is down: its containers go when it is back
                self.sandbox.remove(id)
            offload(self.shelf.purge, id)

    def expired(self) -> list[str]:
        """What was in the trash for too long."""
        moment = datetime.now(UTC)
        return [id for id, kept in self._trash.items() if kept.deleted is not None and
                (moment - datetime.fromisoformat(kept.deleted)).total_seconds() > self.config.trash_days * 86400]

    def _take(self, kept: Record) -> Project:
        project = self._projects[kept.id] = Project(self, kept)
        return project

    def _running(self, id: str) -> Running | None:
        project = self._projects.get(id)
        return None if project is None else project.running

    # ------------------------------------------------------------------------------------------- for its projects

    def note_start(self, seconds: float) -> None:
        """A sandbox took so long."""
        self.starts.append(seconds)
        del self.starts[:-1000]

    def stopped(self, project: Project) -> None:
        """A project has just been stopped: a moment at which nobody writes."""
        if self.backups.configured and project.backup_due:
            spawn(upkeep.back_up, project, name=f"ide backup {project.id}")

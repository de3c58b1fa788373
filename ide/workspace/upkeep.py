"""What is done now and then: stop who is idle, count what is full, look for ports, back up, empty the trash."""
from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from hotpath.core.scalars import write_duration
from hotpath.core.tasks import sleep, spawn
from hotpath.ide.errors import Refusal

if TYPE_CHECKING:
    from .project import Project
    from .workspace import Workspace

log = logging.getLogger(__name__)

TICK_S = 0.5
PORTS_S = 1.0
COUNT_S = 2.0
# What programs write into ignored folders, and to files that they keep open, nobody tells of.
UNSEEN_S = 15.0
TRASH_S = 60.0
BACK_OFF_MAX_S = 600.0


class Chores:
    """What one project is due."""

    def __init__(self) -> None:
        self.ports_at = self.count_at = self.unseen_at = self.backup_at = 0.0
        self.failures = 0               # of backups, one after the other
        self.backing_up = False


def keep(workspace: Workspace) -> None:
    """In a task, for ever."""
    chores: dict[str, Chores] = {}
    trash_at = 0.0
    while True:
        sleep(TICK_S)
        now = time.monotonic()
        projects = workspace.projects()
        chores = {project.id: chores.get(project.id) or Chores() for project in projects}
        for project in projects:
            try:
                look(workspace, project, chores[project.id], now)
            except Refusal as refusal:
                log.warning("upkeep id=%s: %s", project.id, refusal.detail)
            except Exception:
                log.exception("upkeep id=%s", project.id)
        if now >= trash_at:
            trash_at = now + TRASH_S
            for id in workspace.expired():
                log.info("out of the trash id=%s", id)
                try:
                    workspace.purge(id)
                except Exception:       # a disk that may not be written to: the others' upkeep goes on
                    log.exception("upkeep id=%s", id)


def look(workspace: Workspace, project: Project, due: Chores, now: float) -> None:
    """In a task: whatever this project needs now."""
    if project.state == "running":
        project.watch()             # without a page, too: what is written is to be counted and backed up
        idle(workspace, project, now)
        if project.bus.listeners and now >= due.ports_at:
            due.ports_at = now + PORTS_S
            project.find_ports()
    elif not project.bus.listeners:
        project.unwatch()
    unseen = project.running is not None and now >= due.unseen_at
    if (project.budget.dirty or unseen) and now >= due.count_at:
        due.count_at, due.unseen_at = now + COUNT_S, now + UNSEEN_S
        project.count()
        why = project.budget.overflows
        if why is not None and project.running is not None:
            project.notice(why)
            project.stop(why)
    if workspace.backups.configured and project.backup_due and now >= due.backup_at and not due.backing_up:
        due.backing_up = True
        spawn(scheduled, workspace, project, due, name=f"ide backup {project.id}")


def idle(workspace: Workspace, project: Project, now: float) -> None:
    """Warn, then stop."""
    config = workspace.config.idle
    if not config.stop_after or project.kept.keep_running:
        if project.warned:
            project.warned = False
            project.bus.publish({"type": "idle", "stops_in": None})
        return
    left_s = project.used + config.stop_after - now
    if left_s <= 0:
        log.info("stopped for idleness id=%s", project.id)
        project.notice(f"stopped: nobody used it for {write_duration(config.stop_after)}")
        project.stop()
    elif left_s <= config.warn and not project.warned:
        project.warned = True
        project.bus.publish({"type": "idle", "stops_in": round(left_s)})
    elif left_s > config.warn and project.warned:
        project.touch()


def scheduled(workspace: Workspace, project: Project, due: Chores) -> None:
    """In a task: back up, and say when again."""
    try:
        due.failures = 0 if back_up(project) else due.failures + 1
    finally:
        due.backing_up = False
        rest_s = workspace.config.backup.every
        if due.failures:
            rest_s = max(rest_s, min(BACK_OFF_MAX_S, rest_s * 2 ** min(due.failures, 10)))
        due.backup_at = time.monotonic() + rest_s


def back_up(project: Project) -> bool:
    """In a task: whether it is there now."""
    try:
        said = project.backup()
    except Refusal as refusal:
        log.warning("not backed up id=%s: %s", project.id, refusal.detail)
        project.notice(f"not backed up: {refusal.detail}")
        return False
    log.info("backed up id=%s seq=%s files=%s uploaded=%s", project.id, said["seq"], said["files"], said["uploaded"])
    return True

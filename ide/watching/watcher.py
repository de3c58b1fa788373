"""One server's watcher: the kernel's events in, messages for each project's pages out."""
from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Event, Task, offload, sleep, spawn
from hotpath.core.tasks.task import kept_by_loop

from . import inotify
from .shown import Shown
from .telling import messages
from .tree import Tree
from .watches import Folder, Watches

log = logging.getLogger(__name__)

# From the first event to the look: an editor's save, or a compiler's output, is one message and not five.
COALESCE_S = 0.02
# Changes that are told one by one: so many at once, and so many a second from then on. Beyond it, pages read anew:
# for a clone of 100,000 files that is less work for both sides.
BURST = 2000
PER_S = 500
# While more comes than is told one by one, pages hear of it after these pauses, the last one again and again.
FLOOD_S = (0.5, 1.0, 2.0)
# Folders without a watch that somebody looks at.
POLL_S = 2.0

Tell = Callable[[dict[str, Any]], None]


class Watcher:
    """Used in the loop's thread; what reads folders or files runs in others."""

    def __init__(self, limit: int) -> None:
        """At most `limit` folders are watched, of all projects together."""
        self._limit = limit
        self._watches: Watches | None = None
        self._loop: Loop | None = None
        self._projects: dict[str, Watched] = {}

    def open(self) -> None:
        """Begin; a task. Without the kernel's help it goes on: shown folders are looked at now and then."""
        try:
            self._watches = Watches(self._limit)
        except OSError as error:
            log.warning("watching: no inotify instance: %s (fs.inotify.max_user_instances)", error.strerror)
            return
        kept_by_loop(f"watcher-{id(self)}", self._begin)

    def add(self, id: str, root: Path, ignore: Iterable[str], tell: Tell) -> None:
        """Watch a project; a task. From the return on, `tell` gets a message for what changes, in the loop's thread.

        Folders named in `ignore` are not entered. OSError when there is no such folder.
        """
        self.remove(id)
        self._projects[id] = project = Watched(root, ignore, self._watches, tell)
        offload(project.tree.rescan)
        project.begin()

    def remove(self, id: str) -> None:
        """Watch it no more, if it was; nothing is told from now on."""
        project = self._projects.pop(id, None)
        if project is not None:
            project.end()
            spawn(self._end, project, name="watcher-remove")

    def rescan(self, id: str, path: bytes) -> None:
        """Somebody looks at this folder of a project. If no watch is on it, it is compared now and then."""
        project = self._projects.get(id)
        if project is not None:
            project.show(path)

    def close(self) -> None:
        """The server ends."""
        for project in self._projects.values():
            project.end()
            project.tree.close()
        self._projects.clear()
        if self._watches is not None and not self._watches.closed:
            if self._loop is not None:
                self._loop.unwatch(self._watches.fd)
            self._watches.close()

    def _begin(self, loop: Loop) -> Watcher:
        assert self._watches is not None
        self._loop = loop
        loop.watch(self._watches.fd, select.EPOLLIN, self._read)
        return self

    def _end(self, project: Watched) -> None:
        offload(project.tree.close)
        for other in self._projects.values():       # what it held may be what they lacked
            if other.tree.short:
                other.lose()

    def _read(self, _events: int) -> None:
        assert self._watches is not None
        folders = self._watches.folders
        for wd, mask, name in inotify.events(self._watches.fd):
            if mask & inotify.Q_OVERFLOW:
                log.warning("watching: the kernel's queue was full, all folders are read anew")
                for project in self._projects.values():
                    project.lose()
            elif mask & inotify.IGNORED:
                self._watches.forget(wd)
            elif (folder := folders.get(wd)) is not None:
                folder.note(folder, name)


class Watched:
    """A project that is watched."""

    def __init__(self, root: Path, ignore: Iterable[str], watches: Watches | None, tell: Tell) -> None:
        """Its folders, and who hears of them."""
        self.tree = Tree(root, ignore, watches, self.note)
        self._tell = tell
        self._noted: dict[Folder, set[bytes]] = {}
        self._n_noted = 0
        self._lost = False                  # more happened than was noted
        self._some = Event()
        self._allowance = float(BURST)
        self._counted = time.monotonic()
        self._shown = Shown()
        self._tasks: list[Task[None]] = []
        self._floods = 0                    # in a row
        self._polls = self._warned = self._ended = False

    def begin(self) -> None:
        """Tell from now on."""
        if not self._ended:
            self._tasks.append(spawn(self._serve, name="watching"))

    def end(self) -> None:
        """Tell nothing any more."""
        self._ended = True
        for task in self._tasks:
            task.cancel()

    def note(self, folder: Folder, name: bytes) -> None:
        """Something happened to this name."""
        if self._lost:
            return
        names = self._noted.setdefault(folder, set())
        self._n_noted += name not in names
        names.add(name)
        if self._n_noted > BURST:
            self.lose()
        else:
            self._some.set()

    def lose(self) -> None:
        """Something happened, and it is not known what."""
        self._lost = True
        self._forget()
        self._some.set()

    def show(self, path: bytes) -> None:
        """Somebody looks at this folder."""
        self._shown.add(path)

    def _forget(self) -> None:
        self._noted, self._n_noted = {}, 0

    def _serve(self) -> None:
        while True:
            self._warn()
            self._some.wait()
            sleep(COALESCE_S)
            self._some.clear()
            try:
                self._round()
            except Exception:
                log.exception("watching: a round failed, all is read anew")
                self.lose()
                sleep(FLOOD_S[-1])

    def _round(self) -> None:
        if self._lost:
            self._recover()
            return
        noted = self._noted
        self._forget()
        told = offload(self._look, noted)
        if told is None:
            self.lose()
        else:
            self._floods = 0
            self._tell_all(told)

    def _look(self, noted: dict[Folder, set[bytes]]) -> list[dict[str, Any]] | None:
        """In a thread: messages; None when there are too many."""
        changes = self.tree.look(noted)
        if not self._may_tell(len(changes)):
            return None
        return list(messages(self.tree.root_fd, changes))

    def _may_tell(self, changes: int) -> bool:
        now = time.monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._counted) * PER_S)
        self._counted = now
        if changes > self._allowance:
            return False
        self._allowance -= changes
        return True

    def _recover(self) -> None:
        """Watch whatever is there now, then have the pages read: what changes behind that is told again."""
        self._lost = False
        self._forget()
        offload(self.tree.rescan)
        self._tell({"type": "overflow"})
        sleep(FLOOD_S[min(self._floods, len(FLOOD_S) - 1)])
        self._floods += 1

    def _tell_all(self, told: Iterable[dict[str, Any]]) -> None:
        for message in told:
            self._tell(message)

    def _warn(self) -> None:
        if self.tree.short and not self._warned:
            self._tell({"type": "notice", "text": (
                "More folders than can be watched: in some of them, changes made by programs show up with a delay. "
                "The operator can raise limits.watches or fs.inotify.max_user_watches, "
                "or have the template ignore folders.")})
        self._warned = self.tree.short
        if self.tree.short and not self._polls:
            self._polls = True
            self._tasks.append(spawn(self._poll, name="watching-poll"))

    def _poll(self) -> None:
        while True:
            sleep(POLL_S)
            if self.tree.short:
                self._tell_all(offload(self._compare))

    def _compare(self) -> list[dict[str, Any]]:
        changes = self._shown.compare(self.tree.root_fd, self.tree.is_watched)
        return list(messages(self.tree.root_fd, changes))

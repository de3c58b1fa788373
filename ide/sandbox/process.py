"""No sandbox: a project's programs run on the machine as it is, as another user if the server is root, and limited."""
from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hotpath.core.tasks import Event, offload, sleep, spawn
from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.templates import Template

from . import NOTHING, Port, Running, Spawned, Spec
from . import environment as words
from .children import children, hear
from .dialling import dial_one_of, socket_of_ours
from .enter import SPAWN, start
from .groups import Group, Groups
from .launch import failure
from .limits import NICE, OOM_SCORE, Processors, bounds
from .listening import inodes_of, listeners, named
from .owner import give
from .session import Session, end_all, end_behind

log = logging.getLogger(__name__)

# In the environment of all that a project starts, so that what left its terminal is found too.
MARK = "HOTPATH_IDE_PROJECT"
PATIENCE_S = 5.0            # for killed processes to be gone
POLL_S = 0.02


class Processes:
    """Starts them. `Sandbox`."""

    kind = "process"

    def __init__(self, config: IdeConfig, groups: Groups | None) -> None:
        """`groups`: where the kernel counts; None: rlimits alone hold."""
        self.config = config
        self.groups = groups
        self.user = config.sandbox.ids if os.geteuid() == 0 else None
        self.uid = config.sandbox.ids[0]
        self.processors = Processors.of_server()
        self.running: set[Beside] = set()

    def missing(self, template: Template) -> str | None:
        """See Sandbox."""
        return words.missing(template.needs)

    def start(self, spec: Spec) -> Running:
        """See Sandbox."""
        return self._start(spec, str(spec.files))

    def _start(self, spec: Spec, mark: str) -> Beside:
        if self.user is not None:
            if (closed := barrier(spec.folder, *self.user)) is not None:
                raise SandboxFailed(
                    f"sandbox.user {self.user[0]}:{self.user[1]} cannot reach {spec.files}: chmod o+x {closed}, or let "
                    "`data` lie where everybody may pass")
            offload(give, spec.files, self.user)
        try:
            group = None if self.groups is None else self.groups.make(f"{spec.id}.{os.urandom(4).hex()}")
            beside = Beside(self, spec, mark, group)
        except OSError as error:
            raise SandboxFailed(f"project {spec.id}: {error}") from error
        self.running.add(beside)
        return beside

    def adopt(self, specs: Sequence[Spec]) -> dict[str, Running]:
        """See Sandbox: they end with their server; what a killed one left behind is ended here."""
        for spec in specs:
            end_all([*marked(f"{spec.files}", self.uid), *marked(f"{spec.files}:", self.uid, whole=False)])
        return {}

    def once(
        self, spec: Spec, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING
    ) -> Spawned:
        """See Sandbox: what it left running is ended behind it, and nothing else of the project."""
        beside = self._start(spec, f"{spec.files}:{os.urandom(4).hex()}")
        try:
            session = beside.spawn(argv, cols, rows, {**words.for_network(), **env})
        except BaseException:
            beside.end()
            raise
        spawn(end_behind, session, beside, name=f"ide once {spec.id}")
        return session

    def remove(self, id: str) -> None:
        """See Sandbox: nothing is left of one."""

    def close(self) -> None:
        """See Sandbox."""
        for beside in list(self.running):
            beside.end()
        if self.groups is not None:
            self.groups.close()


class Beside:
    """The programs of one project. `Running`."""

    def __init__(self, maker: Processes, spec: Spec, mark: str, group: Group | None) -> None:
        """None yet; `mark` is in the environment of each."""
        self.gone = Event()
        self.why = ""
        self.spec = spec
        self._maker = maker
        self._mark = mark
        self._group = group

    def spawn(self, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING) -> Session:
        """See Running."""
        what = f"{argv[0]} in project {self.spec.id}"
        if self.gone.is_set:
            raise SandboxFailed(f"{what}: the project was stopped")
        config = self._maker.config.sandbox
        whole = words.environment(self.spec.template, str(self.spec.files), {**env, MARK: self._mark})
        # The kernel counts all processes of the user, not those of the project.
        n_processes = None if self._group is not None else config.pids + n_tasks(self._maker.uid)
        cpus = None if self._group is not None else self._maker.processors.chosen(config.cpus, self.spec.id)
        folder = os.open(self.spec.files, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        cgroups = self._group.open() if self._group is not None else []
        try:
            told = hear(lambda report: start(
                SPAWN, report, cgroups=cgroups, user=self._maker.user, folder=folder, die_with_parent=True,
                oom_score=OOM_SCORE, nice=NICE, cpus=cpus, size=(cols, rows),
                limits=bounds(config, n_processes=n_processes, counted=self._group is not None),
                programs=words.candidates(argv[0], whole), argv=[os.fsencode(word) for word in argv],
                env=words.encoded(whole),
            ), config.start_timeout, what)
        finally:
            for fd in (folder, *cgroups):
                os.close(fd)
        if told.failed or not told.fds:
            raise failure(told, what)
        session = Session(told.child, told.fds.pop())
        told.close()
        return session

    def ports(self) -> list[Port]:
        """See Running."""
        return [] if self.gone.is_set else named(self._listeners(), "/proc", self._pids(), own=True)

    def connect(self, port: int) -> int:
        """See Running: to what is the project's own, or anybody could reach the machine's services through it."""
        if port not in {one.port for one in self.ports()}:
            raise ConnectionRefusedError(f"nothing of the project listens on port {port}")
        families = self._listeners().get(port, (set(), set()))[0]
        return dial_one_of(families, port, socket_of_ours)

    def stop(self) -> None:
        """See Running."""
        self.end()
        tries = int(PATIENCE_S / POLL_S)
        while (left := self._pids()) and tries:
            end_all(left)           # what was forked while we looked
            sleep(POLL_S)
            tries -= 1
        self.gone.set()

    def end(self) -> None:
        """End what is seen of it."""
        self._maker.running.discard(self)
        end_all(self._pids())
        self.gone.set()
        if self._group is not None:
            with suppress(RuntimeError):        # no loop runs any more
                self._group.remove_later(children().loop)

    def _listeners(self) -> dict[int, tuple[set[str], set[int]]]:
        """Without our own, which a child of ours still has open between its fork and its exec."""
        process = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = listeners(process)
        finally:
            os.close(process)
        ours = set(inodes_of("/proc/self", sys.maxsize))
        return {port: (families, inodes - ours) for port, (families, inodes) in found.items() if inodes - ours}

    def _pids(self) -> list[int]:
        if self._group is not None:
            return self._group.members()
        return list(marked(self._mark, self._maker.uid))


def marked(mark: str, uid: int, *, whole: bool = True) -> Iterator[int]:
    """The processes of that user that were started under this mark, or one that begins so."""
    wanted = os.fsencode(f"{MARK}={mark}")
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == uid:
                    words = Path(entry.path, "environ").read_bytes().split(b"\0")
                    if any(word == wanted or (not whole and word.startswith(wanted)) for word in words):
                        yield int(entry.name)


def n_tasks(uid: int) -> int:
    """How many threads that user runs, as RLIMIT_NPROC counts them."""
    n = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == uid:
                    n += len(os.listdir(f"{entry.path}/task"))
    return n


def barrier(folder: Path, uid: int, gid: int) -> Path | None:
    """The first folder on the way to `folder` that this user may not pass; None: he may pass all."""
    for place in reversed([folder, *folder.parents]):
        found = place.stat()
        needed = stat.S_IXUSR if found.st_uid == uid else stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
        if not found.st_mode & needed:
            return place
    return None

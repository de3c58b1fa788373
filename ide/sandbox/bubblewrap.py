"""The sandbox of bubblewrap: namespaces of its own for each project; terminals enter them."""
from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

from hotpath.core.tasks import Event, offload, spawn, timeout
from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.templates import Template

from . import NOTHING, Port, Running, Spawned, Spec
from . import environment as words
from .children import children, hear
from .dialling import dial_one_of, socket_of_ours
from .enter import ARRANGE, LAUNCH, SOCKETS, SPAWN, start
from .groups import Group, Groups
from .launch import Launched, failure, launch
from .limits import NICE, OOM_SCORE, Processors, bounds
from .listening import listeners, named, pids_in
from .owner import give
from .session import Session, end_behind
from .view import HOME, arguments

log = logging.getLogger(__name__)

PROGRAM = "bwrap"
# The first process of a sandbox: it says when all is mounted, then waits for orphans. Nothing in there can kill it.
PAYLOAD = ("/bin/sh", "-c", "echo; exec > /dev/null 2>&1; while :; do sleep 2147483647 & wait; done")
# Where the folder of a project is seen on the way into its sandbox, by one who may not walk there: any folder will do.
STAND_INS = ("/mnt", "/media", "/srv", "/opt")
MAX_TERMINALS = 64          # of one sandbox: the machine's 4096 are counted in all of them together
LOST_S = 1.0                # a sandbox that is killed is gone long before
N_SPARE = 8                 # sockets of a sandbox's network made at once
# One user's are counted over all his projects, and so is the server's own watching if it runs as him.
WRITES = (b"/proc/sys/user/max_inotify_instances", b"64", b"/proc/sys/user/max_inotify_watches", b"32768")
ETC_FILES = (f"{words.USER}:x:1000:1000::{HOME}:/bin/bash\n".encode(), f"{words.USER}:x:1000:\n".encode(),
             b"127.0.0.1 localhost\n::1 localhost\n")


class Bubblewrap:
    """Makes them. `Sandbox`."""

    kind = "bubblewrap"

    def __init__(self, config: IdeConfig, groups: Groups | None) -> None:
        """`groups`: where the kernel counts; None: rlimits alone hold."""
        self.config = config
        self.groups = groups
        self.program = shutil.which(PROGRAM, path=":".join(words.PATH)) or f"/usr/bin/{PROGRAM}"
        self.user = config.sandbox.ids if os.geteuid() == 0 else None
        self.processors = Processors.of_server()
        self.running: set[Inside] = set()

    def missing(self, template: Template) -> str | None:
        """See Sandbox."""
        return words.missing(template.needs)

    def start(self, spec: Spec) -> Running:
        """See Sandbox."""
        return self._start(spec, network=self.config.sandbox.network == "open")

    def adopt(self, specs: Sequence[Spec]) -> dict[str, Running]:
        """See Sandbox: they end with their server."""
        return {}

    def once(
        self, spec: Spec, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING
    ) -> Spawned:
        """See Sandbox."""
        network = self.config.sandbox.install_network == "open"
        inside = self._start(spec, network=network)
        try:
            session = inside.spawn(argv, cols, rows, {**words.for_network(), **env} if network else env)
        except BaseException:
            inside.end()
            raise
        spawn(end_behind, session, inside, name=f"ide once {spec.id}")
        return session

    def remove(self, id: str) -> None:
        """See Sandbox: nothing is left of one."""

    def close(self) -> None:
        """See Sandbox."""
        for inside in list(self.running):
            inside.end()
        if self.groups is not None:
            self.groups.close()

    def _start(self, spec: Spec, *, network: bool) -> Inside:
        what = f"the sandbox of {spec.id}"
        group = None
        try:
            if self.user is not None:
                offload(give, spec.files, self.user)
            if self.groups is not None:
                group = self.groups.make(f"{spec.id}.{os.urandom(4).hex()}")
            inside = Inside(self, spec, self._launch(spec, network, group, what), network=network, group=group)
        except BaseException as error:
            if group is not None:
                group.remove()
            if isinstance(error, OSError):
                raise SandboxFailed(f"{what}: {error}") from error
            raise
        self.running.add(inside)
        spawn(inside.watch, name=f"ide sandbox {spec.id}")
        try:
            inside.arrange()
        except BaseException:
            inside.end()
            raise
        return inside

    def _launch(self, spec: Spec, network: bool, group: Group | None, what: str) -> Launched:
        config = self.config.sandbox
        stand_in = None if self.user is None else next(filter(os.path.isdir, STAND_INS), "/tmp")
        options = arguments(config, stand_in or str(spec.files), network=network, info=3, passwd=4, group=5, hosts=6)
        argv = [os.fsencode(word) for word in (self.program, *options, "--", *PAYLOAD)]
        folder = os.open(spec.files, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        cgroups = group.open() if group is not None else []
        try:
            return launch(lambda report, fds: start(
                LAUNCH, report, fds=fds, cgroups=cgroups, user=self.user, folder=folder,
                stand_in=None if stand_in is None else os.fsencode(stand_in), die_with_parent=True,
                oom_score=OOM_SCORE, nice=NICE, cpus=self.cpus(spec.id),
                limits=bounds(config, n_processes=None, counted=group is not None),
                programs=argv[:1], argv=argv, env=words.encoded({"LANG": "C.UTF-8", "PATH": ":".join(words.PATH)}),
            ), ETC_FILES, config.start_timeout, what)
        finally:
            for fd in (folder, *cgroups):
                os.close(fd)

    def cpus(self, id: str) -> list[int] | None:
        """The processors of a project, where no control group shares them out."""
        return None if self.groups is not None else self.processors.chosen(self.config.sandbox.cpus, id)


class Inside:
    """One sandbox. `Running`."""

    def __init__(
        self, maker: Bubblewrap, spec: Spec, launched: Launched, *, network: bool, group: Group | None
    ) -> None:
        """Of one that stands. OSError: it has ended meanwhile."""
        self.gone = Event()
        self.why = ""
        self.spec = spec
        self.pid = launched.pid
        self._maker = maker
        self._child = launched.child
        self._network = network
        self._group = group
        self._stopped = False
        self._spare: dict[int, list[socket.socket]] = {socket.AF_INET: [], socket.AF_INET6: []}
        try:
            # The number may be another process's some day; what these two stand for never is.
            self._first = os.pidfd_open(launched.pid)
            try:
                self._process = os.open(f"/proc/{launched.pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                os.close(self._first)
                raise
        except OSError:
            launched.child.kill()
            raise

    def arrange(self) -> None:
        """In a task: what bwrap cannot set."""
        told = hear(lambda report: start(
            ARRANGE, report, process=self._process, user=self._maker.user, writes=WRITES,
            pts_options=b"newinstance,ptmxmode=0666,mode=620,max=%d" % MAX_TERMINALS,
        ), self._maker.config.sandbox.start_timeout, self._what)
        if told.failed or told.child.wait():
            raise failure(told, self._what)

    def spawn(self, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING) -> Session:
        """See Running."""
        if self.gone.is_set:
            raise SandboxFailed(f"{self._what} has ended: {self.why or 'it was stopped'}")
        config = self._maker.config.sandbox
        whole = words.environment(self.spec.template, HOME, env)
        cgroups = self._group.open() if self._group is not None else []
        try:
            told = hear(lambda report: start(
                SPAWN, report, process=self._process, cgroups=cgroups, user=self._maker.user, cwd=HOME.encode(),
                oom_score=OOM_SCORE, nice=NICE, cpus=self._maker.cpus(self.spec.id), size=(cols, rows),
                limits=bounds(config, n_processes=config.pids, counted=self._group is not None),
                programs=words.candidates(argv[0], whole), argv=[os.fsencode(word) for word in argv],
                env=words.encoded(whole),
            ), config.start_timeout, f"{argv[0]} in {self._what}")
        finally:
            for fd in cgroups:
                os.close(fd)
        program = children().add(told.pid) if told.pid else None
        if told.failed or program is None or not told.fds:
            if program is not None:
                program.kill()
            raise failure(told, f"{argv[0]} in {self._what}")
        session = Session(program, told.fds.pop())
        told.close()
        return session

    def ports(self) -> list[Port]:
        """See Running."""
        if self.gone.is_set:
            return []
        # Seen through the payload's eyes: /proc there has the processes of this sandbox alone.
        proc = f"/proc/{self.pid}/root/proc"
        return named(listeners(self._process), proc, pids_in(proc), own=self._network)

    def connect(self, port: int) -> int:
        """See Running."""
        if self.gone.is_set:
            raise ConnectionRefusedError("the sandbox has ended")
        families = listeners(self._process).get(port, (set(), set()))[0]
        if not families or (self._network and port not in {one.port for one in self.ports()}):
            raise ConnectionRefusedError(f"nothing listens on port {port}")
        return dial_one_of(families, port, socket_of_ours if self._network else self._socket)

    def stop(self) -> None:
        """See Running."""
        self.end()
        while not self.gone.is_set:
            with suppress(TimeoutError), timeout(LOST_S):
                self.gone.wait()
            children().reap_lost()

    def end(self) -> None:
        """Begin to stop it: all others die with its first process, and bwrap ends behind them."""
        self._stopped = True
        if not self.gone.is_set:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)

    def watch(self) -> None:
        """A task: until it has ended."""
        status = self._child.wait()
        if not self._stopped:
            self.why = (
                "its programs used more memory than sandbox.memory, and the kernel ended it"
                if self._group is not None and self._group.ran_out() else
                f"bubblewrap ended by signal {-status}" if status < 0 else
                f"its first process ended by signal {status - 128}" if status > 128 else
                f"its first process ended with status {status}")
            log.warning("ended sandbox=bubblewrap id=%s cause=%r", self.spec.id, self.why)
        self._maker.running.discard(self)
        os.close(self._process)
        os.close(self._first)
        self._process = self._first = -1
        for spare in self._spare.values():
            while spare:
                spare.pop().close()
        self.gone.set()
        if self._group is not None:
            self._group.remove_later(children().loop)

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        """One of the sandbox's network: a process entered it and sent a few back."""
        spare = self._spare[family]
        if spare:
            return spare.pop()
        if self.gone.is_set:        # meanwhile: without one to enter, a socket is of the machine
            raise ConnectionRefusedError("the sandbox has ended")
        told = hear(lambda report: start(
            SOCKETS, report, process=self._process, user=self._maker.user, family=family, n_sockets=N_SPARE,
        ), self._maker.config.sandbox.start_timeout, self._what)
        if told.failed or not told.fds:
            told.close()
            raise OSError(told.errno, f"cannot {told.failed}: {os.strerror(told.errno)}")
        made = [socket.socket(fileno=fd) for fd in told.fds]
        told.fds.clear()
        chosen = made.pop()
        if self.gone.is_set:
            for one in made:
                one.close()
        else:
            spare += made
        return chosen

    @property
    def _what(self) -> str:
        return f"the sandbox of {self.spec.id}"

"""One project: its files, its sandbox, its terminals, and what its pages hear of them."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotpath.core.tasks import Event, Lock, offload, spawn, timeout
from hotpath.ide.errors import Busy, Invalid, NotFound, NotRunning, Refusal, SandboxFailed
from hotpath.ide.events import Bus, Subscription
from hotpath.ide.files import Files
from hotpath.ide.sandbox import Port, Running, Spec
from hotpath.ide.terminal import Terminal, Terminals
from hotpath.ide.usage import measure

from . import packages, record
from .budget import Budget
from .record import Record
from .states import State, checked

if TYPE_CHECKING:
    from .workspace import Workspace

log = logging.getLogger(__name__)

SETUP_WAIT_S = 60.0             # that packages wait for an installation before them
MAX_COMMAND = 4096
COLS, ROWS = 80, 24             # until a page says how large it is


class Project:
    """Used in the loop's thread; methods that say so wait, and so need a task."""

    def __init__(self, workspace: Workspace, kept: Record) -> None:
        """As it stands on disk: stopped."""
        config = workspace.config
        self.kept = kept
        self.state: State = "stopped"
        self.error: str | None = None
        self.running: Running | None = None
        # From now in milliseconds on: who was told something by an earlier process, or before a delete and its undo,
        # comes back with a smaller number, and is told to read all anew.
        self.bus = Bus(time.time_ns() // 1_000_000)
        self.last_used = time.monotonic()
        self.warned = False                         # its pages count down to an idle stop
        self.backup_due = True
        self._workspace = workspace
        self._lock = Lock()                         # one start or stop at a time
        # Who looks how many there are begins another before the next one looks.
        self._shells, self._runs, self._installs = Lock(), Lock(), Lock()
        self._watching = Lock()                     # who comes second waits until the watch stands
        self._watched = False
        self._closed = False
        self._ports: list[dict[str, Any]] = []
        self.template = workspace.template(kept.template)
        self.folder = workspace.shelf.path(kept.id)
        self.budget = Budget(config.sandbox.disk, config.sandbox.files)
        self.files = Files(self.folder, config, self.template.ignore, workspace.owner, self.room)
        self.terminals = Terminals(config.terminal, self._terminals_changed)

    # ------------------------------------------------------------------------------------------------ what it is

    @property
    def id(self) -> str:
        """12 letters."""
        return self.kept.id

    @property
    def name(self) -> str:
        """As somebody called it."""
        return self.kept.name

    @property
    def root(self) -> Path:
        """The folder that its programs see."""
        return self.folder / "files"

    @property
    def ignore(self) -> tuple[str, ...]:
        """Names of folders that are not watched, searched, zipped or backed up."""
        return self.template.ignore

    @property
    def spec(self) -> Spec:
        """For the sandbox."""
        return Spec(self.id, self.folder, self.template)

    @property
    def run(self) -> str:
        """What Run runs."""
        return self.template.run if self.kept.run is None else self.kept.run

    def json(self) -> dict[str, Any]:
        """P of the API."""
        return {
            "id": self.id, "name": self.name, "template": self.kept.template, "run": self.run, "state": self.state,
            "error": self.error, "sandbox": self._workspace.sandbox.kind, "created": self.kept.created,
            "opened": self.kept.opened, "bytes": self.budget.bytes, "files": self.budget.files,
            "terminals": self.terminals.alive, "keep_running": self.kept.keep_running}

    def change(self, name: str | None = None, run: str | None = None, keep_running: bool | None = None) -> None:
        """In a task: on disk when it returns. Raises NameTaken, Invalid."""
        if name is not None:
            name = self._workspace.free_name(name, self)
        if run is not None and (len(run) > MAX_COMMAND or "\0" in run):
            raise Invalid(f"a command has up to {MAX_COMMAND} characters, and no NUL")
        changes = {"name": name, "run": run, "keep_running": keep_running}
        self.keep(**{field: value for field, value in changes.items() if value is not None})

    def keep(self, **changes: object) -> None:
        """In a task: change its record, on disk when this returns; where that fails, nothing has changed."""
        before = {field: getattr(self.kept, field) for field in changes}
        self._set(changes)
        try:
            offload(self._workspace.shelf.write, self.kept)
        except BaseException:
            self._set(before)
            raise

    def _set(self, fields: Mapping[str, object]) -> None:
        for field, value in fields.items():
            setattr(self.kept, field, value)

    # --------------------------------------------------------------------------------------------- start and stop

    def start(self) -> None:
        """In a task: it runs when this returns. Raises SandboxFailed."""
        self._whole(self._start)

    def stop(self, error: str | None = None) -> None:
        """In a task: nothing of it runs when this returns. `error`: why it fails, when it does."""
        self._whole(self._stop, error)

    def restart(self) -> None:
        """In a task. Raises SandboxFailed."""
        self._whole(self._restart)

    def _whole(self, step: Callable[..., object], *args: object) -> None:
        # In a task of its own: a client that goes away does not leave it half-way.
        spawn(self._locked, step, *args, name=f"ide {step.__name__} {self.id}").result()

    def _locked(self, step: Callable[..., object], *args: object) -> None:
        with self._lock:
            step(*args)

    def _restart(self) -> None:
        self._stop(None)
        self._start()

    def _start(self) -> None:
        if self._closed:            # deleted while this waited: nobody would ever stop it
            raise NotFound("there is no such project")
        self.touch()
        if self.running is not None:
            return
        self._become("starting")
        try:
            began_s = time.monotonic()
            running = self._workspace.sandbox.start(self.spec)
        except Refusal as error:
            self._become("failed", error.detail)
            raise
        except BaseException as error:
            why = f"the sandbox did not start: {error or type(error).__name__}"
            self._become("failed", why)
            if isinstance(error, OSError):
                raise SandboxFailed(why) from error
            raise
        log.info("started id=%s sandbox=%s seconds=%.3f", self.id, self._workspace.sandbox.kind,
                 time.monotonic() - began_s)
        self._workspace.note_start(time.monotonic() - began_s)
        self.taken_up(running)
        try:
            self.keep(opened=record.now())
        except OSError as error:        # a full disk: it runs all the same, or nobody could delete anything
            log.warning("not noted when it was opened id=%s: %s", self.id, error)
        try:
            self.set_up()
        except Refusal as refusal:      # it runs, only without its packages
            self.notice(f"the set-up of {self.template.title} did not begin: {refusal.detail}")

    def _stop(self, error: str | None) -> None:
        running, self.running = self.running, None
        if running is None:
            self.terminals.close_all()      # an installation needs no project that runs
            if self.state == "failed" and error is None:
                self._become("stopped")
            return
        self._become("stopping")
        self.terminals.close_all()
        try:
            running.stop()
        except Refusal as refusal:
            error = refusal.detail
        except BaseException as wrong:      # no descriptor to look with, say: it must not be "stopping" for ever
            self._become("stopped", f"not all of it was ended: {wrong or type(wrong).__name__}")
            raise
        self._become("stopped", error)
        self._workspace.stopped(self)

    def taken_up(self, running: Running) -> None:
        """It runs: started now, or found alive."""
        self.running = running
        self._become("running")
        spawn(self._wait_for, running, name=f"ide watch {self.id}")

    def _wait_for(self, running: Running) -> None:
        running.gone.wait()
        if self.running is running:         # nobody stopped it
            self.running = None
            self._become("failed", running.why or "the sandbox ended by itself")
            self.terminals.close_all()

    def _become(self, state: State, error: str | None = None) -> None:
        self.state, self.error = checked(self.state, state), error
        self.bus.publish({"type": "state", "state": state, "error": error})

    # ------------------------------------------------------------------------------------------- what runs in it

    def shell(self, cols: int, rows: int) -> Terminal:
        """In a task: a shell on a new terminal. Raises NotRunning, TooMany, SandboxFailed."""
        shell = self._workspace.config.terminal.shell
        with self._shells:
            self.terminals.room()
            return self._spawn("shell", shell[0].rpartition("/")[2], shell, cols, rows)

    def run_command(self, command: str | None = None, cols: int = COLS, rows: int = ROWS) -> Terminal:
        """In a task: run it, or what Run runs; an earlier one ends. Raises Invalid, NotRunning, SandboxFailed."""
        text = self.run if command is None else command
        if not text.strip() or len(text) > MAX_COMMAND or "\0" in text:
            raise Invalid(f"there is nothing to run; allowed: 1 to {MAX_COMMAND} characters, no NUL")
        with self._runs:
            for earlier in self.terminals.of_kind("run"):
                self.terminals.close(earlier.id)
            return self._spawn("run", text, ("sh", "-c", text), cols, rows)

    def _spawn(self, kind: str, title: str, argv: Sequence[str], cols: int, rows: int) -> Terminal:
        running = self.running
        if running is None or self.state != "running":
            raise NotRunning(f"the project is {self.state}; start it first")
        self.touch()
        return self.terminals.add(running.spawn(argv, cols, rows), kind, title, cols, rows)

    def install(self, names: Sequence[str], cols: int = COLS, rows: int = ROWS) -> Terminal:
        """In a task: install packages, in a sandbox of their own. Raises Invalid, Busy, SandboxFailed."""
        chosen = packages.checked(names)
        if not self.template.install:
            raise Invalid(f"the template {self.template.name} has no command that installs packages (install)")
        with self._installs:
            self._after_setup()
            return self.once(f"install {' '.join(chosen)}", self.template.install_command(chosen), cols, rows)

    def set_up(self) -> None:
        """In a task: run the template's set-up in the background, unless that is done."""
        if self.kept.is_set_up or not self.template.setup or any(
                one.alive for one in self.terminals.of_kind("setup")):
            return
        terminal = self.once("set up", self.template.setup, COLS, ROWS)

        def ended() -> None:
            if terminal.exit == 0:
                spawn(lambda: self.keep(is_set_up=True), name=f"ide set up {self.id}")
            else:
                self.notice(f"the set-up of {self.template.title} ended with {terminal.exit}: see its terminal")

        terminal.on_exit.append(ended)

    def once(self, title: str, command: str, cols: int, rows: int) -> Terminal:
        """In a task: a command in a one-shot sandbox, on a terminal of kind setup. Raises SandboxFailed."""
        self.touch()
        spawned = self._workspace.sandbox.once(self.spec, ("sh", "-c", command), cols, rows)
        return self.terminals.add(spawned, "setup", title, cols, rows)

    def _after_setup(self) -> None:
        """Two installations at once would break each other's folder."""
        for earlier in self.terminals.of_kind("setup"):
            if earlier.alive:
                over = Event()
                earlier.on_exit.append(over.set)
                try:
                    with timeout(SETUP_WAIT_S):
                        over.wait()
                except TimeoutError:
                    raise Busy(f"{earlier.title!r} is still going on; wait for it, or end it") from None

    def find_ports(self) -> list[dict[str, Any]]:
        """What listens in it; tells its pages when that is other than before."""
        running = self.running
        found: list[Port] = running.ports() if running is not None and self.state == "running" else []
        ports = [{"port": one.port, "url": self._workspace.previews.url(self.id, one.port), "process": one.process}
                 for one in found]
        if ports != self._ports:
            self._ports = ports
            self.bus.publish({"type": "ports", "ports": ports})
        return ports

    # ------------------------------------------------------------------------------------------ what pages hear

    def subscribe(self, since: int | None = None) -> Subscription:
        """In a task: hear of all that happens, files too."""
        self.touch()
        self.watch()
        return self.bus.subscribe(since)

    def watch(self) -> None:
        """In a task: from now on changes of files are told."""
        with self._watching:
            if self._watched or self._closed:
                return
            try:
                self._workspace.watcher.add(self.id, self.root, self.ignore, self._told)
            except BaseException:
                if not self._closed:
                    self._workspace.watcher.remove(self.id)
                raise
            if self._closed:        # `close` took it back; by now it may be another's of the same id, out of the trash
                return
            self._watched = True
            if self.running is not None:        # what its programs wrote before, nobody saw
                self.budget.dirty = self.backup_due = True

    def unwatch(self) -> None:
        """Nobody listens."""
        if self._watched:
            self._watched = False
            self._workspace.watcher.remove(self.id)

    def _told(self, message: dict[str, Any]) -> None:
        if message["type"] != "notice":
            self.budget.dirty = self.backup_due = True
        self.bus.publish(message)

    def _terminals_changed(self) -> None:
        self.bus.publish({"type": "terminals", "terminals": self.terminals.json()})

    def notice(self, text: str) -> None:
        """Say something to whoever looks."""
        self.bus.publish({"type": "notice", "text": text})

    def room(self, n_bytes: int, n_files: int) -> None:
        """In any thread: asked before anything is written. Raises NoRoom."""
        self.backup_due = True
        self.budget.room(n_bytes, n_files)

    # -------------------------------------------------------------------------------------------------- upkeep

    def touch(self) -> None:
        """Somebody uses it."""
        self.last_used = time.monotonic()
        if self.warned:
            self.warned = False
            self.bus.publish({"type": "idle", "stops_in": None})

    @property
    def used(self) -> float:
        """When somebody last did, on the monotonic clock: a request, or a key."""
        return max(self.last_used, self.terminals.last_used)

    def count(self) -> None:
        """In a task: count what its folder holds."""
        offload(self.budget.count, lambda: measure(self.root))

    def backup(self) -> dict[str, Any]:
        """In a task: copy it to the store. Raises NoBackup, BackupFailed."""
        self.backup_due = False
        facts = {"template": self.kept.template, "run": self.run}
        try:
            return offload(self._workspace.backups.run, self.id, facts, self.root, self.ignore)
        except BaseException:
            self.backup_due = True
            raise

    def close(self) -> None:
        """In a task: it is out of the workspace."""
        self._closed = True
        self._watched = False
        self._workspace.watcher.remove(self.id)     # also one that is just being begun
        self.stop()
        self.files.close()

"""A server in one process, without a master and its fork: `kill -9` of it ends all of it.

    HUP             read the configuration again; what cannot change while it runs is logged
    TERM QUIT INT   drain, then stop; a second one: stop now; a third: kill
    USR1            reopen the logs
    USR2            start this program again, on the same sockets; drain once its configuration is known to be good

The process started by USR2 opens its application behind the end of this one, which may hold what it needs: a lock, a
journal. Meanwhile connections wait in the backlog.
"""
from __future__ import annotations

import dataclasses
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn, Protocol

from . import successor
from .crew import Plan
from .errors import ConfigError, HotpathError
from .exits import cause_of
from .listen import Listeners, name_of
from .net.linux import die_with_parent
from .net.loop import Loop
from .notify import READY, STOPPING, notify, reloading
from .pidfile import PidFile
from .tasks import spawn
from .worker import START_S, Identity, WorkerContext

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)

# A successor that has not said by then that its configuration is good is killed, and we stay.
UPGRADE_S = float(START_S)

ORPHANED = "upgrade given up: the process before us has ended"


class Server(Protocol):
    """What serves, made for this process."""

    @property
    def loop(self) -> Loop:
        """Where it runs."""
        ...

    def run(self, context: WorkerContext, more: Mapping[int, Callable[[], object]] | None = None) -> None:
        """Serve until drained, `more` called by signal; `context.ready()` once it serves."""

    def drain(self, context: WorkerContext) -> None:
        """Accept no more, finish, let `run` return."""


class Generation(Protocol):
    """A loaded configuration."""

    @property
    def plan(self) -> Plan:
        """What it asks for; its workers and helpers are nobody's."""
        ...

    def server(self, context: WorkerContext, *, early: bool) -> Server:
        """What serves it. `early`: take connections at once, even if there is something to open first."""
        ...

    def retired(self) -> None:
        """It serves no more."""


class Service(Protocol):
    """A program that runs alone."""

    def load(self, listeners: Listeners) -> Generation:
        """Read the configuration, bind through `listeners`. Called once. Raises ConfigError or ListenError."""
        ...

    def reload(self) -> None:
        """In a task: read the configuration again and change what can. Raises HotpathError: nothing changed."""

    def reload_failed(self, reason: str) -> None:
        """A reload changed nothing, and why: count it. The log has it already."""

    def reopen_logs(self) -> None:
        """USR1."""


def run(service: Service) -> int:
    """Serve until told to stop; answers the process's exit status. Raises what `load` raises. Main thread only."""
    return Solo(service).run()


def die(message: str, *args: object) -> NoReturn:
    """Log why, and end this process with status 1 at once, from any thread: no drain, no hook, no `finally`."""
    log.critical(message, *args)
    # A log that cannot be written is nobody's to tell.
    with suppress(Exception):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(1)


@dataclasses.dataclass(frozen=True, slots=True)
class SoloContext(WorkerContext):
    """What the server of this process knows of it."""

    opened: Callable[[], None]

    def ready(self) -> None:
        """It serves."""
        self.opened()


@dataclasses.dataclass(slots=True)
class _Upgrade:
    """A successor on its way up."""

    pid: int
    fd: int                         # it writes here when it is good; its end closes it
    give_up: Callable[[], None]     # cancels its deadline


class Solo:
    """The one process: its loop serves and decides."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._predecessor_fd = successor.predecessor_fd(os.environ)
        if self._predecessor_fd >= 0:
            # Until we take over, whoever kills it means us too.
            die_with_parent(signal.SIGKILL)
            if _is_unread(self._predecessor_fd):    # dead before that line
                raise HotpathError(ORPHANED)
        self._listeners = Listeners.inherited(os.environ)
        self._pid_file = PidFile()
        self._upgrade: _Upgrade | None = None
        self._is_open = False
        self._n_stops = 0
        self._is_stopped_early = False      # before the loop could hear of it
        self._reloading = self._reload_again = False

    def run(self) -> int:
        """Serve. 0 after a clean stop, 1 when the application could not be opened or closed."""
        try:
            self._generation = self._service.load(self._listeners)
            try:
                return self._live()
            finally:
                self._generation.retired()
        finally:
            if self._upgrade:
                self._end_upgrade(self._upgrade)
            self._pid_file.remove()
            self._listeners.close()

    def _live(self) -> int:
        plan = self._generation.plan
        identity = Identity.of(plan.user) if plan.user else None
        self._pid_file.move(plan.pid_file)
        self._listeners.retain(plan.sockets)
        if identity is not None:
            identity.assume()
        # Duplicates: it closes its own when it drains, and ours are handed over.
        sockets = [one.dup() for one in plan.sockets]
        self._server = self._generation.server(self._context(sockets), early=self._predecessor_fd < 0)
        acts: dict[int, Callable[[], object]] = {
            **dict.fromkeys(STOP_SIGNALS, self._stop), signal.SIGHUP: self._reload,
            signal.SIGUSR1: self._service.reopen_logs, signal.SIGUSR2: self._start_upgrade}
        with _signals({**dict.fromkeys(acts, _nothing), **dict.fromkeys(STOP_SIGNALS, self._stop_early)}):
            log.info("starting pid=%d listen=%s", os.getpid(), ",".join(map(name_of, plan.sockets)))
            if not self._take_over():
                log.error(ORPHANED)
                return 1
            try:
                self._server.run(self._context(), acts)
            except HotpathError as error:
                log.error("%s", error)
                return 1
            except Exception:
                log.exception("server failed")
                return 1
        return 0

    def _context(self, sockets: Sequence[socket.socket] = ()) -> SoloContext:
        return SoloContext(index=0, name="server", sockets=sockets, drain_s=self._generation.plan.drain_s, ready_fd=-1,
                           opened=self._opened)

    def _take_over(self) -> bool:
        """Our configuration is good: let the process before us drain, and end. Whether it was still there."""
        if self._predecessor_fd < 0:
            return True
        self._listeners.own_files()
        die_with_parent(0)
        try:
            os.write(self._predecessor_fd, b"%d\n" % os.getpid())
        except BrokenPipeError:
            return False
        finally:
            os.close(self._predecessor_fd)
        return True

    def _opened(self) -> None:
        self._is_open = True
        who = [f"pid {os.getpid()}", *map(name_of, self._generation.plan.sockets)]
        # Whoever read our stderr may be gone; the service goes on.
        with suppress(OSError):
            # One write: threads that a service started log to the same place.
            print(f"ready: {', '.join(who)}\n", end="", file=sys.stderr, flush=True)
        notify(READY)
        if self._reload_again:
            self._reload()
        if self._is_stopped_early:
            self._stop()

    # What signals ask for. All but `_stop_early` run in the loop.

    def _stop_early(self, number: int, frame: object) -> None:
        self._is_stopped_early = True
        _arm(number, frame)

    def _stop(self) -> None:
        self._n_stops += 1
        if self._n_stops > 1:
            log.warning("stopping now")
            for number in STOP_SIGNALS:
                self._server.loop.on_signal(number, None)
            _arm(0, None)
            self._server.loop.stop()
            return
        log.info("stopping")
        notify(STOPPING)
        if self._upgrade:
            os.kill(self._upgrade.pid, signal.SIGTERM)
        self._drain()

    def _drain(self) -> None:
        # Before the server lets go of its own: ours would keep taking connections that nobody accepts.
        self._listeners.close()
        self._server.drain(self._context())

    def _reload(self) -> None:
        if self._n_stops:
            return
        if self._upgrade:
            self._refuse_reload("an upgrade is under way")
            return
        self._reload_again = True
        if self._is_open and not self._reloading:
            self._reloading = True
            spawn(self._reload_in_task)

    def _reload_in_task(self) -> None:
        try:
            while self._reload_again:
                self._reload_again = False
                self._reload_once()
        finally:
            self._reloading = False

    def _reload_once(self) -> None:
        reloading()
        try:
            self._service.reload()
        except HotpathError as error:
            self._refuse_reload(str(error))
        except Exception as error:
            # A fault of ours, or a file that vanished: no reason to stop serving.
            log.exception("reload failed")
            self._refuse_reload(repr(error))
        else:
            log.info("reloaded")
            notify(READY)

    def _refuse_reload(self, reason: str) -> None:
        log.error("reload failed: %s", reason)
        notify(READY, f"STATUS=reload failed: {reason}")
        self._service.reload_failed(reason)

    def _start_upgrade(self) -> None:
        if not self._is_open or self._n_stops or self._upgrade or self._reloading:
            log.error("upgrade refused: a start, a stop, a reload or an upgrade is under way")
            return
        if os.getpid() == 1:
            log.error("upgrade refused: the end of process 1 ends its container")
            return
        loop = self._server.loop
        fd, ready_fd = os.pipe()
        try:
            pid = successor.start(self._listeners, ready_fd)
        except OSError as error:
            os.close(fd)
            log.error("upgrade failed cause=%s", error.strerror)
            return
        finally:
            os.close(ready_fd)
        timer = loop.call_later(UPGRADE_S, self._upgrade_is_late)
        self._upgrade = upgrade = _Upgrade(pid, fd, timer.cancel)
        loop.watch(fd, select.EPOLLIN, lambda _events: self._upgrade_says(upgrade))
        log.info("upgrade started pid=%d", pid)

    def _upgrade_is_late(self) -> None:
        if self._upgrade:
            log.error("upgrade not ready pid=%d after_s=%d", self._upgrade.pid, UPGRADE_S)
            os.kill(self._upgrade.pid, signal.SIGKILL)      # whose end then ends the upgrade

    def _upgrade_says(self, upgrade: _Upgrade) -> None:
        is_good = bool(os.read(upgrade.fd, 100))
        self._server.loop.unwatch(upgrade.fd)
        self._end_upgrade(upgrade)
        if is_good:
            self._listeners.disown_files()
            self._n_stops += 1
            self._drain()
            log.info("upgrade ready, draining")     # whoever reads this finds that we accept no more
            return
        # What closes this pipe is its end, so we do not wait long.
        os.kill(upgrade.pid, signal.SIGKILL)
        _, status = os.waitpid(upgrade.pid, 0)
        log.error("upgrade failed pid=%d cause=%s", upgrade.pid, cause_of(os.waitstatus_to_exitcode(status)))
        try:
            self._pid_file.write()      # it may have got as far as that
        except ConfigError as error:
            log.error("%s", error)

    def _end_upgrade(self, upgrade: _Upgrade) -> None:
        upgrade.give_up()
        os.close(upgrade.fd)
        self._upgrade = None


@contextmanager
def _signals(handlers: Mapping[int, Callable[[int, object], None]]) -> Iterator[None]:
    """Have these handlers wherever the loop has none of its own: before it runs, and behind it."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    # Whoever started us may have had them blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_unread(fd: int) -> bool:
    """Whether nobody is left who could read the pipe `fd`."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _nothing(_number: int, _frame: object) -> None:
    pass


def _arm(_number: int, _frame: object) -> None:
    """Whoever stops us once more means it."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)

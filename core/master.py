"""The master: forks workers, replaces the dead, reloads, drains, upgrades the binary.

    HUP             load again: new workers take over, the old ones drain; a bad configuration changes nothing
    TERM QUIT INT   drain, then stop; a second one: stop now; a third: kill
    USR1            everybody reopens the logs
    USR2            start this program again, on the same sockets; drain once the new master is ready
"""
from __future__ import annotations

import gc
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from . import successor
from .crew import Crew, Generation, Plan, Slot
from .errors import ConfigError, HotpathError
from .exits import cause_of
from .listen import Listeners, name_of
from .notices import Notices
from .notify import READY, STOPPING, notify, reloading
from .pidfile import PidFile
from .worker import START_S, WorkerContext, live

__all__ = ["Generation", "Listeners", "Master", "Plan", "Service", "WorkerContext", "run"]

log = logging.getLogger(__name__)

# A new master that is not ready by then is killed, and the old one stays.
UPGRADE_S = float(START_S)


class Service(Protocol):
    """A program that runs under a master."""

    def load(self, listeners: Listeners) -> Generation:
        """Read the configuration, bind through `listeners`, make what workers share.

        Called at the start and at every reload. Raises ConfigError or ListenError; what was bound then is closed
        again, and on a reload the generation before stays.
        """
        ...

    def reload_failed(self, reason: str) -> None:
        """A reload changed nothing, and why: count it. The log has it already."""

    def reopen_logs(self) -> None:
        """USR1: reopen what the master itself writes to."""


def run(service: Service) -> int:
    """Be the master of `service` until told to stop; answers the process's exit status.

    Raises what the first `load` raises. Call it from the main thread of a process that has no other: a fork copies
    only the thread that asks for it, and whatever locks the others hold stay locked.
    """
    return Master(service).run()


@dataclass(slots=True)
class _Upgrade:
    """A new master on its way up."""

    pid: int
    deadline_s: float


class Master:
    """One master process: its loop decides; a signal only leaves a byte for it."""

    def __init__(self, service: Service, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._pid = os.getpid()
        self._crews: list[Crew] = []            # all that have processes, or soon will
        self._current: Crew | None = None       # the one that serves; None: we are stopping
        self._rising: Crew | None = None        # the one that will serve once all of it is ready
        self._n_generations = 0
        self._reload_again = False              # HUP came while one was rising
        self._announced = False                 # the ready line is out
        self._status = 0
        self._pid_file = PidFile()
        self._upgrade: _Upgrade | None = None
        self._old_master_fd = successor.predecessor_fd(os.environ)
        self._listeners = Listeners.inherited(os.environ)
        self._notices = Notices()
        self._act: dict[int, Callable[[], None]] = {
            signal.SIGCHLD: self._reap,
            signal.SIGHUP: self._reload,
            signal.SIGTERM: self._stop,
            signal.SIGQUIT: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGUSR1: self._reopen_logs,
            signal.SIGUSR2: self._start_upgrade,
        }

    def run(self) -> int:
        """Serve. 0 after a clean stop; 1 when an upgrade to us came to nothing."""
        try:
            self._current = self._load()
            if self._old_master_fd < 0:
                self._pid_file.move(self._current.plan.pid_file)
            with self._notices.signals(self._act):
                self._serve()
            return self._status
        finally:
            self._close()

    def _close(self) -> None:
        self._pid_file.remove()
        self._listeners.close()
        self._notices.close()

    # The loop: what is missing, what is due, what has happened.

    def _serve(self) -> None:
        while self._crews:
            for crew in self._crews:
                for slot in crew.due(self._clock()):
                    self._fork(crew, slot)
            self._notices.wait(self._timeout_s())
            # Ready lines before deaths: a worker that was ready and then died has been ready.
            for pid in self._notices.ready_pids():
                self._is_ready(pid)
            for number in self._notices.signal_numbers():
                self._act[number]()
            self._expire()
            self._retire()

    def _timeout_s(self) -> float | None:
        """Until the next deadline, restart or give-up."""
        times_s = [crew.next_s() for crew in self._crews]
        times_s.append(self._upgrade.deadline_s if self._upgrade else None)
        next_s = min((time_s for time_s in times_s if time_s is not None), default=math.inf)
        return None if next_s == math.inf else next_s - self._clock()

    def _expire(self) -> None:
        now_s = self._clock()
        for crew in self._crews:
            if crew.is_leaving and crew.deadline_s is not None and crew.deadline_s <= now_s:
                crew.step_down(now_s)
                log.warning("drain too slow generation=%d now=%s", crew.number, crew.phase.name.lower())
        if self._upgrade and self._upgrade.deadline_s <= now_s:
            log.error("upgrade not ready pid=%d after_s=%d", self._upgrade.pid, UPGRADE_S)
            # Its death, not this, ends the upgrade. Workers it already has serve what they took, then end.
            os.kill(self._upgrade.pid, signal.SIGKILL)
            self._upgrade.deadline_s = math.inf

    def _retire(self) -> None:
        for crew in [crew for crew in self._crews if crew.is_leaving and crew.is_empty]:
            self._crews.remove(crew)
            crew.generation.retired()

    # Processes: born, ready, dead.

    def _load(self) -> Crew:
        self._n_generations += 1
        crew = Crew(self._service.load(self._listeners), self._n_generations)
        self._crews.append(crew)
        # What lives now is never looked at by a worker's collector, so its pages stay shared. Collected first: frozen
        # garbage would stay for ever. What is frozen at the first load is so by whoever called us, and is theirs.
        if self._n_generations > 1:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        return crew

    def _fork(self, crew: Crew, slot: Slot) -> None:
        # Blocked until the child has handlers of its own: with ours, a signal to it would leave its byte in our queue.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._act)
        try:
            pid = os.fork()
            if pid == 0:
                context = WorkerContext(index=slot.index, name=slot.name, sockets=crew.plan.sockets,
                                        drain_s=crew.plan.drain_s, ready_fd=self._notices.ready_end)
                live(context, slot.run, shed=lambda: self._shed(crew), master_pid=self._pid, identity=crew.identity)
        except OSError as error:
            pid = 0
            log.error("cannot fork name=%s cause=%s", slot.name, error.strerror)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._act)
        slot.filled(pid, self._clock())
        if not pid:
            slot.emptied(self._clock())

    def _shed(self, crew: Crew) -> None:
        """In the child: let go of what is the master's."""
        self._notices.leave()
        if self._old_master_fd >= 0:
            os.close(self._old_master_fd)
        # Neither what other generations hold: a log that was rotated away would keep its disk space.
        self._current = self._rising = None
        self._crews[:] = [crew]
        # An address of another generation, kept open here, would take connections that nobody accepts.
        self._listeners.disown_files()
        self._listeners.retain(crew.plan.sockets)

    def _is_ready(self, pid: int) -> None:
        if self._upgrade and pid == self._upgrade.pid:
            self._hand_over()
            return
        for crew in self._crews:
            slot = crew.slot_of(pid)
            if slot is not None and crew.ready(slot):
                self._take_over(crew)
                return

    def _take_over(self, crew: Crew) -> None:
        """All of `crew` is ready: it is the one that serves."""
        if crew is self._rising:
            if self._current is not None:
                self._current.step_down(self._clock())
            self._current, self._rising = crew, None
            log.info("reloaded generation=%d", crew.number)
            notify(READY)
        if self._old_master_fd >= 0:
            self._listeners.own_files()
        self._listeners.retain(crew.plan.sockets)
        with logged():
            self._pid_file.move(crew.plan.pid_file)
        if not self._announced:
            self._announce(crew.plan)
        self._reload_if_asked()

    def _announce(self, plan: Plan) -> None:
        self._announced = True
        who = [f"pid {self._pid}", *map(name_of, plan.sockets)]
        # Whoever read our stderr may be gone; the service goes on.
        with suppress(OSError):
            print("ready:", ", ".join(who), file=sys.stderr, flush=True)
        if self._old_master_fd >= 0:
            # The old master may be gone as well: then there is nothing to take over but its sockets, and we have them.
            with suppress(BrokenPipeError):
                os.write(self._old_master_fd, b"%d\n" % self._pid)
            os.close(self._old_master_fd)
            self._old_master_fd = -1
        else:
            notify(READY)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._died(pid, cause_of(os.waitstatus_to_exitcode(status)))

    def _died(self, pid: int, cause: str) -> None:
        if self._upgrade and pid == self._upgrade.pid:
            self._upgrade = None
            log.error("upgrade failed pid=%d cause=%s", pid, cause)
            with logged():
                self._pid_file.write()      # it may have got as far as that
            return
        for crew in self._crews:
            slot = crew.slot_of(pid)
            if slot is not None:
                self._lost(crew, slot, cause)
                return

    def _lost(self, crew: Crew, slot: Slot, cause: str) -> None:
        pid = slot.pid
        slot.emptied(self._clock())
        if slot.is_worker:
            crew.generation.worker_died(slot.index)
        if crew.is_leaving:
            log.info("worker ended name=%s pid=%d cause=%s", slot.name, pid, cause)
        elif crew is self._rising:
            self._abandon(crew, f"{slot.name} did not start: {cause}")
        elif self._old_master_fd >= 0:
            log.error("upgrade given up: %s did not start: %s", slot.name, cause)
            self._status = 1
            self._drain()
        else:
            log.error("worker died name=%s pid=%d cause=%s again_s=%.1f", slot.name, pid, cause, slot.pause_s)

    # What signals ask for.

    def _reload(self) -> None:
        if self._current is None:
            return
        if self._upgrade:
            # The new master has been given its sockets; ours must stay the same until it is ready or gone.
            self._refuse_reload("an upgrade is under way")
            return
        if self._rising is not None:
            self._reload_again = True
            return
        reloading()
        try:
            self._rising = self._load()
        except HotpathError as error:
            self._refuse_reload(str(error))
        except Exception as error:
            # A fault of ours, or a file that vanished under load(): no reason to stop serving.
            log.exception("load failed")
            self._refuse_reload(repr(error))

    def _refuse_reload(self, reason: str) -> None:
        log.error("reload failed: %s", reason)
        if self._current is not None:
            self._listeners.retain(self._current.plan.sockets)
            notify(READY, f"STATUS=reload failed: {reason}")
        self._service.reload_failed(reason)

    def _abandon(self, crew: Crew, reason: str) -> None:
        self._rising = None
        # Those of it that were ready may have taken connections: they finish them.
        crew.step_down(self._clock())
        self._refuse_reload(reason)
        self._reload_if_asked()

    def _reload_if_asked(self) -> None:
        if self._reload_again:
            self._reload_again = False
            self._reload()

    def _stop(self) -> None:
        if self._current is not None:
            log.info("stopping")
            notify(STOPPING)
            if self._upgrade:
                os.kill(self._upgrade.pid, signal.SIGTERM)
            self._drain()
            return
        for crew in self._crews:
            crew.step_down(self._clock())

    def _drain(self) -> None:
        self._current = self._rising = None
        # Before the workers let go of theirs: ours would keep taking connections that nobody accepts.
        self._listeners.close()
        for crew in self._crews:
            if not crew.is_leaving:
                crew.step_down(self._clock())

    def _reopen_logs(self) -> None:
        self._service.reopen_logs()
        for crew in self._crews:
            crew.send(signal.SIGUSR1)

    def _start_upgrade(self) -> None:
        if self._current is None or self._rising or self._upgrade or not self._announced:
            log.error("upgrade refused: a start, a stop, a reload or an upgrade is under way")
            return
        if self._pid == 1:
            log.error("upgrade refused: the end of process 1 ends its container")
            return
        try:
            pid = successor.start(self._listeners, self._notices.ready_end)
        except OSError as error:
            log.error("upgrade failed cause=%s", error.strerror)
            return
        self._upgrade = _Upgrade(pid, self._clock() + UPGRADE_S)
        log.info("upgrade started pid=%d", pid)

    def _hand_over(self) -> None:
        log.info("upgrade ready, draining")
        self._upgrade = None
        self._listeners.disown_files()
        self._drain()


@contextmanager
def logged() -> Iterator[None]:
    """At the start a bad pid file is an error; later it is no reason to stop serving."""
    try:
        yield
    except ConfigError as error:
        log.error("%s", error)

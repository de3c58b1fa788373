"""The child's side of the fork: what a process gets from its master, and what it owes it."""
from __future__ import annotations

import logging
import os
import pwd
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from .errors import ConfigError
from .net.linux import die_with_parent

log = logging.getLogger(__name__)

# Both mean: finish what you have, then end. QUIT comes from the master, TERM also from the kernel when the master dies.
DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGQUIT)

# Flush what must not be lost and end at once: the drain deadline has passed, or the operator asked twice. Nobody sends
# ALRM by accident (terminals and systemd do send INT, QUIT and TERM to whole groups), and unhandled it ends a process.
TIME_IS_UP = signal.SIGALRM

# Held back from the fork until `ready()`, so that a worker's own handlers get them and none is lost.
HELD_SIGNALS = (*DRAIN_SIGNALS, signal.SIGUSR1)

# The master's own business; a terminal sends INT and HUP to all of us.
MASTERS_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR2)

# A process that has not called `ready()` by then is stuck, and ends: it would hold up a reload for ever.
START_S = 30

# From TIME_IS_UP to SIGKILL: enough to write a log buffer out.
GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to become after the fork."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def of(cls, user: str) -> Identity:
        """The ids of `user`; ConfigError when there is no such user, or we may not become it."""
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise ConfigError("", 0, "user", f"no user is called {user!r}") from None
        if os.geteuid() != 0 and os.geteuid() != entry.pw_uid:
            raise ConfigError("", 0, "user", f"only root can start workers as {user!r}")
        return cls(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(user, entry.pw_gid)))

    def assume(self) -> None:
        """Become it for good: groups first, because afterwards we no longer may."""
        if os.geteuid() == 0:
            os.setgroups(self.groups)
            os.setgid(self.gid)
            os.setuid(self.uid)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker or helper knows about itself.

    It installs handlers for DRAIN_SIGNALS (stop accepting, finish, return; a second one changes nothing) and SIGUSR1
    (reopen logs), and, if it has something to flush, TIME_IS_UP; then it calls `ready()`. Until then those signals
    wait. To return, or to raise, ends the process.
    """

    index: int                          # workers count from 0, helpers go on after them
    name: str                           # "worker-0", or the helper's name: for logs
    sockets: Sequence[socket.socket]    # every socket of this generation, listening and non-blocking
    drain_s: float
    ready_fd: int                       # the master's pipe; owned until `ready()` closes it

    def ready(self) -> None:
        """Tell the master that this process serves. Call it once, handlers installed, before starting threads."""
        signal.alarm(0)
        # A dead master does not read; the kernel's TERM is already waiting for us below.
        with suppress(BrokenPipeError):
            os.write(self.ready_fd, b"%d\n" % os.getpid())
        os.close(self.ready_fd)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)

    def limit_drain(self) -> None:
        """Call when the drain begins: TIME_IS_UP comes at its deadline even if no master lives to send it."""
        signal.setitimer(signal.ITIMER_REAL, max(self.drain_s, 0.001))


def live(context: WorkerContext, run: Callable[[WorkerContext], None], *, shed: Callable[[], None], master_pid: int,
         identity: Identity | None) -> NoReturn:
    """Be the child: `shed` what is the master's, settle in, `run`, end.

    Called right after the fork, while every signal is still blocked.
    """
    status = 1
    try:
        shed()
        _settle(master_pid, identity)
        run(context)
        status = 0
    except SystemExit as request:
        status = request.code if isinstance(request.code, int) else int(request.code is not None)
    except BaseException:
        log.exception("worker failed name=%s pid=%d", context.name, os.getpid())
    finally:
        # Not sys.exit: what the master registered with atexit is the master's. A broken stderr is nobody's to tell.
        with suppress(Exception):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _settle(master_pid: int, identity: Identity | None) -> None:
    for number in MASTERS_SIGNALS:
        # Not SIG_IGN, which an exec inherits: a shell that a worker starts must hear Ctrl-C.
        signal.signal(number, _nothing)
    for number in (*HELD_SIGNALS, signal.SIGCHLD, TIME_IS_UP):
        signal.signal(number, signal.SIG_DFL)
    if identity is not None:
        identity.assume()
    # After the change of user, which makes the kernel forget it.
    die_with_parent(signal.SIGTERM)
    if os.getppid() != master_pid:
        # The master died before we could ask to be told.
        raise SystemExit(1)
    signal.alarm(START_S)
    signal.pthread_sigmask(signal.SIG_SETMASK, HELD_SIGNALS)


def _nothing(_number: int, _frame: object) -> None:
    pass

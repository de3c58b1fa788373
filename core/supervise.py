"""Keeping child processes running: one log, restarts with a pause that grows, and nobody left behind.

One thread and one selector, so that forking is safe and each event has one place. Handlers note, `turn` acts.
"""
from __future__ import annotations

import errno
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType, TracebackType
from typing import IO, Self

from .exits import cause_of
from .net.linux import die_with_parent
from .notify import VARIABLE as NOTIFY_VARIABLE

log = logging.getLogger(__name__)

# A child that dies at once is started again after 0.2 s, then twice as late each time; one that lived 10 s after 0.1 s.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
FORGIVEN_AFTER_S = 10.0
# A line longer than this is cut: a child that never ends its line must not fill our memory.
MAX_LINE_BYTES = 16 * 1024
# No process, memory or descriptor left: perhaps later. The other parts go on meanwhile.
SCARCE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True)
class Part:
    """A process to keep: what it is called in the log, and how it is started."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)    # beside our own
    pass_fds: Sequence[int] = ()


class Child:
    """A part, and the process that is it at the moment, if there is one."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self.unfinished = b""       # of its output: a line without its end
        self.restarts = 0
        self.last_status = 0        # of its last process that ended by itself; negative: the signal
        self.started_s = 0.0        # on the monotonic clock, as due_s
        self.due_s = 0.0            # when to start it; while it runs: nothing
        self.pause_s = FIRST_PAUSE_S


class Supervisor:
    """Runs parts from `with` to its end.

    SIGINT, SIGTERM and SIGHUP set `stopping`; a second one ends the children at once.
    `write` takes each whole line of the children, their name in front. `now_s` is a monotonic clock.
    """

    def __init__(self, parts: Sequence[Part], *, write: Callable[[str], None],
                 now_s: Callable[[], float] = time.monotonic) -> None:
        self.children = [Child(part) for part in parts]
        self.stopping = False
        self._write = write
        self._now_s = now_s
        self._selector = selectors.DefaultSelector()
        self._n_signals = 0
        self._width = max(len(part.name) for part in parts)

    def __enter__(self) -> Self:
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        # Python writes the signal's number to the pipe at once, so a signal between two turns is not slept over.
        self._old_wakeup = signal.set_wakeup_fd(self._woken)
        # What is ignored was ignored on purpose: nohup and shell scripts do that before they start us.
        self._old_handlers = {number: signal.signal(number, self._note)
                              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
                              if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGCHLD}
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None,
                 _trace: TracebackType | None) -> None:
        self._n_signals = 0
        for child in self.children:
            self._kill_group(child)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.stopping = True
            self._n_signals += 1

    def turn(self, wait_s: float) -> None:
        """Start what is due, then wait up to `wait_s` for output, deaths and signals, and see to them."""
        now_s = self._now_s()
        for child in self.children:
            if child.process is None and not self.stopping:
                if child.due_s <= now_s:
                    self._start(child)
                else:
                    wait_s = min(wait_s, child.due_s - now_s)
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            else:
                self._read(key.data)
        for child in self.children:
            self._reap(child)

    def stop(self, within_s: float, *, last: Collection[str] = ()) -> None:
        """Ask every child to end, and kill what has not ended `within_s` later, or when a second signal comes.

        The parts named in `last` are asked when all others have ended.
        """
        self.stopping = True
        n_signals = self._n_signals
        deadline_s = self._now_s() + within_s
        for children in ([child for child in self.children if (child.part.name in last) == late]
                         for late in (False, True)):
            for child in children:
                if child.process is not None:
                    child.process.terminate()
            while any(child.process for child in children) and self._n_signals <= max(n_signals, 1):
                left_s = deadline_s - self._now_s()
                if left_s <= 0:
                    break
                self.turn(left_s)
        for child in self.children:
            self._kill_group(child)

    def _start(self, child: Child) -> None:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **child.part.env}
        # Whether all of us are ready is not a part's to say.
        env.pop(NOTIFY_VARIABLE, None)
        try:
            child.process = subprocess.Popen(
                child.part.command, env=env,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=child.part.pass_fds,
                # Its own session: Ctrl-C reaches us alone, and we end the parts in order.
                start_new_session=True, preexec_fn=partial(_die_with_parent, os.getpid()))
        except OSError as error:
            if error.errno not in SCARCE:
                raise
            child.pause_s = min(2 * child.pause_s, LONGEST_PAUSE_S)
            child.due_s = self._now_s() + child.pause_s
            log.error("part=%s cannot start cause=%s again_s=%.1f", child.part.name, error.strerror, child.pause_s)
            return
        child.started_s = self._now_s()
        os.set_blocking(_output(child).fileno(), False)
        self._selector.register(_output(child), selectors.EVENT_READ, child)

    def _read(self, child: Child) -> None:
        """Pass on the whole lines among what it wrote."""
        with suppress(BlockingIOError):
            piece = os.read(_output(child).fileno(), 65536)
            if not piece:
                # End of output is not the end of the process: SIGCHLD tells that.
                self._selector.unregister(_output(child))
            *lines, child.unfinished = (child.unfinished + piece).split(b"\n")
            if len(child.unfinished) > MAX_LINE_BYTES or (child.unfinished and not piece):
                lines.append(child.unfinished)
                child.unfinished = b""
            for line in lines:
                self._pass_on(child, line)

    def _pass_on(self, child: Child, line: bytes) -> None:
        self._write(f"{child.part.name:{self._width}} | {line[:MAX_LINE_BYTES].decode(errors='replace')}")

    def _reap(self, child: Child) -> None:
        """If it died: say so, end what it left behind, and settle when it starts again."""
        if child.process is None or child.process.poll() is None:
            return
        child.last_status = child.process.returncode
        lived_s = self._now_s() - child.started_s
        self._kill_group(child)
        if self.stopping:
            return
        child.pause_s = FIRST_PAUSE_S if lived_s >= FORGIVEN_AFTER_S else min(2 * child.pause_s, LONGEST_PAUSE_S)
        child.due_s = self._now_s() + child.pause_s
        child.restarts += 1
        log.warning("part=%s ended=%s lived_s=%.1f restart_in_s=%.1f",
                    child.part.name, cause_of(child.last_status), lived_s, child.pause_s)

    def _kill_group(self, child: Child) -> None:
        """End whatever is left of its process group, and pass on its last words."""
        if child.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        if _output(child) in self._selector.get_map():
            self._read(child)
        if child.unfinished:        # the next process must not end this line
            self._pass_on(child, child.unfinished)
            child.unfinished = b""
        with suppress(KeyError):
            self._selector.unregister(_output(child))
        _output(child).close()
        child.process = None


def _output(child: Child) -> IO[bytes]:
    assert child.process is not None
    assert child.process.stdout is not None
    return child.process.stdout


def _die_with_parent(parent: int) -> None:
    """Between fork and exec: have the kernel end this process with us, even when we are killed with -9."""
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:      # it died before that line
        os._exit(1)

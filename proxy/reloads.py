"""Reloads: what became of them, and how a process that is not the master asks for one."""
from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress

from hotpath.core.data.shared import Block, Counters
from hotpath.core.tasks import sleep

# The longest reason that is passed on.
MAX_REASON_BYTES = 4096
# How long whoever asked waits for the verdict: names of servers are asked for at every load.
VERDICT_S = 10.0
POLL_S = 0.02

OK, FAILED = 0, 1


class Reloads:
    """Shared by the master, which makes it, and every process it forks."""

    def __init__(self) -> None:
        """In the master.

        The pipe is a bell: what is written to it sends HUP to its owner, with the owner's rights. A process that has
        become another user may not signal the master, but may ring.
        """
        self._counts = Counters(("ok", "failed"), 1)
        self._reason = Block(MAX_REASON_BYTES)
        self._heard, self._bell = os.pipe()
        os.set_blocking(self._heard, False)
        fcntl.fcntl(self._heard, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._heard, fcntl.F_SETSIG, signal.SIGHUP)
        fcntl.fcntl(self._heard, fcntl.F_SETFL, fcntl.fcntl(self._heard, fcntl.F_GETFL) | os.O_ASYNC)

    def __del__(self) -> None:
        """Give the descriptors back."""
        os.close(self._heard)
        os.close(self._bell)

    @property
    def n_ok(self) -> int:
        """Configurations taken since the first."""
        return self._counts.total(OK)

    @property
    def n_failed(self) -> int:
        """Configurations refused."""
        return self._counts.total(FAILED)

    def taken(self) -> None:
        """In the master: one more."""
        self._count(OK)

    def refused(self, reason: str) -> None:
        """In the master: one more, and why."""
        text = reason.encode(errors="replace")[:MAX_REASON_BYTES]
        self._reason.memory[:] = text.ljust(MAX_REASON_BYTES, b"\0")
        self._count(FAILED)

    def _count(self, which: int) -> None:
        self._counts.worker = 0
        self._counts.add(which, 1)

    def ask(self) -> str | None:
        """In a task of any process: ask the master to reload; why it refused, None if it did not, so far.

        The master is the judge: it alone may read every file that the configuration names, and it alone binds.
        """
        n_ok, n_failed = self.n_ok, self.n_failed
        os.write(self._bell, b"!")
        with suppress(BlockingIOError):     # another one who asks has read it
            os.read(self._heard, 64)        # HUP is on its way; nobody reads here
        waited_s = 0.0
        while self.n_ok == n_ok and waited_s < VERDICT_S:
            if self.n_failed != n_failed:
                return bytes(self._reason.memory).rstrip(b"\0").decode(errors="replace")
            sleep(POLL_S)
            waited_s += POLL_S
        return None

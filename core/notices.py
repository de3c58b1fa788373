"""What a master waits for: signals, and processes that say they are ready."""
from __future__ import annotations

import math
import os
import select
import signal
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Notices:
    """Two queues that one poll() watches. Handlers and processes only write to them; the master's loop acts."""

    def __init__(self) -> None:
        self._wake, self._wake_end = socket.socketpair()
        self._wake.setblocking(False)
        self._wake_end.setblocking(False)
        # Every process writes one line, "PID\n": so short that the pipe keeps it whole.
        self._ready_fd, self.ready_end = os.pipe()
        os.set_blocking(self._ready_fd, False)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(self._ready_fd, select.POLLIN)

    @contextmanager
    def signals(self, numbers: Collection[int]) -> Iterator[None]:
        """Note these signals while the block runs: Python's own handler writes the number of each into `_wake`."""
        signal.set_wakeup_fd(self._wake_end.fileno())
        before = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
        # Whoever started us may have had them blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(-1)

    def wait(self, timeout_s: float | None) -> None:
        """Return when there is something to read, or after `timeout_s`; None: whenever."""
        # Rounded up: woken a fraction early, the master would find nothing due and spin.
        self._poll.poll(None if timeout_s is None else max(0, math.ceil(timeout_s * 1000)))

    def ready_pids(self) -> list[int]:
        """Who said so since the last time."""
        try:
            # All that the pipe can hold: no line is cut.
            return [int(line) for line in os.read(self._ready_fd, 65536).split()]
        except BlockingIOError:
            return []

    def signal_numbers(self) -> bytes:
        """What came since the last time, in order."""
        try:
            return self._wake.recv(4096)
        except BlockingIOError:
            return b""

    def leave(self) -> None:
        """In a child: let go of all but `ready_end`. A signal of ours must not look like the master's."""
        signal.set_wakeup_fd(-1)
        self._wake.close()
        self._wake_end.close()
        os.close(self._ready_fd)

    def close(self) -> None:
        """In the master, at its end."""
        self.leave()
        os.close(self.ready_end)

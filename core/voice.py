"""Standard output where several processes speak: whoever does not read it holds up nobody."""
from __future__ import annotations

import logging
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager


class Voice:
    """Writes lines, and drops what would have to wait; only a line above PIPE_BUF may be cut by that."""

    def __init__(self, fd: int) -> None:
        """`fd`: a terminal, a pipe, a file."""
        self.is_alone = False       # the reader has gone: nobody will ever hear us
        self._fd = fd
        self._n_dropped = 0
        self._is_cut = False        # what was written last ends within a line
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def say(self, line: str) -> None:
        """A line, or several; dropped when it would have to wait."""
        if self._n_dropped:
            line = f"({self._n_dropped} lines dropped: nobody read them)\n{line}"
        if self._is_cut:
            line = f"\n{line}"
        data = f"{line}\n".encode(errors="replace")
        for start in range(0, len(data), select.PIPE_BUF):
            # A pipe that can be written to at all takes that much without waiting (pipe(7)).
            events = next((events for _, events in self._poll.poll(0)), 0)
            if not events & select.POLLOUT:
                # A full pipe that nobody holds any more is in error and never ready: no write would tell us.
                self.is_alone = bool(events & select.POLLERR)
                self._n_dropped += 1
                return
            try:
                os.write(self._fd, data[start:start + select.PIPE_BUF])
                self._is_cut = start + select.PIPE_BUF < len(data)
            except OSError as error:        # a closed pipe, a full disk
                self.is_alone = isinstance(error, BrokenPipeError)
                self._n_dropped += 1
                return
        self._n_dropped = 0

    @contextmanager
    def logging(self, prefix: str) -> Iterator[None]:
        """Send this process's own log there, `prefix` before each line."""
        handler = _Handler(self)
        handler.setFormatter(logging.Formatter(f"{prefix}%(message)s"))
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        self._voice.say(self.format(record))

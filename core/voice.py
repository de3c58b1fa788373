"""Standard output where several processes speak: whoever does not read it holds up nobody."""
from __future__ import annotations

import logging
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager


class Voice:
    """Writes whole lines, and drops what would have to wait."""

    def __init__(self, fd: int) -> None:
        """`fd`: a terminal, a pipe, a file."""
        self.is_alone = False       # the reader has gone: nobody will ever hear us
        self._fd = fd
        self._n_dropped = 0
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def say(self, line: str) -> None:
        """A line, or several; dropped when it would have to wait."""
        if self._n_dropped:
            line = f"({self._n_dropped} lines dropped: nobody read them)\n{line}"
        data = f"{line}\n".encode(errors="replace")
        for start in range(0, len(data), select.PIPE_BUF):
            # A pipe that can be written to at all takes that much without waiting (pipe(7)).
            if not any(events & select.POLLOUT for _, events in self._poll.poll(0)):
                self._n_dropped += 1
                return
            try:
                os.write(self._fd, data[start:start + select.PIPE_BUF])
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

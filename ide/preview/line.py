"""One side of a relay: a stream that a task reads and writes straight on, and that never holds much."""
from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import Callable

from hotpath.core.net.loop import Timer
from hotpath.core.net.stream import Stream
from hotpath.core.tasks import Event, timeout
from hotpath.core.wire import http1

# Read from the kernel and not yet taken: then the peer has to wait.
MAX_WAITING = 128 * 1024
HIGH_WATER, LOW_WATER = 256 * 1024, 64 * 1024
LINGER_S = 2.0
# While the peer has to wait, its end is not read; so we look whether it is still there.
LOOK_S = 1.0
GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Line:
    """A stream; what arrives is kept until a task asks for it."""

    def __init__(self, stream: Stream) -> None:
        """Takes the stream over."""
        self.stream = stream
        self.ended = False                  # the peer sends no more
        self.on_gone: Callable[[], None] | None = None      # it ended, or broke, while nobody reads
        self._waiting: deque[bytes] = deque()
        self._n_waiting = 0
        self._error: OSError | None = None
        self._closed = False
        self._left = False                  # seen to have gone while it waited
        self._looking: Timer | None = None
        self._readable = Event()
        self._drained = Event()
        stream.on_data, stream.on_end, stream.on_drain, stream.on_close = (
            self._take, self._end, self._drain, self._close)
        stream.set_water(high=HIGH_WATER, low=LOW_WATER)

    def read(self, within_s: float | None = None) -> bytes:
        """In a task: what came; empty at the end. OSError, TimeoutError."""
        if not self._waiting and not self.ended and not self._closed:
            self._readable.clear()
            with timeout(within_s):
                self._readable.wait()
        if self._waiting:
            piece = self._waiting.popleft()
            self._n_waiting -= len(piece)
            if self._looking is not None and self._n_waiting < MAX_WAITING:
                self._looking.cancel()
                self._looking = None
                self.stream.resume()
            return piece
        if self.ended and not self._error:
            return b""
        raise self._error or ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))

    def write(self, data: bytes, within_s: float | None = None) -> None:
        """In a task: send it, and wait while the peer takes too little. OSError, TimeoutError."""
        if self._closed:
            raise self._error or ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        self._drained.clear()
        if data and not self.stream.write(data) and not self._closed:
            with timeout(within_s):
                self._drained.wait()

    def shut(self) -> None:
        """No more will be written."""
        if not self._closed:
            self.stream.shut()

    def close(self, *, politely: bool = False) -> None:
        """End it; `politely`: what was written arrives before, if the peer takes it."""
        self.on_gone = None
        self.stream.close(LINGER_S if politely else 0.0)
        self._closed = True
        self._readable.set()
        self._drained.set()

    @property
    def closed(self) -> bool:
        """It was closed, by whoever."""
        return self._closed

    @property
    def is_gone(self) -> bool:
        """Nobody is there any more to read an answer."""
        return self.ended or self._closed or self._left

    @property
    def is_empty(self) -> bool:
        """Nothing waits, and the peer has not ended."""
        return not self._waiting and not self.ended and not self._closed

    def _take(self, stream: Stream, data: bytes) -> None:
        self._waiting.append(data)
        self._n_waiting += len(data)
        if self._n_waiting >= MAX_WAITING and self._looking is None:
            stream.pause()
            self._looking = stream.loop.call_later(LOOK_S, self._look)
        self._readable.set()

    def _end(self, _stream: Stream) -> None:
        self.ended = True
        self._readable.set()
        self._tell()

    def _look(self) -> None:
        if self._closed:
            return
        poll = select.poll()
        poll.register(self.stream.fileno(), select.POLLRDHUP)
        if any(events & GONE for _, events in poll.poll(0)):
            self._left = True
            self._tell()
        else:
            self._looking = self.stream.loop.call_later(LOOK_S, self._look)

    def _drain(self, _stream: Stream) -> None:
        self._drained.set()

    def _close(self, _stream: Stream, error: OSError | None) -> None:
        self._closed, self._error = True, error
        if self._looking is not None:
            self._looking.cancel()
        self._readable.set()
        self._drained.set()
        self._tell()

    def _tell(self) -> None:
        if self.on_gone is not None:
            gone, self.on_gone = self.on_gone, None
            gone()


class HttpLine(Line):
    """A line that speaks HTTP/1.1, in either role."""

    def __init__(self, stream: Stream, role: type[http1.CLIENT] | type[http1.SERVER]) -> None:
        """`role`: ours."""
        super().__init__(stream)
        self.http = http1.Connection(role)

    def next(self, within_s: float | None = None) -> http1.Event:
        """In a task: the next event; `within_s` for each piece. OSError, TimeoutError, RemoteProtocolError."""
        while isinstance(event := self.http.next_event(), type):
            if event is http1.PAUSED:
                raise ConnectionAbortedError(errno.ECONNABORTED, "it says more than was asked")
            self.http.receive_data(self.read(within_s))
        return event

    def send(self, event: http1.Event, within_s: float | None = None) -> None:
        """In a task."""
        data = self.http.send(event)
        if data:
            self.write(data, within_s)

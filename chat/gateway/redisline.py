"""A connection to Redis that comes back by itself: commands go out, bytes come in, nobody waits."""
from __future__ import annotations

import errno
import logging
import os
import random
import socket
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream
from hotpath.core.tasks import Event, offload, sleep, timeout

log = logging.getLogger(__name__)

# A Redis that is stopped, or behind a cut cable, keeps its connections: one that says nothing for so long is left.
PING_EVERY_S = 1.0
SILENT_S = 3.0
CONNECT_S = 2.0
# Between tries, with full jitter. A Redis that comes back is found within that; what was missed is read meanwhile.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5
LASTED_S = 1.0
# Unsent beyond it, whatever may be lost is not written: Redis does not keep up.
MAX_UNSENT = 4 * 1024 * 1024


def command(*words: str | bytes) -> bytes:
    """A command as Redis reads it (RESP2)."""
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode() if isinstance(word, str) else word
        pieces.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(pieces)


PING = command("PING")


class RedisLine:
    """One connection, made again whenever it is lost. All of it happens in the loop.

    `on_up()`: it can be written to, and nothing of what an earlier one was told holds. `on_data(bytes)`: what comes
    behind the greeting. `on_down()`: it is gone.
    """

    def __init__(
        self, loop: Loop, url: Callable[[], str], *, on_up: Callable[[], object],
        on_data: Callable[[bytes], object], on_down: Callable[[], object]
    ) -> None:
        """`url` is asked before each try: redis://[[USER]:PASSWORD@]HOST:PORT[/N]."""
        self._loop = loop
        self._url = url
        self._on_up, self._on_data, self._on_down = on_up, on_data, on_down
        self._stream: Stream | None = None
        self._ended = Event()           # this connection is over
        self._decided = Event()         # it is up, or over
        self._heard_s = 0.0
        self._greeting = b""            # of the answers to AUTH and SELECT, as far as they have come
        self._n_greetings = 0           # of those answers, still to come
        self.is_up = False
        self.is_ending = False          # the process ends: that it is lost is no news

    def write(self, data: bytes) -> bool:
        """Send it. False: the line is down, or does not keep up; nothing was sent."""
        stream = self._stream
        if stream is None or not self.is_up or stream.n_unsent > MAX_UNSENT:
            return False
        stream.write(data)
        return True

    def cut(self) -> None:
        """Leave this connection and make another one."""
        if self._stream is not None:
            self._stream.close()

    def run(self) -> None:
        """In a task, for ever."""
        attempt = 0
        while True:
            began_s = time.monotonic()
            cause = self._live()
            # One that lets us in and ends at once is no better than none.
            attempt = 0 if time.monotonic() - began_s > LASTED_S and cause is None else attempt + 1
            if attempt == 1 and cause is not None:
                log.warning("redis away cause=%s", cause)
            sleep(random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** attempt)))

    def _live(self) -> str | None:
        """One connection from its beginning to its end. Why there was none; None: there was."""
        self._ended, self._decided = Event(), Event()
        self._heard_s = time.monotonic()
        try:
            self._open()
            with timeout(CONNECT_S):
                self._decided.wait()
        except (OSError, ValueError, TimeoutError) as error:
            self._close()
            return str(error) or type(error).__name__
        if not self.is_up:
            self._close()
            return "it does not let us in"
        log.info("redis up")
        while not self._ended.is_set:
            try:
                with timeout(PING_EVERY_S):
                    self._ended.wait()
            except TimeoutError:
                if time.monotonic() - self._heard_s > SILENT_S:
                    log.warning("redis silent for_s=%g", SILENT_S)
                    break
                self.write(PING)
        self._close()
        return None

    def _open(self) -> None:
        parts = urlsplit(self._url())
        words: list[bytes] = []
        if parts.password:
            user = [unquote(parts.username)] if parts.username else []
            words.append(command("AUTH", *user, unquote(parts.password)))
        if parts.path.strip("/") not in ("", "0"):
            words.append(command("SELECT", parts.path.strip("/")))
        self._greeting, self._n_greetings = b"", len(words)
        family, kind, protocol, _, address = offload(
            socket.getaddrinfo, parts.hostname, parts.port or 6379, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            refused = sock.connect_ex(address)
            if refused not in (0, errno.EINPROGRESS):
                raise OSError(refused, os.strerror(refused))
            stream = Stream(self._loop, sock, connected=False)
        except BaseException:
            sock.close()
            raise
        self._stream = stream
        stream.on_open = lambda stream: self._opened(stream, b"".join(words))
        stream.on_data = self._heard
        stream.on_end = lambda stream: stream.close()
        stream.on_close = lambda stream, error: self._lost(stream)

    def _opened(self, stream: Stream, greeting: bytes) -> None:
        if stream is not self._stream:
            return
        if greeting:
            stream.write(greeting)
        else:
            self._be_up()

    def _heard(self, stream: Stream, data: bytes) -> None:
        if stream is not self._stream:
            return
        self._heard_s = time.monotonic()
        if self._n_greetings:
            data = self._greeted(stream, data)
        if data and self.is_up:
            self._on_data(data)

    def _greeted(self, stream: Stream, data: bytes) -> bytes:
        """Reads the answers to our first commands; what stands behind them."""
        data = self._greeting + data
        while self._n_greetings:
            line, end, rest = data.partition(b"\r\n")
            if not end:
                self._greeting = data
                return b""
            if line.startswith(b"-"):
                log.error("redis refuses us cause=%s", line[1:200].decode(errors="replace"))
                stream.close()
                return b""
            self._n_greetings -= 1
            data = rest
        self._be_up()
        return data

    def _be_up(self) -> None:
        self.is_up = True
        self._decided.set()
        self._on_up()

    def _lost(self, stream: Stream) -> None:
        if stream is self._stream:
            self._close()

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        was_up, self.is_up = self.is_up, False
        self._ended.set()
        self._decided.set()
        if was_up and not self.is_ending:
            log.warning("redis lost")
            self._on_down()

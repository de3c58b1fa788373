"""Active checks: does each server answer a request that is made only to find out?"""
from __future__ import annotations

import errno
import logging
import os
import random
import socket
import time
from collections.abc import Callable

from hotpath.core.errors import ProtocolError
from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream
from hotpath.core.tasks import Event, Task, sleep, spawn, timeout
from hotpath.core.wire import http1

from .config import ActiveHealth, ProxyConfig
from .roster import Roster, Server
from .state import Resolved

log = logging.getLogger(__name__)

# Of one answer. A head is bounded by the parser already; this bounds what stands before and behind it.
MAX_ANSWER_BYTES = 64 * 1024
# Of the interval, to either side: servers whose checks began together do not stay together.
JITTER = 0.1


class Health:
    """What the last checks in a row say."""

    def __init__(self, *, rise: int, fall: int) -> None:
        """`rise` good ones bring a server up, `fall` bad ones take it down. Until then it is up: a proxy that has just
        started must not answer 503 while it finds out what it will hear anyway. Passive health still watches.
        """
        self.is_down = False
        self._rise, self._fall = rise, fall
        self._n_in_a_row = 0        # of checks that speak against the present state

    def note(self, *, good: bool) -> bool:
        """One more check. Whether the state has changed by it."""
        if good != self.is_down:
            self._n_in_a_row = 0
            return False
        self._n_in_a_row += 1
        if self._n_in_a_row < (self._rise if self.is_down else self._fall):
            return False
        self._n_in_a_row = 0
        self.is_down = not self.is_down
        return True


class Asking:
    """One request to one server, on a connection of its own, and what came back so far."""

    def __init__(self, loop: Loop, resolved: Resolved, path: str, host: str) -> None:
        """Connect and ask. Raises OSError."""
        self.status: int | None = None              # of the answer's head
        self.failure: Exception | None = None       # OSError or ProtocolError
        self._ended = Event()
        self._n_bytes = 0
        self._http = http1.Connection(http1.CLIENT)
        fields = [("Host", host), ("User-Agent", "hotpath-check"), ("Accept", "*/*"), ("Connection", "close")]
        self._request = self._http.send(http1.Request(method="GET", target=path, headers=fields))
        self._request += self._http.send(http1.EndOfMessage())
        self._stream = connecting(loop, resolved)
        self._stream.on_open = self._write
        self._stream.on_data = self._heard
        self._stream.on_end = lambda stream: self._heard(stream, b"")
        self._stream.on_close = lambda _stream, error: self._end(error or ConnectionResetError())

    def wait(self) -> None:
        """In a task: until the answer is whole, or broken."""
        self._ended.wait()

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()

    def _write(self, stream: Stream) -> None:
        stream.write(self._request)

    def _heard(self, stream: Stream, data: bytes) -> None:
        if self._ended.is_set:
            return
        self._n_bytes += len(data)
        if not data and self.status is None:
            self._end(ConnectionResetError())
            return
        try:
            self._http.receive_data(data)
            self._read()
        except ProtocolError as error:
            self._end(error)
        if self._n_bytes > MAX_ANSWER_BYTES:
            self._end(None if self.status is not None else http1.RemoteProtocolError("no answer in so many bytes"))

    def _read(self) -> None:
        while not self._ended.is_set and (event := self._http.next_event()) is not http1.NEED_DATA:
            if isinstance(event, http1.Response):
                self.status = event.status_code
            elif isinstance(event, http1.EndOfMessage):
                self._end(None)

    def _end(self, failure: Exception | None) -> None:
        if not self._ended.is_set:
            self.failure = failure
            self._ended.set()


def connecting(loop: Loop, resolved: Resolved) -> Stream:
    """A stream on its way there. Raises OSError."""
    family, address = resolved
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        refused = sock.connect_ex(address)
        if refused not in (0, errno.EINPROGRESS):
            raise OSError(refused, os.strerror(refused))
        return Stream(loop, sock, connected=False)
    except BaseException:
        sock.close()
        raise


def fault(loop: Loop, resolved: Resolved, active: ActiveHealth, host: str) -> str | None:
    """In a task: what is wrong with the server there; None: nothing.

    Its status decides. The rest of the answer is read while there is time, so that no server sees a reset.
    """
    try:
        asking = Asking(loop, resolved, active.path, host)
    except OSError as error:
        return cause_of(error)
    try:
        with timeout(active.timeout):
            asking.wait()
    except TimeoutError:
        if asking.status is None:
            return "timeout"
    finally:
        asking.close()
    if asking.failure is not None:
        return cause_of(asking.failure)
    assert asking.status is not None
    return None if active.accepts(asking.status) else f"status {asking.status}"


def cause_of(error: Exception) -> str:
    """In a word or two."""
    if isinstance(error, ProtocolError):
        return "malformed"
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):      # the latter: no such unix socket
        return "refused"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "closed"
    return str(error.strerror if isinstance(error, OSError) else error).lower()


def apart_s(interval_s: float, chance: float) -> float:
    """From one check to the next; `chance` is uniform in [0, 1)."""
    return interval_s * (1 + JITTER * (2 * chance - 1))


class Watched:
    """A server that is checked, and the task that does it."""

    def __init__(self, server: Server, health: Health) -> None:
        """Not yet begun."""
        self.server = server
        self.health = health
        self.task: Task[None] | None = None


class Checks:
    """Checks the servers of every upstream that asks for it, each in a task of its own."""

    def __init__(self, roster: Roster, config: ProxyConfig, loop: Loop, *,
                 chance: Callable[[], float] = random.random) -> None:
        """`chance`: uniform in [0, 1)."""
        self._roster = roster
        self._active = {name: each.active for name, each in config.upstreams.items() if each.active is not None}
        self._loop = loop
        self._chance = chance
        self._watched: dict[int, Watched] = {}      # by slot

    def follow(self) -> None:
        """Look at the roster: begin with the servers that are new, end with those that are gone."""
        present: set[int] = set()
        for name, active in self._active.items():
            for server in self._roster.servers(name):
                present.add(server.slot)
                self._see(name, active, server)
        for slot in self._watched.keys() - present:
            self._forget(slot)

    def stop(self) -> None:
        """Check nobody any more."""
        for slot in list(self._watched):
            self._forget(slot)

    def _see(self, upstream: str, active: ActiveHealth, server: Server) -> None:
        watched = self._watched.get(server.slot)
        if watched is not None and watched.server.address != server.address:
            self._forget(server.slot)
            watched = None
        if watched is None:
            watched = self._watched[server.slot] = Watched(server, Health(rise=active.rise, fall=active.fall))
        watched.server = server
        # Carried over from a warden or a configuration before us. A state that hides it (draining) says nothing.
        if server.state in ("up", "down"):
            watched.health.is_down = server.state == "down"
        if watched.task is None or watched.task.done:
            watched.task = spawn(self._watch, upstream, active, watched)

    def _forget(self, slot: int) -> None:
        task = self._watched.pop(slot).task
        if task is not None:
            task.cancel()

    def _watch(self, upstream: str, active: ActiveHealth, watched: Watched) -> None:
        due_s = time.monotonic() + self._chance() * active.interval
        while True:
            sleep(max(0.0, due_s - time.monotonic()))
            if watched.server.state != "draining" and not watched.server.leaving:
                self._check(upstream, active, watched)
            due_s = max(time.monotonic(), due_s + apart_s(active.interval, self._chance()))

    def _check(self, upstream: str, active: ActiveHealth, watched: Watched) -> None:
        server = watched.server
        host = active.host or ("localhost" if server.address.startswith("unix:") else server.address)
        cause = fault(self._loop, self._roster.resolved(server.slot), active, host)
        if not watched.health.note(good=cause is None):
            return
        self._roster.set_down(server.slot, watched.health.is_down)
        if watched.health.is_down:
            log.warning("server down upstream=%s server=%s cause=%s", upstream, server.address, cause)
        else:
            log.info("server up upstream=%s server=%s", upstream, server.address)

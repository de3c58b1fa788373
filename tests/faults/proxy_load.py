"""Clients that know of each request whether it was under way when something died, and a server for the proxy to ask."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.proxies import Proxy, socket_inodes
from tests.waiting import DEADLINE_S, send_signal, wait_for

T = TypeVar("T")

# How long the server takes: requests are under way whenever something dies, and two cores are enough for the load.
SERVICE_S = 0.005
# A client thinks up to this long between two requests, so that connections are idle, too, when something dies.
THINKING_S = 0.02


class Background:
    """An event loop in a thread of its own, while the block runs."""

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self._started: list[object] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)
        self.loop.close()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there, and answer what it answers."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Do it there, and do not wait."""
        # Kept: a loop knows its tasks only weakly, and one that waits for its own stream is garbage.
        self._started.append(asyncio.run_coroutine_threadsafe(work, self.loop))


class Origin:
    """A server that answers everything with `name` after SERVICE_S; `close` takes it down, `open` brings it back."""

    def __init__(self, background: Background, name: str = "ok") -> None:
        self.name = name
        self.asked = 0
        self._background = background
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self.open()

    @property
    def address(self) -> str:
        """Where it listens, or did."""
        return f"127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen; after the first time on the same port again."""
        self._server = self._background.run(asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024))
        self._port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Go away with all connections, whatever is under way on them."""
        self._background.run(self._close())

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.name), self.name.encode())
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                await asyncio.sleep(SERVICE_S)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should be, and the port of the client that sent it."""

    port: int
    why: str


@dataclass
class Load:
    """`kept` clients that keep their connection while they may, and `fresh` ones that take one for each request.

    A request counts as failed when its connection was refused, or ended before the whole answer; not when the
    connection ended before a request was written to it, nor behind an answer that said `Connection: close`.
    """

    background: Background
    address: str
    kept: int = 12
    fresh: int = 4
    path: str = "/load"
    statuses: tuple[int, ...] = (200,)
    answered: int = 0
    latencies_s: list[float] = field(default_factory=list)
    goodbyes: int = 0           # connections that said `Connection: close`
    unused: int = 0             # connections that ended while no request was on them
    bodies: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    _stopping: bool = False
    _running: int = 0
    _dice: random.Random = field(default_factory=lambda: random.Random(9))

    @contextmanager
    def running(self) -> Iterator[Self]:
        """While the block runs; then what is under way is let finish."""
        self._running = self.kept + self.fresh
        for _ in range(self.kept):
            self.background.start(self._live(keep=True))
        for _ in range(self.fresh):
            self.background.start(self._live(keep=False))
        try:
            yield self
        finally:
            self._stopping = True
            wait_for(lambda: self._running == 0, "the last answers")

    def wait_more(self, n: int) -> None:
        """Wait until `n` more requests were answered."""
        goal = self.answered + n
        wait_for(lambda: self.answered >= goal, f"{n} more answers; failed: {self.failures}")

    async def _live(self, *, keep: bool) -> None:
        try:
            while not self._stopping:
                try:
                    reader, writer = await asyncio.open_connection(*_pair(self.address))
                except OSError as error:
                    self.failures.append(Failure(0, f"connect: {error!r}"))
                    await asyncio.sleep(THINKING_S)
                    continue
                try:
                    await self._ask(reader, writer, keep=keep)
                finally:
                    writer.transport.abort() if self._stopping else writer.close()
        finally:
            self._running -= 1

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> None:
        sock = writer.get_extra_info("socket")
        port = sock.getsockname()[1]
        wish = b"" if keep else b"Connection: close\r\n"
        request = b"GET %b HTTP/1.1\r\nHost: test\r\n%b\r\n" % (self.path.encode(), wish)
        while not self._stopping:
            if has_ended(sock):
                self.unused += 1
                return
            began_s = self.background.loop.time()
            writer.write(request)
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = await reader.readexactly(int(fields["content-length"]))
            except (asyncio.IncompleteReadError, OSError) as error:
                self.failures.append(Failure(port, repr(error)))
                return
            if int(head.split()[1]) not in self.statuses:
                self.failures.append(Failure(port, head.split("\r\n")[0]))
            self.latencies_s.append(self.background.loop.time() - began_s)
            self.bodies.add(body.decode())
            self.answered += 1
            if fields.get("connection") == "close":
                self.goodbyes += keep
                return
            await asyncio.sleep(self._dice.random() * THINKING_S)


def has_ended(sock: socket.socket) -> bool:
    """Whether the other side has closed already, as far as our kernel knows."""
    try:
        return os_sock(sock).recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def os_sock(sock: socket.socket) -> socket.socket:
    """The socket behind asyncio's, which does not let one look."""
    return getattr(sock, "_sock", sock)


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def site(*servers: str, **more: object) -> dict[str, object]:
    """A config whose every path goes to these servers, by two workers."""
    return {
        "workers": 2,
        "timeouts": {"drain": "20s"},
        "upstreams": {"b": {"servers": list(servers), "passive": {"failures": 0}}},
        "routes": [{"name": "all", "match": {"prefix": "/"}, "upstream": "b"}],
        **more,
    }


def client_ports(pid: int, address: str) -> set[int]:
    """The ports of the clients of `address` whose connections process `pid` holds."""
    ours, held, found = int(address.rpartition(":")[2]), socket_inodes(pid), set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[9] in held and columns[3] != "0A" and int(columns[1].rpartition(":")[2], 16) == ours:
            found.add(int(columns[2].rpartition(":")[2], 16))
    return found


def kill(pid: int, address: str) -> set[int]:
    """kill -9; the ports of the clients whose connections it took along, looked up while it could take no more."""
    send_signal(pid, signal.SIGSTOP)
    held = client_ports(pid, address)
    os.kill(pid, signal.SIGKILL)
    return held


def wait_replaced(proxy: Proxy, victim: int, n: int = 2) -> None:
    """Wait until `n` workers live again, `victim` not among them."""
    wait_for(lambda: len(proxy.workers()) == n and victim not in proxy.workers(), "another worker")


def status(pid: int) -> Mapping[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def n_fds(pid: int) -> int:
    """How many descriptors it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def answers(check: Callable[[], T]) -> T | None:
    """What `check` answers; None while its server cannot be reached."""
    with suppress(OSError, EOFError):
        return check()
    return None

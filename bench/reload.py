"""hotpath-proxy against nginx: how many requests fail while it reloads, and when a worker is killed?"""
from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import processes, results, rivals
from .stage import stage

TITLE = "reload: failed requests over reloads and kill -9"
COLUMNS = ("server", "what happens", "times", "requests", "failed", "on the killed workers", "longest wait ms")
NOTE = """Closed-loop clients on kept-alive connections. Failed: the connection was refused or broke before the whole
answer, or the answer was not the expected one; an answer that says `Connection: close` is no failure. `on the killed
workers`: client connections that these held when they were killed, each of which had a request in flight or was about
to have one; no server can save those.
"""
ANSWER_DEADLINE_S = 10.0


@dataclass(slots=True)
class Client:
    """One kept-alive connection with one request in flight."""

    sock: socket.socket
    sent_at_s: float = 0.0
    answer: bytes = b""


@dataclass(slots=True)
class Clients:
    """Busy clients on one thread; all requests are counted, and those that failed."""

    port: int
    n: int
    requests: int = 0
    failed: int = 0
    longest_s: float = 0.0
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(self, seconds: float, events: list[tuple[float, Callable[[], None]]]) -> None:
        """Keep all clients busy, calling each of `events` at its second; then let what is in flight end."""
        start_s = time.monotonic()
        pending = sorted(events, key=lambda event: event[0])
        while (asking := time.monotonic() - start_s < seconds) or self.selector.get_map():
            while pending and time.monotonic() - start_s >= pending[0][0]:
                pending.pop(0)[1]()
            if asking:
                self.open_missing()
            for key, _ in self.selector.select(timeout=0.05):
                self.read(key.data, asking=asking)
            self.give_up_waiting()
        self.selector.close()

    def open_missing(self) -> None:
        """Connect until there are `n` clients, each with a request; a refusal ends this try."""
        while len(self.selector.get_map()) < self.n:
            try:
                sock = socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_DEADLINE_S)
            except OSError:
                self.count(time.monotonic(), failed=True)
                return
            sock.setblocking(False)
            client = Client(sock)
            self.selector.register(sock, selectors.EVENT_READ, client)
            self.ask(client)

    def count(self, sent_at_s: float, *, failed: bool) -> None:
        """Note the end of a request."""
        self.requests += 1
        self.failed += failed
        self.longest_s = max(self.longest_s, time.monotonic() - sent_at_s)

    def ask(self, client: Client) -> None:
        """Send the next request; a broken connection shows when its answer is read."""
        client.answer, client.sent_at_s = b"", time.monotonic()
        with suppress(OSError):
            client.sock.send(f"GET /api/64 HTTP/1.1\r\nHost: {rivals.HOST}\r\n\r\n".encode())

    def read(self, client: Client, *, asking: bool) -> None:
        """Take what has arrived; count, and ask again or close."""
        try:
            piece = client.sock.recv(65536)
        except OSError:
            piece = b""
        client.answer += piece
        head, found, body = client.answer.partition(b"\r\n\r\n")
        whole = bool(found) and len(body) >= body_bytes(head)
        if not whole and piece:
            return
        right = whole and head.startswith(b"HTTP/1.1 200") and body == rivals.BODIES["64"]
        self.count(client.sent_at_s, failed=not right)
        if asking and right and b"connection: close" not in head.lower():
            self.ask(client)
        else:
            self.close(client)

    def close(self, client: Client) -> None:
        """Forget the client."""
        self.selector.unregister(client.sock)
        client.sock.close()

    def give_up_waiting(self) -> None:
        """Count an answer that is overdue as failed."""
        latest_s = time.monotonic() - ANSWER_DEADLINE_S
        for client in [key.data for key in self.selector.get_map().values() if key.data.sent_at_s < latest_s]:
            self.count(client.sent_at_s, failed=True)
            self.close(client)


def body_bytes(head: bytes) -> int:
    """Content-Length of an answer's head; all that we ask for have one."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def connections_of(pid: int, port: int) -> int:
    """Established connections to our `port` that this process holds."""
    established, inodes = "01", set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == established and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    held = 0
    with suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                held += os.readlink(fd) in inodes
    return held


@dataclass(slots=True)
class Killer:
    """Kills the worker with the most client connections."""

    master: int
    port: int
    times: int = 0
    lost_connections: int = 0

    def kill(self) -> None:
        """Count its connections, then kill -9."""
        workers = [pid for pid in processes.tree(self.master) if pid != self.master]
        held = {pid: connections_of(pid, self.port) for pid in workers}
        victim = max(workers, key=lambda pid: held[pid])
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            self.times += 1
            self.lost_connections += held[victim]


def one_row(name: str, what: str, options: argparse.Namespace) -> tuple[str, ...]:
    """Run the clients against a fresh server while `what` ("reload" or "kill") happens every interval."""
    with stage([name], workers=options.workers) as on:
        server = on.proxies[name]
        on.check(["64"])
        clients, killer = Clients(server.port, options.connections), Killer(server.pid, server.port)
        events: list[tuple[float, Callable[[], None]]] = []
        at_s = options.interval
        while at_s < options.seconds - options.interval / 2:
            events.append((at_s, killer.kill if what == "kill" else lambda: os.kill(server.pid, signal.SIGHUP)))
            at_s += options.interval
        clients.run(options.seconds, events)
        on.check(["64"])            # and it still works
    times = killer.times if what == "kill" else len(events)
    label = "kill -9 of a worker" if what == "kill" else "reload (SIGHUP)"
    on_killed = str(killer.lost_connections) if what == "kill" else ""
    return (name, label, str(times), f"{clients.requests:,}", str(clients.failed), on_killed,
            f"{1000 * clients.longest_s:.0f}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench reload`."""
    here = [name for name in ("nginx", "hotpath") if name in rivals.available()]
    parser.add_argument("--rivals", default=",".join(here), help="contenders (here: %(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="busy clients (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (%(default)s)")
    parser.add_argument("--seconds", type=float, default=11, help="time of each run (%(default)s)")
    parser.add_argument("--interval", type=float, default=1, help="seconds between reloads or kills (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the section in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the section when asked."""
    names = options.rivals.split(",")
    found = [one_row(name, what, options) for what in ("reload", "kill") for name in names]
    results.publish(TITLE, [(COLUMNS, found)], NOTE, versions=rivals.versions(names), write=options.write)

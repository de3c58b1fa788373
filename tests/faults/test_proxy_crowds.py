"""Many clients: slow ones slow nobody, idle ones are still served, and those for whom there is no room wait outside."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from tests.backends import Backend
from tests.clients import Client, fetch, request_bytes
from tests.faults.proxy_load import Background, Load, Origin, n_fds, site, status
from tests.proxies import Proxy
from tests.waiting import DEADLINE_S, wait_for

N_SLOW = 500
N_IDLE = 2000
HEAD_S = 10.0
ENDLESS_HEAD = b"GET /slow HTTP/1.1\r\nHost: test\r\nX: "

FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

HERE = [{"match": {"prefix": "/"}, "respond": {"body": "here"}}]


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as background:
        yield background


class SlowHeads:
    """Clients that send a byte of a head that never ends, and another each second, until somebody answers."""

    def __init__(self, address: str) -> None:
        self.answers: list[bytes] = []
        self.lives_s: list[float] = []
        self.n_sent = 0
        self._address = address
        self._stop = threading.Event()

    @contextmanager
    def running(self, n: int) -> Iterator[SlowHeads]:
        """All connected at the start of the block."""
        host, _, port = self._address.rpartition(":")
        self._ready = selectors.DefaultSelector()
        for _ in range(n):
            began_s = time.monotonic()
            sock = socket.create_connection((host, int(port)))
            sock.setblocking(False)
            self._ready.register(sock, selectors.EVENT_READ, began_s)
        thread = threading.Thread(target=self._drip, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(DEADLINE_S)

    def _drip(self) -> None:
        while self._ready.get_map() and not self._stop.is_set():
            for sock in [key.fileobj for key in self._ready.get_map().values()]:
                assert isinstance(sock, socket.socket)
                sock.send(ENDLESS_HEAD[self.n_sent:self.n_sent + 1] or b"x")
            self.n_sent += 1
            again_s = time.monotonic() + 1
            while self._ready.get_map() and (left_s := again_s - time.monotonic()) > 0:
                for key, _ in self._ready.select(left_s):
                    assert isinstance(key.fileobj, socket.socket)
                    self._ready.unregister(key.fileobj)
                    self.answers.append(key.fileobj.recv(65536))
                    self.lives_s.append(time.monotonic() - key.data)
                    key.fileobj.close()


def latencies_s(load: Load, n: int) -> list[float]:
    """Of the next `n` requests."""
    first = len(load.latencies_s)
    load.wait_more(n)
    return load.latencies_s[first:]


def test_500_slow_heads_slow_nobody_and_end_at_their_deadline(background: Background) -> None:
    origin = Origin(background)
    config = site(origin.address, timeouts={"head": f"{HEAD_S:g}s"})
    with Proxy(config) as proxy, Load(background, proxy.address, kept=4, fresh=2).running() as load:
        before_s = latencies_s(load, 200)
        with SlowHeads(proxy.address).running(N_SLOW) as slow:
            # The better half: the machine may be busier beside the crowd than before and after it.
            beside_s = min((latencies_s(load, 100) for _ in range(2)), key=median)
            assert not slow.answers, "the crowd was gone before the load was"
            wait_for(lambda: len(slow.answers) == N_SLOW, "the deadlines")
        after_s = latencies_s(load, 200)
        assert load.failures == []
        assert slow.n_sent > 2, "each byte moved no deadline"
        assert {answer.partition(b"\r\n")[0] for answer in slow.answers} == {b"HTTP/1.1 408 Request Timeout"}
        assert min(slow.lives_s) > 0.95 * HEAD_S, "none of them was sent away early"
        # The medians of the same run: a crowd that is waited for costs a deadline, 1000 times as much.
        assert median(beside_s) < 4 * median(before_s + after_s)
        wait_for(lambda: proxy.connections() <= 6, "the gauges to come down")


def test_a_crowd_that_takes_every_place_is_seen_to_slow_the_others(background: Background) -> None:
    """Control: with as many places as slow heads, the others wait for the deadline."""
    origin = Origin(background)
    config = site(origin.address, timeouts={"head": f"{HEAD_S:g}s"}, workers=1, limits={"connections": 50})
    with Proxy(config) as proxy, SlowHeads(proxy.address).running(50) as slow:
        wait_for(lambda: proxy.connections() == 50, "all of them to be in")
        with Load(background, proxy.address, kept=1, fresh=1).running() as load:
            load.wait_more(2)
            assert len(slow.answers) > 0, "no place was free before a deadline"
    assert load.failures == []


class Crowd:
    """Kept-alive connections, each asked by hand."""

    def __init__(self, address: str, n: int) -> None:
        self.clients = [Client(address) for _ in range(n)]

    def ask(self) -> None:
        """One request on each."""
        for client in self.clients:
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        for client in self.clients:
            data = b""
            while not data.endswith(b"here"):
                piece = client.receive()
                assert piece, "closed instead of kept"
                data += piece
            assert data.startswith(b"HTTP/1.1 200 OK\r\n")

    def leave(self) -> None:
        """All at once."""
        for client in self.clients:
            client.close()


def test_2000_idle_connections_are_served_again_and_leave_nothing() -> None:
    # One worker: of two, each keeps what its largest share has needed, and shares differ from crowd to crowd.
    with Proxy({"workers": 1, "routes": HERE}) as proxy:
        fds = [n_fds(pid) for pid in proxy.workers()]
        sizes = []
        for _ in range(3):
            crowd = Crowd(proxy.address, N_IDLE)
            crowd.ask()
            wait_for(lambda: proxy.metric("hotpath_proxy_connections", state="idle") == N_IDLE, "them to be idle")
            crowd.ask()
            crowd.leave()
            wait_for(lambda: proxy.connections() == 0, "the gauges to come down")
            sizes.append([int(status(pid)["RssAnon"].split()[0]) for pid in proxy.workers()])
        assert [n_fds(pid) for pid in proxy.workers()] == fds
        # What the first crowd needed is kept for the next, which needs no more.
        growth = sum(sizes[2]) - sum(sizes[0])
        assert growth < N_IDLE * 256 / 1024 / 2, sizes


def cpu_s(pid: int) -> float:
    """What it has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_over_the_limit_of_connections_clients_wait_without_cost_and_are_served_later() -> None:
    config = {"limits": {"connections": 4}, "timeouts": {"idle": "1s"}, "routes": HERE}
    with Proxy(config) as proxy:
        (worker,) = proxy.workers()
        inside = [Client(proxy.address) for _ in range(4)]
        assert [client.ask("GET", "/").status for client in inside] == [200] * 4
        spent_s = cpu_s(worker)
        outside = [Client(proxy.address) for _ in range(20)]
        for client in outside:
            client.send(request_bytes("GET", "/"))
        # The proxy's own clock: the places are free when their clients have been idle for a second.
        assert [client.rest() for client in inside] == [b""] * 4
        assert cpu_s(worker) - spent_s < 0.3
        for client in outside:
            assert client.answer().status == 200
            assert proxy.connections() <= 4
            client.close()
        assert proxy.workers() == [worker]


def test_without_descriptors_clients_wait_and_servers_are_not_blamed() -> None:
    """Room for a client and none for the connection to its server, which is well; blame would last an hour."""
    with Backend() as backend, Proxy(blaming(backend)) as proxy:
        (worker,) = proxy.workers()
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (n_fds(worker), FILES))
        spent_s = cpu_s(worker)
        clients = [Client(proxy.address) for _ in range(20)]
        for client in clients:
            client.send(request_bytes("GET", "/"))
        wait_for(lambda: proxy.metric("hotpath_proxy_rejected_total", reason="connections") > 0, "the want to be seen")
        assert cpu_s(worker) - spent_s < 0.5
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (FILES, FILES))
        statuses = [client.answer().status for client in clients]
        assert set(statuses) == {200, 503}
        assert fetch(proxy.address, "/after").status == 200
        assert proxy.workers() == [worker]
        assert not any("ejected" in line for line in proxy.stderr.lines), proxy.stderr.lines


def blaming(backend: Backend) -> dict[str, object]:
    """One failure, and the server is out for an hour."""
    return {
        "workers": 1,
        "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 1, "eject": "1h"}}},
        "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
    }


def test_clients_leave_an_eighth_of_the_descriptors_to_servers() -> None:
    with Backend() as backend, Proxy(blaming(backend)) as proxy:
        resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (320, 320))
        proxy.reload(proxy.config)
        wait_for(lambda: len(proxy.workers()) == 1, "the old worker to leave")
        clients = [Client(proxy.address) for _ in range(320)]
        wait_for(lambda: proxy.connections() == 280, "all those for whom there is room")
        assert clients[0].ask("GET", "/").status == 200
        for client in clients:
            client.close()
        wait_for(lambda: proxy.connections() == 0, "them to leave")


def test_as_many_files_may_be_open_as_the_hard_limit_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        with Proxy({"routes": HERE}) as proxy:
            assert resource.prlimit(proxy.workers()[0], resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

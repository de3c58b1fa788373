"""Workers die, servers vanish, clients leave, disks fill: who is hurt, and that nobody else is."""

from __future__ import annotations

import os
import selectors
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.backends import Backend, Exchange, Gate, refusing
from tests.clients import Client, CutShort, fetch, request_bytes
from tests.proxies import Proxy
from tests.waiting import is_alive, wait_for

Site = tuple[Proxy, Backend]

EVERYTHING = [{"name": "all", "match": {"prefix": "/"}, "upstream": "b"}]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "workers": 2,
            "timeouts": {"head": "3s"},
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}}},
            "routes": [*EVERYTHING, {"name": "few", "match": {"prefix": "/few"}, "upstream": "b", "concurrency": 3}],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


@dataclass
class Asker:
    """Asks on one connection without pause until its worker dies under it."""

    address: str
    done: int = 0
    broken: int = 0
    wrong: list[int] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        client = Client(self.address)
        while not self.stop.is_set():
            try:
                status = client.ask("GET", "/load").status
            except (CutShort, OSError):
                self.broken += 1
                client.close()
                client = Client(self.address)
                continue
            self.done += 1
            if status != 200:
                self.wrong.append(status)
        client.close()


def test_a_killed_worker_takes_only_its_own_connections_with_it(site: Site) -> None:
    proxy, backend = site
    gate = Gate(b"survived")
    backend.on("/few/held", gate)
    victims, survivors = [], []
    victim, survivor = proxy.workers()
    held = [Client(proxy.address) for _ in range(3)]
    for n, client in enumerate(held, 1):
        client.send(request_bytes("GET", "/few/held"))
        backend.wait_seen("/few/held", n)
    askers = [Asker(proxy.address) for _ in range(4)]
    threads = [threading.Thread(target=asker, daemon=True) for asker in askers]
    for thread in threads:
        thread.start()
    wait_for(lambda: all(asker.done > 5 for asker in askers), "load")
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(proxy.workers()) == 2 and victim not in proxy.workers(), "another worker")
    goal = [asker.done + 10 for asker in askers]
    wait_for(lambda: all(asker.done >= n for asker, n in zip(askers, goal, strict=True)), "load after it")
    for asker, thread in zip(askers, threads, strict=True):
        asker.stop.set()
        thread.join(10)
    gate.open()
    for client in held:
        try:
            assert client.answer().body == b"survived"
            survivors.append(client)
        except CutShort:
            victims.append(client)
        client.close()
    assert survivor in proxy.workers()
    # One kill can break each connection at most once, and nobody gets an answer that is not theirs.
    assert all(asker.broken <= 1 for asker in askers)
    assert [asker.wrong for asker in askers] == [[], [], [], []]
    assert len(victims) + len(survivors) == 3
    # The places of its requests are free again, and the gauges came down with it.
    wait_for(lambda: [fetch(proxy.address, "/few/after").status for _ in range(3)] == [200] * 3, "the places")
    wait_for(lambda: proxy.connections() == 0, "the gauge to come down")
    assert proxy.metric("hotpath_proxy_workers") == 2


def test_counts_survive_a_killed_worker(site: Site) -> None:
    proxy, _backend = site
    before = proxy.metric("hotpath_proxy_requests_total", route="all", code="200")
    for i in range(20):
        fetch(proxy.address, f"/counted/{i}")

    def counted() -> float:
        return proxy.metric("hotpath_proxy_requests_total", route="all", code="200") - before

    # A request is counted when its answer is on the way: a worker killed before that counts it never.
    wait_for(lambda: counted() == 20, "the counts")
    for pid in proxy.workers():
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: len(proxy.workers()) == 2 and pid not in proxy.workers(), "another worker")
    assert counted() == 20
    assert fetch(proxy.address, "/counted/after").status == 200


def test_a_killed_warden_is_replaced(site: Site) -> None:
    proxy, _backend = site
    for pid in set(proxy.children()) - set(proxy.workers()):
        os.kill(pid, signal.SIGKILL)
    assert fetch(proxy.address, "/without/warden").status == 200

    def healthy() -> bool:
        with suppress(OSError, CutShort):
            return fetch(proxy.admin, "/healthz").status == 200
        return False

    wait_for(healthy, "another warden")


def test_a_killed_master_leaves_no_worker_and_no_port_behind() -> None:
    with Backend() as backend:
        with Proxy({"workers": 2, "upstreams": {"b": {"servers": [backend.address]}}, "routes": EVERYTHING}) as proxy:
            children = proxy.children()
            assert fetch(proxy.address, "/").status == 200
            proxy.process.kill()
            wait_for(lambda: not any(map(is_alive, children)), "its children to end")
        with Proxy(
            {"listen": proxy.address, "upstreams": {"b": {"servers": [backend.address]}}, "routes": EVERYTHING}
        ) as again:
            assert fetch(again.address, "/").status == 200


# A body that lasts until the close, closed: that is how such an answer ends, nobody can tell.
@pytest.mark.parametrize(
    ("framing", "ending"),
    [("length", "close"), ("length", "reset"), ("chunked", "close"), ("chunked", "reset"), ("until close", "reset")],
)
def test_a_server_that_dies_inside_its_answer_is_seen_as_such(site: Site, framing: str, ending: str) -> None:
    proxy, backend = site
    head = {"length": b"Content-Length: 100\r\n", "chunked": b"Transfer-Encoding: chunked\r\n", "until close": b""}[
        framing
    ]
    part = b"4\r\nhalf\r\n" if framing == "chunked" else b"half"
    path = f"/dies/{framing.replace(' ', '-')}/{ending}"
    arrived = threading.Event()

    def die(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + part)
        arrived.wait(10)
        exchange.reset() if ending == "reset" else exchange.close()

    backend.on(path, die)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", path))
        events = client.events()
        next(events)
        assert bytes(next(events).data) == b"half"
        arrived.set()
        with pytest.raises(EOFError):
            list(events)
    assert len(backend.seen(path)) == 1, "an answer that has begun is not asked for again"


def test_a_client_that_leaves_is_not_answered_for_nothing(site: Site) -> None:
    proxy, backend = site
    left = threading.Event()

    def wait_for_leave(exchange: Exchange) -> None:
        exchange.await_close()
        left.set()

    backend.on("/leaves", wait_for_leave)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/leaves"))
        backend.wait_seen("/leaves")
    assert left.wait(5), "the backend goes on working for a client that is gone"


def test_a_client_that_resets_in_its_body_aborts_the_upstream_request(site: Site) -> None:
    proxy, backend = site
    backend.on("/resets", Exchange.body)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/resets", [("Content-Length", "100000")]) + bytes(1000))
        (exchange,) = backend.wait_seen("/resets")
        client.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: close sends RST
    assert exchange.cut.wait(5)
    assert not exchange.complete


def test_a_hundred_slow_heads_cost_the_others_nothing(site: Site) -> None:
    proxy, _backend = site
    slow = []
    for _ in range(100):
        slow.append(Client(proxy.address))
        slow[-1].send(b"GET /slow HTTP/1.1\r\nHost: te")
    served = [fetch(proxy.address, "/fast").status for _ in range(20)]
    assert served == [200] * 20
    with selectors.DefaultSelector() as ready:
        for client in slow:
            ready.register(client.sock, selectors.EVENT_READ)
        for client in slow:
            assert client.answer().status == 408
            assert client.rest() == b""
            client.close()


def test_all_servers_down_is_503_at_once_and_over_when_one_is_back() -> None:
    with Backend() as backend, refusing() as closed:
        down = True

        def script(exchange: Exchange) -> None:
            exchange.body()
            if down:
                exchange.reset()
            else:
                exchange.answer(b"back")

        backend.default = script
        servers = {
            "servers": [backend.address, closed],
            "passive": {"failures": 1, "eject": "3s"},
            "retry": {"attempts": 0},
        }
        with Proxy({"upstreams": {"b": servers}, "routes": EVERYTHING}) as proxy:
            statuses = [fetch(proxy.address, "/").status for _ in range(3)]
            assert statuses[:2] == [502, 502]
            assert statuses[2] == 503
            asked = backend.n_seen
            answer = fetch(proxy.address, "/", "POST", body=b"x")
            assert answer.status in (502, 503)  # 502 only where the 3 s were over already: one probe
            assert backend.n_seen <= asked + 1
            down = False
            wait_for(lambda: fetch(proxy.address, "/").status == 200, "the server to be tried again")
            for news in ("ejected", "back"):
                proxy.stderr.wait_for(f"server {news} upstream=b server={backend.address}")


def test_a_full_log_disk_costs_lines_and_nothing_else() -> None:
    with Backend() as backend:
        config = {
            "log": {"access": {"path": "/dev/full", "format": "json", "flush": "50ms"}},
            "upstreams": {"b": {"servers": [backend.address]}},
            "routes": EVERYTHING,
        }
        with Proxy(config) as proxy:
            assert [fetch(proxy.address, "/").status for _ in range(30)] == [200] * 30
            wait_for(lambda: proxy.metric("hotpath_proxy_log_dropped_total") == 30, "the lost lines to be counted")
            assert fetch(proxy.address, "/after").status == 200


def test_a_blocked_log_pipe_costs_lines_and_nothing_else(tmp_path) -> None:
    pipe = tmp_path / "access.pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # never read from
    try:
        with Backend() as backend:
            config = {
                "log": {"access": {"path": str(pipe), "format": "json", "buffer": "4k", "flush": "50ms"}},
                "upstreams": {"b": {"servers": [backend.address]}},
                "routes": EVERYTHING,
            }
            with Proxy(config) as proxy, Client(proxy.address) as client:
                # A pipe holds 64 KiB; 150 lines of over 1 KiB do not fit.
                for _ in range(150):
                    assert client.ask("GET", "/", [("User-Agent", "x" * 1000)]).status == 200
                wait_for(lambda: proxy.metric("hotpath_proxy_log_dropped_total") > 0, "lost lines")
    finally:
        os.close(reader)


def test_connections_over_the_workers_limit_wait_and_are_served_later() -> None:
    with Backend() as backend:
        config = {
            "limits": {"connections": 4},
            "upstreams": {"b": {"servers": [backend.address]}},
            "routes": EVERYTHING,
        }
        with Proxy(config) as proxy:
            clients = [Client(proxy.address) for _ in range(4)]
            assert [client.ask("GET", "/in").status for client in clients] == [200] * 4
            with Client(proxy.address) as late:
                late.send(request_bytes("GET", "/late"))
                for client in clients:
                    client.close()
                assert late.answer().status in (200, 503)
            assert fetch(proxy.address, "/after").status == 200


def test_a_server_may_say_its_answer_byte_by_byte_while_the_client_reads_byte_by_byte(site: Site) -> None:
    proxy, backend = site
    body = bytes(range(256))
    backend.on("/slowly", lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n" + body))
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/slowly", [("Connection", "close")]))
        got = b"".join(iter(lambda: client.receive(1), b""))
    assert got.endswith(b"\r\n\r\n" + body)

"""Half-closes, slow readers and early answers: no byte is lost, and nothing waits for what cannot come."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import h11
import pytest

from tests.backends import Backend, Exchange
from tests.clients import PATIENCE_S, Client, request_bytes
from tests.proxies import Proxy
from tests.waiting import send_signal, wait_for

Site = tuple[Proxy, Backend]

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SMALL_BYTES = 4096
CANNED = [{"match": {"prefix": "/"}, "respond": {"body": "x"}}]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "timeouts": {"head": "1s", "idle": "3s", "body": "60s", "send": "60s", "response": "6s", "read": "6s"},
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}}},
            "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def slow_client(address: str) -> Client:
    """A client whose kernel takes little before somebody reads."""
    client = Client.__new__(Client)
    client.sock = socket.socket()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
    client.sock.settimeout(PATIENCE_S)
    host, _, port = address.rpartition(":")
    client.sock.connect((host, int(port)))
    client._early = b""
    return client


def outlast_idle(address: str) -> None:
    """Return when a client that came now has been sent away for its silence: the proxy's own clock."""
    with Client(address) as client:
        assert client.ask("GET", "/neighbour").status == 200
        assert client.rest() == b""


def test_what_a_client_says_last_in_a_half_closed_tunnel_arrives(site: Site) -> None:
    """Its FIN behind ours is EPOLLHUP: no reason to forget what came before it."""
    proxy, backend = site
    rest = []

    def half_close(exchange: Exchange) -> None:
        exchange.send(SWITCH)
        exchange.half_close()
        rest.append(exchange.await_close())

    for i in range(5):
        backend.on(f"/half/{i}", half_close)
        with Client(proxy.address) as client:
            client.send(request_bytes("GET", f"/half/{i}", ASK))
            assert client.answer(upgrade=True).status == 101
            assert client.receive() == b""
            client.sock.sendall(bytes(50_000))
            client.sock.shutdown(socket.SHUT_WR)
            wait_for(lambda i=i: len(rest) > i, "the end of the tunnel")
    assert [len(data) for data in rest] == [50_000] * 5


def test_what_a_server_says_last_before_it_resets_a_tunnel_ends_it(site: Site) -> None:
    """Bytes for the server still wait, and it will never take them: the tunnel must not wait either."""
    proxy, backend = site
    full = threading.Event()

    def leave(exchange: Exchange) -> None:
        exchange.send(SWITCH)
        full.wait(PATIENCE_S)
        exchange.send(b"bye")
        exchange.reset()

    backend.on("/reset", leave)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/reset", ASK))
        assert client.answer(upgrade=True).status == 101
        client.sock.settimeout(0.5)
        with suppress(TimeoutError):
            while True:
                client.sock.sendall(bytes(1 << 16))
        client.sock.settimeout(PATIENCE_S)
        full.set()
        assert client.rest() in (b"bye", b"")       # a reset may overtake it
    wait_for(lambda: proxy.metric("hotpath_proxy_connections", state="tunnel") == 0, "the tunnel to end")


def test_a_slow_reader_of_interim_answers_gets_the_final_one(site: Site) -> None:
    """They fill its connection in the middle of an exchange, not only behind a head."""
    proxy, backend = site
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"x" * 30_000 + b">\r\n\r\n"

    def hint(exchange: Exchange) -> None:
        for _ in range(16):
            exchange.send(interim)
        exchange.answer(b"page")

    backend.on("/interims", hint)
    with slow_client(proxy.address) as client:
        client.send(request_bytes("GET", "/interims") * 12)
        outlast_idle(proxy.address)
        answers = [client.answer() for _ in range(12)]
    assert [(answer.status, answer.body, len(answer.interim)) for answer in answers] == [(200, b"page", 16)] * 12


def test_a_server_that_speaks_before_it_is_asked_is_not_believed() -> None:
    """What it says is there when the connection is: no later event would come for it.

    If the proxy wins the race and asks first, nobody can tell the words from an answer; then we try again.
    """
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            with suppress(OSError):
                while True:
                    sock, _peer = listener.accept()
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
                    kept.append(sock)

        threading.Thread(target=speak, daemon=True).start()
        config = {
            "timeouts": {"response": "30s"},
            "upstreams": {
                "b": {
                    "servers": [f"127.0.0.1:{listener.getsockname()[1]}"],
                    "passive": {"failures": 0},
                    "keepalive": {"idle": 0},
                }
            },
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"prefix": "/canned"}, "respond": {"status": 204}},
            ],
        }
        with Proxy(config) as proxy:
            (worker,) = proxy.workers()
            client = Client(proxy.address)
            crowd = [Client(proxy.address) for _ in range(200)]
            wait_for(lambda: proxy.metric("hotpath_proxy_connections") == 201, "all to be accepted")
            statuses = set()
            for _ in range(10):
                send_signal(worker, signal.SIGSTOP)
                client.send(request_bytes("GET", "/"))
                for other in crowd:  # all in one turn of the loop: the server has time to speak before the next
                    other.send(request_bytes("GET", "/canned") * 60)
                os.kill(worker, signal.SIGCONT)
                statuses.add(client.answer().status)
                if 502 in statuses:
                    break
            assert 502 in statuses
            assert statuses <= {200, 502}  # never the 504 of an event that was lost
            for other in (client, *crowd):
                other.close()
        listener.shutdown(socket.SHUT_RDWR)


def queued_bytes(port: int, peer_port: int) -> tuple[int, int]:
    """Bytes that wait in the kernel to be (acknowledged, read) by `peer_port` and `port`, at the socket on `port`."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[1][-4:], 16) == port and int(columns[2][-4:], 16) == peer_port:
            sent, received = columns[4].split(":")
            return int(sent, 16), int(received, 16)
    raise LookupError((port, peer_port))


def wait_steady(measure: Callable[[], int], what: str) -> int:
    """Wait until it has been the same for a while; that."""
    seen = [-1]

    def is_steady() -> bool:
        seen.append(measure())
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_for(is_steady, what)
    return seen[-1]


def sizes_behind_a_slow_reader(proxy: Proxy, backend: Backend) -> range:
    """Sizes of answers whose end, or nearly, is what the kernel does not take from the proxy."""
    backend.on("/sized", lambda exchange: exchange.answer(bytes(int(exchange.target.partition("?")[2]))))
    with slow_client(proxy.address) as client:
        client.send(request_bytes("GET", "/sized?20000000"))
        ours, its = client.sock.getsockname()[1], int(proxy.address.rpartition(":")[2])
        held = wait_steady(lambda: queued_bytes(its, ours)[0] + queued_bytes(ours, its)[1], "the kernel to be full")
    return range(max(1, held - 80_000), held + 120_000, 10_000)


def test_a_slow_reader_of_a_last_answer_gets_all_of_it(site: Site) -> None:
    """Its end waits in the proxy when the answer is complete, for longer than a lingering close lasts."""
    proxy, backend = site
    sizes = sizes_behind_a_slow_reader(proxy, backend)
    clients = [slow_client(proxy.address) for _ in sizes]
    for client, size in zip(clients, sizes, strict=True):
        client.send(request_bytes("GET", f"/sized?{size}", [("Connection", "close")]))
    outlast_idle(proxy.address)
    for client, size in zip(clients, sizes, strict=True):
        assert len(client.answer().body) == size
        client.close()


def test_a_drained_worker_lets_a_slow_reader_finish(site: Site) -> None:
    sizes = sizes_behind_a_slow_reader(*site)
    backend = site[1]
    config = {
        "upstreams": {"b": {"servers": [backend.address]}},
        "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
    }
    with Proxy(config) as proxy:
        clients = [slow_client(proxy.address) for _ in sizes]
        for client, size in zip(clients, sizes, strict=True):
            client.send(request_bytes("GET", f"/sized?{size}"))
        with Client(proxy.address) as neighbour:
            assert neighbour.ask("GET", "/neighbour").status == 200
            proxy.send_signal(signal.SIGTERM)
            assert neighbour.rest() == b""          # it has had its grace
        for client, size in zip(clients, sizes, strict=True):
            assert len(client.answer().body) == size
            client.close()
        assert proxy.process.wait(PATIENCE_S) == 0


def test_a_drained_worker_does_not_wait_for_an_answered_client(site: Site) -> None:
    """The head of its answer had left before the drain began, so it could not say Connection: close."""
    backend = site[1]
    gate = threading.Event()

    def in_two(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        gate.wait(PATIENCE_S)
        exchange.send(b"cd")

    backend.on("/two", in_two)
    config = {
        "upstreams": {"b": {"servers": [backend.address]}},
        "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
        "timeouts": {"drain": "60s"},
    }
    with Proxy(config) as proxy, Client(proxy.address) as client, Client(proxy.address) as neighbour:
        client.send(request_bytes("GET", "/two"))
        events = client.events()
        assert next(events).status_code == 200
        assert neighbour.ask("GET", "/neighbour").status == 200
        proxy.send_signal(signal.SIGTERM)
        assert neighbour.rest() == b""
        gate.set()
        assert proxy.process.wait(PATIENCE_S) == 0


def test_an_upload_is_read_on_while_its_answer_is_under_way(site: Site) -> None:
    """A server may answer as it reads: the rest of the body must reach it."""
    proxy, backend = site

    def echo(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in exchange.pieces():
            exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        exchange.send(b"0\r\n\r\n")

    backend.on("/duplex", echo)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/duplex", [("Content-Length", "8")]))
        events = client.events("POST")
        assert next(events).status_code == 200
        client.send(b"abcd")
        assert bytes(next(events).data) == b"abcd"
        client.send(b"efgh")
        assert bytes(next(events).data) == b"efgh"
        assert isinstance(next(events), h11.EndOfMessage)


def test_an_upload_that_stops_behind_a_pause_of_the_server_is_408() -> None:
    """The client's deadline passes while the server reads nothing; it counts again once the server does."""
    gate = threading.Event()

    def read_late(exchange: Exchange) -> None:
        gate.wait(2 * PATIENCE_S)
        exchange.body()

    with Backend() as backend:
        backend._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        backend.on("/late", read_late)
        config = {
            "timeouts": {"body": "1s", "idle": "3s"},
            "limits": {"body": 0},
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}}},
            "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
        }
        with Proxy(config) as proxy:
            clients = [Client(proxy.address) for _ in range(40)]
            (first, *others) = clients
            first.send(request_bytes("POST", "/late", [("Content-Length", "1000000000")]))
            first.sock.settimeout(0.5)
            with suppress(TimeoutError):
                while True:
                    first.sock.sendall(bytes(1 << 16))
            address = backend.wait_seen("/late")[0].connection.sock.getpeername()[1]
            its = int(backend.address.rpartition(":")[2])
            held = sum((queued_bytes(address, its)[0], queued_bytes(its, address)[1]))
            for i, client in enumerate(others):     # for some of them the end is what the kernel does not take
                size = max(1, held - 160_000 + 8_000 * i)
                client.send(request_bytes("POST", "/late", [("Content-Length", "1000000000")]) + bytes(size))
            outlast_idle(proxy.address)
            gate.set()
            assert [client.answer("POST").status for client in others] == [408] * 39
            for client in clients:
                client.close()


def test_an_answer_given_before_the_server_leaves_is_delivered(site: Site) -> None:
    """The server refuses an upload and leaves, while more of it is on its way."""
    proxy, backend = site

    def refuse(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        exchange.closed = True

    backend.on("/refuse", refuse)
    (worker,) = proxy.workers()
    for i in range(1, 6):
        with Client(proxy.address) as client:
            client.send(request_bytes("POST", "/refuse", [("Content-Length", "100000")]) + bytes(100))
            exchange = backend.wait_seen("/refuse", i)[-1]
            send_signal(worker, signal.SIGSTOP)
            client.send(bytes(10_000))
            exchange.connection.ended.wait(PATIENCE_S)
            os.kill(worker, signal.SIGCONT)
            assert client.answer("POST").status == 413


def test_a_pipelined_head_that_stops_is_408() -> None:
    with Proxy({"timeouts": {"head": "1s", "idle": "60s"}, "routes": CANNED}) as proxy, Client(proxy.address) as client:
        client.send(request_bytes("GET", "/whole") + b"GET /part HTTP/1.1\r\nHos")
        assert client.answer().status == 200
        assert client.answer().status == 408


def test_more_is_pipelined_than_one_turn_answers() -> None:
    with Proxy({"routes": CANNED}) as proxy, Client(proxy.address) as client:
        sender = threading.Thread(target=client.send, args=(request_bytes("GET", "/") * 3000,))
        sender.start()
        assert [client.answer().status for _ in range(3000)] == [200] * 3000
        sender.join()

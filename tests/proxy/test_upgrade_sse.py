"""WebSocket tunnels and event streams: bytes pass at once, both ways, and nothing else may upgrade."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress

import h11
import pytest

from tests.backends import Backend, Exchange
from tests.clients import Client, request_bytes
from tests.proxies import Proxy

Site = tuple[Proxy, Backend]

ASK = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "timeouts": {"read": "1s", "tunnel": "20s"},
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}}},
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"prefix": "/brief"}, "upstream": "b", "timeouts": {"tunnel": "2s"}},
                {"match": {"prefix": "/sse"}, "upstream": "b", "timeouts": {"read": "20s"}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def echo(exchange: Exchange) -> None:
    """Switch, then send back whatever comes, until the proxy ends its direction."""
    exchange.closed = True
    exchange.send(SWITCH)
    early = exchange.reader.trailing_data[0]
    if early:
        exchange.send(early)
    while data := exchange.connection.receive():
        exchange.send(data)


def test_a_tunnel_carries_bytes_both_ways(site: Site) -> None:
    proxy, backend = site
    backend.on("/ws", echo)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws?x=1", ASK))
        answer = client.answer(upgrade=True)
        assert answer.status == 101
        assert answer.value("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert (answer.value("upgrade") or "").lower() == "websocket"
        for message in (b"\x81\x05hello", b"\x00\xff" * 5000, b"HTTP/1.1 200 OK\r\n\r\n"):
            client.send(message)
            assert client.exactly(len(message)) == message
    (exchange,) = backend.seen("/ws")
    assert exchange.target == "/ws?x=1"
    assert (exchange.value("upgrade") or "").lower() == "websocket"
    assert "upgrade" in (exchange.value("connection") or "").lower()
    assert exchange.value("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ=="
    assert exchange.connection.ended.wait(5), "the client left, the tunnel did not end"


def test_a_tunnel_carries_much_in_both_directions_at_once(site: Site) -> None:
    proxy, backend = site
    backend.on("/ws/big", echo)
    data = b"".join(b"%07d" % i for i in range(800_000))
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws/big", ASK))
        assert client.answer(upgrade=True).status == 101
        sender = threading.Thread(target=client.sock.sendall, args=(data,))
        sender.start()
        back = hashlib.sha256()
        left = len(data)
        while left and (piece := client.receive()):
            back.update(piece)
            left -= len(piece)
        sender.join(10)
    assert back.digest() == hashlib.sha256(data).digest()


def test_early_bytes_wait_for_the_101(site: Site) -> None:
    """What follows an upgrade request is data only once the backend has agreed (Pingora CVE-2026-2833)."""
    proxy, backend = site
    premature = []

    def wait_then_echo(exchange: Exchange) -> None:
        exchange.connection.sock.settimeout(0.3)
        with suppress(TimeoutError):
            premature.append(exchange.connection.receive())
        premature.append(exchange.reader.trailing_data[0])
        exchange.connection.sock.settimeout(10)
        echo(exchange)

    backend.on("/ws/early", wait_then_echo)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws/early", ASK) + b"early")
        assert client.answer(upgrade=True).status == 101
        assert client.exactly(5) == b"early"
    assert b"".join(premature) == b""


def test_a_refused_upgrade_is_an_ordinary_answer(site: Site) -> None:
    proxy, backend = site
    backend.on("/ws/no", lambda exchange: exchange.answer(b"no", status=403))
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws/no", ASK))
        answer = client.answer(upgrade=True)
        assert (answer.status, answer.body) == (403, b"no")
        if not answer.says_close:
            assert client.ask("GET", "/after/no").json()["target"] == "/after/no"


def test_bytes_behind_a_refused_upgrade_never_reach_the_backend_raw(site: Site) -> None:
    proxy, backend = site
    backend.on("/ws/no/early", lambda exchange: exchange.answer(b"no", status=403))
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws/no/early", ASK) + b"\x81\x05hello")
        assert client.answer(upgrade=True).status == 403
        # They are the start of a next request now: refused, or the connection ends.
        assert client.rest()[:12] in (b"", b"HTTP/1.1 400")
    assert b"hello" not in backend.seen("/ws/no/early")[0].connection.received


@pytest.mark.parametrize(
    "raw",
    [
        request_bytes(
            "GET",
            "/up/h2c",
            [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")],
        ),
        request_bytes("GET", "/up/both", [("Connection", "Upgrade"), ("Upgrade", "h2c, websocket")]),
        request_bytes("GET", "/up/tls", [("Connection", "Upgrade"), ("Upgrade", "TLS/1.2")]),
        request_bytes("GET", "/up/unnamed", [("Upgrade", "websocket")]),
        request_bytes("POST", "/up/post", ASK, b""),
        request_bytes("GET", "/up/body", ASK, b"body"),
        request_bytes("GET", "/up/chunked", [*ASK, ("Transfer-Encoding", "chunked")], b"0\r\n\r\n"),
        request_bytes("GET", "/up/old", ASK, version="1.0"),
    ],
    ids=["h2c", "h2c or websocket", "TLS", "not nominated", "POST", "body", "chunked body", "HTTP/1.0"],
)
def test_no_other_upgrade_passes(site: Site, raw: bytes) -> None:
    proxy, backend = site
    with Client(proxy.address) as client:
        client.send(raw)
        assert client.answer("GET").status in (200, 400)
    path = raw.split()[1].decode()
    for exchange in backend.seen(path):
        assert exchange.values("upgrade") == []
        assert exchange.values("http2-settings") == []
        assert "upgrade" not in (exchange.value("connection") or "").lower()


@pytest.mark.parametrize("upgrade", ["Upgrade: h2c", "Upgrade: websocket2", "X-No: upgrade"])
def test_a_switch_to_something_else_is_502(site: Site, upgrade: str) -> None:
    proxy, backend = site

    def script(exchange: Exchange) -> None:
        exchange.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{upgrade}\r\n\r\nevil".encode())
        exchange.await_close()

    backend.on("/ws/other", script)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws/other", ASK))
        answer = client.answer(upgrade=True)
        assert answer.status == 502
        # What came behind the 101 is nobody's answer.
        if answer.says_close:
            assert client.rest() == b""
        else:
            assert client.ask("GET", "/after/other").json()["target"] == "/after/other"


def test_a_tunnel_half_closes(site: Site) -> None:
    proxy, backend = site

    def last_word(exchange: Exchange) -> None:
        exchange.send(SWITCH)
        got = exchange.await_close()
        exchange.send(b"got " + got)
        exchange.close()

    backend.on("/ws/half", last_word)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws/half", ASK))
        assert client.answer(upgrade=True).status == 101
        client.send(b"bye")
        client.sock.shutdown(1)
        assert client.rest() == b"got bye"


def test_the_backend_ends_a_tunnel(site: Site) -> None:
    proxy, backend = site

    def brief(exchange: Exchange) -> None:
        exchange.send(SWITCH + b"\x88\x00")
        exchange.close()

    backend.on("/ws/bye", brief)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/ws/bye", ASK))
        assert client.answer(upgrade=True).status == 101
        assert client.exactly(2) == b"\x88\x00"
        client.sock.shutdown(1)
        assert client.rest() == b""


def test_an_idle_tunnel_ends_at_its_own_deadline(site: Site) -> None:
    proxy, backend = site
    backend.on("/brief", echo)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/brief", ASK))
        assert client.answer(upgrade=True).status == 101
        client.send(b"ping")
        assert client.exactly(4) == b"ping"
        assert client.rest() == b""
    assert backend.seen("/brief")[0].connection.ended.wait(5)


@pytest.mark.parametrize("framing", ["chunked", "until close"])
def test_each_event_of_a_stream_arrives_before_the_next_is_sent(site: Site, framing: str) -> None:
    proxy, backend = site
    step = threading.Semaphore(0)

    def stream(exchange: Exchange) -> None:
        exchange.body()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        exchange.send(head + (b"Transfer-Encoding: chunked\r\n\r\n" if framing == "chunked" else b"\r\n"))
        for i in range(5):
            event = b"data: %d\n\n" % i
            exchange.send(b"%x\r\n%b\r\n" % (len(event), event) if framing == "chunked" else event)
            step.acquire(timeout=10)
        if framing == "chunked":
            exchange.send(b"0\r\n\r\n")
        exchange.close()

    path = f"/sse/{framing.replace(' ', '-')}"
    backend.on(path, stream)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", path, [("Accept", "text/event-stream")]))
        got = b""
        for event in client.events():
            if isinstance(event, h11.Data):
                got += bytes(event.data)
                if got.endswith(b"\n\n"):
                    step.release()
    assert got == b"".join(b"data: %d\n\n" % i for i in range(5))


def test_a_client_that_leaves_a_stream_ends_it_upstream(site: Site) -> None:
    proxy, backend = site

    def stream(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n")
        exchange.await_close()

    backend.on("/sse/left", stream)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/sse/left"))
        assert any(isinstance(event, h11.Data) for event in client.events())
    assert backend.seen("/sse/left")[0].connection.ended.wait(5)

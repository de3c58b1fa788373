"""Behind a PROXY header the client is whom it names, for logs, limits and servers; without one nobody comes in."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends import Backend
from tests.certificates import Pair, TlsClient, careless
from tests.clients import Answer, Client, request_bytes
from tests.proxies import Proxy, free_address
from tests.waiting import wait_for

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v1(source: str) -> bytes:
    kind, destination = (6, "::2") if ":" in source else (4, "10.0.0.2")
    return f"PROXY TCP{kind} {source} {destination} 5000 443\r\n".encode()


def v2(source: str, tlvs: bytes = b"") -> bytes:
    kind = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(kind, source)
    body = packed + packed + struct.pack("!HH", 5000, 443) + tlvs
    return SIGNATURE + bytes((0x21, 0x21 if ":" in source else 0x11)) + struct.pack("!H", len(body)) + body


LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
UNSPEC = SIGNATURE + b"\x21\x00\x00\x00"
UNIX = SIGNATURE + b"\x21\x31" + struct.pack("!H", 216) + bytes(216)


def site(backend: Backend, *listen: dict[str, Any], **more: object) -> dict[str, Any]:
    return {
        "listen": list(listen),
        "trusted_proxies": ["127.0.0.1", "10.1.0.0/16"],
        "forwarded": "both",
        "upstreams": {"b": {"servers": [backend.address]}},
        "rate_limits": {"one": {"key": "client_ip", "rate": "1/h"}},
        "routes": [
            {"match": {"path": "/once"}, "respond": {"body": "once"}, "rate_limit": "one"},
            {"match": {"prefix": "/"}, "upstream": "b"},
        ],
        **more,
    }


@pytest.fixture(scope="module")
def proxy(backend: Backend, folder: Path, pair: Pair) -> Iterator[Proxy]:
    """In the clear first, with TLS second, on a unix socket third."""
    log = {"access": {"path": str(folder / "access.log"), "format": "json", "flush": "50ms"}}
    doors = [
        {"address": free_address(), "proxy_protocol": True},
        {"address": free_address(), "proxy_protocol": True, "tls": pair.config()},
        {"address": f"unix:{folder}/sock", "proxy_protocol": True},
    ]
    with Proxy(site(backend, *doors, log=log, limits={"connections_per_ip": 3}, timeouts={"head": "2s"})) as proxy:
        yield proxy


def ask(proxy: Proxy, preface: bytes, target: str, fields: list[tuple[str, str]] | None = None) -> Answer:
    with Client(proxy.address) as client:
        client.send(preface + request_bytes("GET", target, fields or []))
        return client.answer()


SOURCES = {
    "v1": (v1("192.0.2.1"), "192.0.2.1"),
    "v1 IPv6": (v1("2001:db8::1"), "2001:db8::1"),
    "v1 mapped": (v1("::ffff:192.0.2.7"), "192.0.2.7"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v2": (v2("192.0.2.2"), "192.0.2.2"),
    "v2 IPv6": (v2("2001:db8::2"), "2001:db8::2"),
    "v2 TLVs": (v2("192.0.2.3", b"\x04\x00\x03abc" + b"\x20\x01\x00" + bytes(256)), "192.0.2.3"),
    "v2 local": (LOCAL, "127.0.0.1"),
    "v2 unspecified": (UNSPEC, "127.0.0.1"),
    "v2 unix": (UNIX, "unix:"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_client_is_whom_the_header_names(proxy: Proxy, backend: Backend, folder: Path, name: str) -> None:
    preface, client = SOURCES[name]
    target = "/source/" + name.replace(" ", "-")
    assert ask(proxy, preface, target).status == 200
    seen = backend.wait_seen(target)[-1]
    assert seen.value("x-forwarded-for") == client
    shown = "unknown" if client == "unix:" else f'"[{client}]"' if ":" in client else client
    assert (seen.value("forwarded") or "").startswith(f"for={shown};")

    def logged() -> str | None:
        rows = [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]
        return next((row["client"] for row in rows if row["target"] == target), None)

    assert wait_for(logged, "the log line") == client


@pytest.mark.parametrize("name", SOURCES)
def test_a_header_may_come_byte_by_byte(proxy: Proxy, name: str) -> None:
    with Client(proxy.address) as client:
        client.drip(SOURCES[name][0])
        client.drip(request_bytes("GET", "/drip"))
        assert client.answer().status == 200
        assert client.ask("GET", "/again").status == 200


@pytest.mark.parametrize(("preface", "believed"), [
    (v1("10.1.2.3"), True),             # the balancer before the balancer
    (v1("192.0.2.9"), False),
    (LOCAL, True),                      # the peer itself, which is trusted
    (UNSPEC, False), (b"PROXY UNKNOWN\r\n", False),     # the peer does not know who speaks
    (UNIX, False),
], ids=["trusted", "stranger", "local", "unspecified", "unknown", "unix"])
def test_forwarding_fields_are_believed_of_whom_the_header_names(
    proxy: Proxy, backend: Backend, preface: bytes, believed: bool
) -> None:
    n = len(backend.seen("/believed"))
    ask(proxy, preface, "/believed", [("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "gopher")])
    seen = backend.wait_seen("/believed", n + 1)[-1]
    assert (seen.value("x-forwarded-for") or "").startswith("203.0.113.5, ") is believed
    assert seen.value("x-forwarded-proto") == ("gopher" if believed else "http")


def test_limits_count_whom_the_header_names(proxy: Proxy) -> None:
    assert [ask(proxy, v1("192.0.2.50"), "/once").status for _ in range(2)] == [200, 429]
    assert ask(proxy, v2("192.0.2.51"), "/once").status == 200


def test_connections_per_ip_count_whom_the_header_names(proxy: Proxy) -> None:
    clients = [Client(proxy.address) for _ in range(4)]
    try:
        answers = []
        for client in clients:
            client.send(v1("192.0.2.60") + request_bytes("GET", "/held"))
            answers.append(client.answer().status)
        assert answers == [200, 200, 200, 429]
        assert ask(proxy, v1("192.0.2.61"), "/held").status == 200
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("sent", [
    request_bytes("GET", "/"), b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    b"\x16\x03\x01\x00\x05hello", b"PROXY UNKNOWN " + b"x" * 200,
], ids=["none", "short", "bare-lf", "version-3", "tls", "long"])
def test_whatever_is_no_header_closes_and_is_counted(proxy: Proxy, backend: Backend, sent: bytes) -> None:
    before, n = proxy.metric("hotpath_proxy_rejected_total", reason="malformed"), backend.n_seen
    with Client(proxy.address) as client:
        client.send(sent)
        assert client.rest() == b""
    assert proxy.metric("hotpath_proxy_rejected_total", reason="malformed") == before + 1
    assert backend.n_seen == n


def test_half_a_header_and_then_the_end_is_malformed(proxy: Proxy) -> None:
    before = proxy.metric("hotpath_proxy_rejected_total", reason="malformed")
    with Client(proxy.address) as client:
        client.send(v1("192.0.2.1")[:20])
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    assert proxy.metric("hotpath_proxy_rejected_total", reason="malformed") == before + 1


def test_who_connects_and_leaves_is_nobodys_fault(proxy: Proxy) -> None:
    before = proxy.metric("hotpath_proxy_rejected_total", reason="malformed")
    with Client(proxy.address) as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    assert proxy.metric("hotpath_proxy_rejected_total", reason="malformed") == before


def test_a_header_that_never_ends_is_closed_at_the_deadline(proxy: Proxy) -> None:
    with Client(proxy.address) as silent, Client(proxy.address) as slow:
        slow.send(SIGNATURE)
        assert silent.rest() == b""
        assert slow.rest() == b""


def test_a_peer_that_is_not_trusted_is_closed(backend: Backend) -> None:
    door = {"address": free_address(), "proxy_protocol": True}
    with Proxy(site(backend, door, trusted_proxies=["10.1.0.0/16"])) as proxy:
        with Client(proxy.address) as client:
            client.send(v1("192.0.2.1") + request_bytes("GET", "/"))
            assert client.rest() == b""
        assert proxy.metric("hotpath_proxy_rejected_total", reason="malformed") == 1


def test_a_header_is_no_request_where_none_is_asked_for(backend: Backend) -> None:
    with Proxy(site(backend, {"address": free_address()})) as proxy:
        assert ask(proxy, v1("192.0.2.1"), "/").status == 400


@pytest.mark.parametrize("preface", [v1("192.0.2.80"), v2("192.0.2.80", b"\x04\x00\x00")], ids=["v1", "v2"])
def test_before_tls(proxy: Proxy, backend: Backend, preface: bytes) -> None:
    address = proxy.config["listen"][1]["address"]
    n = len(backend.seen("/before/tls"))
    with TlsClient(address, careless(), preface=preface) as client:
        assert client.ask("GET", "/before/tls").status == 200
    with TlsClient(address, careless(), prepare=lambda client: client.drip(preface)) as client:
        assert client.ask("GET", "/before/tls").status == 200
    for seen in backend.wait_seen("/before/tls", n + 2)[n:]:
        assert seen.value("x-forwarded-for") == "192.0.2.80"
        assert seen.value("x-forwarded-proto") == "https"


def test_tls_without_a_header_is_closed(proxy: Proxy) -> None:
    with pytest.raises(OSError, match=r"EOF|reset"):
        TlsClient(proxy.config["listen"][1]["address"], careless())


def test_on_a_unix_socket_its_file_says_who_may(proxy: Proxy, backend: Backend, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(f"{folder}/sock")
        sock.sendall(v2("192.0.2.90") + request_bytes("GET", "/by/unix"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert backend.wait_seen("/by/unix")[0].value("x-forwarded-for") == "192.0.2.90"

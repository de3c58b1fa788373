"""A backend's malformed answer is a 502, or an aborted connection, but never the client's problem to interpret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import Backend, Exchange, saying
from tests.clients import Client, CutShort, chunked, fetch, request_bytes
from tests.proxies import Proxy

Site = tuple[Proxy, Backend]

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "limits": {"head": "4k", "fields": 50},
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}},
            "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


HEADS: list[tuple[str, bytes]] = [
    ("no http", b"hello\r\n\r\n"),
    ("only bytes", b"\x00\x01\x02\x03\r\n\r\n"),
    ("version 2", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("version 1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("lower-case", b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status 99", b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n"),
    ("status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status of letters", b"HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n"),
    ("two spaces", b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("control in reason", b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n"),
    ("length with chunked", OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two equal lengths", OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    ("two lengths", OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("list of lengths", OK + b"Content-Length: 3, 3\r\n\r\nabc"),
    ("plus length", OK + b"Content-Length: +3\r\n\r\nabc"),
    ("minus length", OK + b"Content-Length: -3\r\n\r\n"),
    ("empty length", OK + b"Content-Length:\r\n\r\n"),
    ("length 2**63", OK + b"Content-Length: 9223372036854775808\r\n\r\n"),
    ("unknown coding", OK + b"Transfer-Encoding: gzip\r\n\r\n"),
    ("gzip, chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked in 1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("folded value", OK + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("no colon", OK + b"X-A\r\nContent-Length: 0\r\n\r\n"),
    ("empty name", OK + b": b\r\nContent-Length: 0\r\n\r\n"),
    ("non-token name", OK + b"X(A): b\r\nContent-Length: 0\r\n\r\n"),
    ("NUL in value", OK + b"X-A: b\x00\r\nContent-Length: 0\r\n\r\n"),
    ("CR in value", OK + b"X-A: b\rSet-Cookie: evil\r\nContent-Length: 0\r\n\r\n"),
    ("bare LF", OK + b"X-A: b\nX-B: c\r\nContent-Length: 0\r\n\r\n"),
    ("101 unasked", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ("head too large", OK + b"X-A: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    ("nothing but interim", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
]


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in HEADS])
def test_a_bad_answer_head_is_502_and_the_connection_is_left(site: Site, raw: bytes) -> None:
    proxy, backend = site
    backend.on("/bad", saying(raw, then_close=True))
    with Client(proxy.address) as client:
        answer = client.ask("GET", "/bad")
        assert answer.status == 502
        assert b"evil" not in answer.body
        assert all("evil" not in value for _, value in answer.fields)
    with Client(proxy.address) as client:
        assert client.ask("GET", "/good").json()["target"] == "/good"
    assert backend.seen("/good")[-1].connection is not backend.seen("/bad")[-1].connection


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in HEADS if len(raw) < 60])
def test_a_bad_answer_head_is_502_byte_by_byte(site: Site, raw: bytes) -> None:
    proxy, backend = site

    def script(exchange: Exchange) -> None:
        exchange.drip(raw)
        exchange.close()

    backend.on("/drip", script)
    assert fetch(proxy.address, "/drip").status == 502


BODIES: list[tuple[str, bytes]] = [
    ("short of its length", OK + b"Content-Length: 10\r\n\r\nfive!"),
    ("no last chunk", CHUNKED + b"5\r\nfive!\r\n"),
    ("cut in a chunk", CHUNKED + b"a\r\nfive!"),
    ("bad size", CHUNKED + b"5\r\nfive!\r\nxyz\r\n"),
    ("missing CRLF", CHUNKED + b"5\r\nfive!0\r\n\r\n"),
    ("bare LF", CHUNKED + b"5\r\nfive!\r\n0\n\n"),
    ("bad trailer", CHUNKED + b"5\r\nfive!\r\n0\r\nX A: b\r\n\r\n"),
]


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in BODIES])
def test_a_broken_answer_body_ends_the_connection_without_pretending(site: Site, raw: bytes) -> None:
    proxy, backend = site

    def script(exchange: Exchange) -> None:
        # Head and first bytes leave before the fault arrives, so that the answer has begun.
        head, _, body = raw.partition(b"\r\n\r\n")
        exchange.send(head + b"\r\n\r\n" + body[:1])
        exchange.send(body[1:])
        exchange.close()

    backend.on("/broken", script)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/broken"))
        # Either the fault came with the head, then 502 is right; or the answer had begun, and is visibly cut.
        try:
            complete, answer = True, client.answer()
        except CutShort as cut:
            complete, answer = False, cut.answer
    assert answer is None or answer.status == (502 if complete else 200)


def test_a_space_before_the_colon_of_an_answer_is_removed(site: Site) -> None:
    proxy, backend = site
    backend.on("/space", saying(OK + b"X-A : b\r\nContent-Length : 2\r\n\r\nok"))
    answer = fetch(proxy.address, "/space")
    assert (answer.status, answer.body) == (200, b"ok")
    assert ("X-A", "b") in answer.fields


def test_a_reason_may_be_missing(site: Site) -> None:
    proxy, backend = site
    backend.on("/reason", saying(b"HTTP/1.1 201 \r\nContent-Length: 2\r\n\r\nok"))
    assert fetch(proxy.address, "/reason").status == 201


@pytest.mark.parametrize("status", [200, 299, 404, 599, 600, 999])
def test_any_three_digit_status_passes(site: Site, status: int) -> None:
    proxy, backend = site
    backend.on("/status", saying(b"HTTP/1.1 %d Odd\r\nContent-Length: 2\r\n\r\nok" % status))
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/status", [("Connection", "close")]))
        raw = client.rest()
    assert raw.startswith(b"HTTP/1.1 %d " % status)
    assert raw.endswith(b"\r\n\r\nok")


def test_an_answer_before_the_request_is_not_taken_for_one(site: Site) -> None:
    """Bytes that wait on an idle connection belong to nobody (nginx CVE-2026-1642)."""
    proxy, backend = site

    def early(exchange: Exchange) -> None:
        exchange.answer(b"first")
        exchange.send(OK + b"Content-Length: 4\r\n\r\nevil")
        exchange.await_close()  # the proxy leaves a connection that speaks unasked

    backend.on("/talker", early)
    with Client(proxy.address) as client:
        assert client.ask("GET", "/talker").body == b"first"
        assert backend.seen("/talker")[0].connection.ended.wait(5)
        assert client.ask("GET", "/after/talker").json()["target"] == "/after/talker"


def test_a_body_behind_a_204_is_not_delivered(site: Site) -> None:
    proxy, backend = site
    backend.on("/204", saying(b"HTTP/1.1 204 No Content\r\n\r\n" + OK + b"Content-Length: 4\r\n\r\nevil"))
    with Client(proxy.address) as client:
        assert client.ask("GET", "/204").status == 204
        assert client.ask("GET", "/after/204").json()["target"] == "/after/204"


def test_a_chunked_answer_to_an_http_1_0_client_is_sent_plain(site: Site) -> None:
    proxy, backend = site
    backend.on("/plain", saying(CHUNKED + chunked(b"one ", b"two")))
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/plain", version="1.0"))
        raw = client.rest()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == b"one two"

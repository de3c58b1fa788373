"""After a fault: the backend sees an incomplete request, the client sees why if it still can, and then the end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.backends import Backend, Exchange, Script
from tests.clients import Client, CutShort, chunked, request_bytes
from tests.proxies import Proxy
from tests.proxy.exam_cases import CODED, HOST
from tests.waiting import wait_for

Site = tuple[Proxy, Backend]

KIB = 1024
DISCARDED = 64 * KIB
BAD = b"GET /bad HTTP/1.1\r\nHost: exam\r\nX : y\r\n\r\n"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        upstream = {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}
        config = {
            "limits": {"body": "64k"},
            "upstreams": {"b": upstream},
            "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def begin(site: Site, path: str, body: bytes, *, script: Script | None = None) -> tuple[Client, Exchange]:
    """A chunked request whose head and first chunk have reached the backend."""
    proxy, backend = site
    arrived = threading.Event()

    def read(exchange: Exchange) -> None:
        for _ in exchange.pieces():
            arrived.set()

    backend.on(path, script or read)
    client = Client(proxy.address)
    client.send(b"POST " + path.encode() + b" HTTP/1.1\r\n" + HOST + CODED + b"\r\n" + body)
    (exchange,) = backend.wait_seen(path)
    if script is None:
        assert arrived.wait(5)
    return client, exchange


FAULTS = {
    "bad size": b"xyz\r\n",
    "no end of a chunk": b"5\r\nhelloX",
    "bare LF": b"0\n\n",
    "bad trailer": b"0\r\nX : y\r\n\r\n",
    "signed size": b"+0\r\n\r\n",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_behind_what_was_forwarded_aborts_it_and_is_told(site: Site, fault: str) -> None:
    client, exchange = begin(site, "/abort/" + fault.replace(" ", "-"), b"5\r\nfirst\r\n")
    with client:
        client.send(FAULTS[fault] + request_bytes("GET", "/smuggled"))
        answer = client.answer()
        assert (answer.status, answer.says_close) == (400, True)
        assert client.rest() == b""
    assert exchange.cut.wait(5)
    assert not exchange.complete
    assert not site[1].seen("/smuggled")


def test_a_body_that_grows_too_large_is_aborted_and_told(site: Site) -> None:
    client, exchange = begin(site, "/grows", b"5\r\nfirst\r\n")
    with client:
        client.send(b"%x\r\n" % (64 * KIB) + bytes(64 * KIB) + b"\r\n0\r\n\r\n")
        assert client.answer().status == 413
        assert client.rest() == b""
    assert exchange.cut.wait(5)
    assert not exchange.complete


def test_a_fault_behind_the_first_byte_of_the_answer_is_not_told_but_seen(site: Site) -> None:
    """The answer has begun: another status would be a lie, an end of it too."""

    def early(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
        exchange.body()

    client, exchange = begin(site, "/early", b"5\r\nfirst\r\n", script=early)
    with client:
        seen = client.exactly(12)
        client.send(b"xyz\r\n")
        seen += client.rest()
    assert seen.startswith(b"HTTP/1.1 200")
    assert not seen.endswith(b"0\r\n\r\n")
    assert exchange.cut.wait(5)
    assert not exchange.complete


def test_a_client_that_leaves_in_its_body_leaves_no_request_behind(site: Site) -> None:
    client, exchange = begin(site, "/leaves", b"5\r\nfirst\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    with client, pytest.raises(CutShort):
        client.answer()
    assert exchange.cut.wait(5)
    assert not exchange.complete


def test_after_a_refusal_the_rest_is_read_and_thrown_away(site: Site) -> None:
    """Else the kernel would reset the connection, and our answer with it."""
    with Client(site[0].address) as client:
        client.send(BAD)
        assert client.answer().status == 400
        assert client.rest() == b""  # its FIN has come, and yet:
        for _ in range(15):
            client.sock.sendall(bytes(4 * KIB))


def test_what_is_thrown_away_is_bounded(site: Site) -> None:
    proxy, _ = site
    with Client(proxy.address) as client:
        client.send(BAD)
        assert client.answer().status == 400

        def refused() -> bool:
            try:
                client.sock.sendall(bytes(DISCARDED))
            except ConnectionError:
                return True
            return False

        wait_for(refused, "the connection to be reset")


def test_a_client_that_stays_silent_after_a_refusal_is_not_waited_for(site: Site) -> None:
    proxy, _ = site
    wait_for(lambda: proxy.connections() == 0, "earlier connections to end")
    with Client(proxy.address) as client:
        client.send(BAD)
        assert client.answer().status == 400
        wait_for(lambda: proxy.connections() == 0, "the connection to be closed, with its client still there")


def test_a_whole_request_after_all_of_that(site: Site) -> None:
    with Client(site[0].address) as client:
        client.send(b"POST /whole HTTP/1.1\r\n" + HOST + CODED + b"\r\n" + chunked(b"one", b"two"))
        assert client.answer().json()["body"] == "onetwo"

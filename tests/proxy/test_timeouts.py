"""Every wait ends: for a head, a body, an answer, a reader, and between two requests."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.backends import Backend, Exchange, unanswering
from tests.clients import Client, CutShort, fetch, request_bytes
from tests.proxies import Proxy

Site = tuple[Proxy, Backend]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend, unanswering() as silent:
        config = {
            "timeouts": {
                "head": "400ms",
                "body": "400ms",
                "send": "400ms",
                "idle": "400ms",
                "connect": "200ms",
                "response": "400ms",
                "read": "400ms",
            },
            "upstreams": {
                "b": {"servers": [backend.address], "passive": {"failures": 0}},
                "silent": {"servers": [silent], "passive": {"failures": 0}},
            },
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"prefix": "/silent"}, "upstream": "silent"},
                {"match": {"prefix": "/drips"}, "upstream": "b", "timeouts": {"response": "20s", "read": "2s"}},
                {
                    "match": {"prefix": "/patient"},
                    "upstream": "b",
                    "timeouts": {"response": "20s", "read": "20s", "body": "20s"},
                },
                {"match": {"prefix": "/total"}, "upstream": "b", "timeouts": {"response": "20s", "request": "600ms"}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def hold(exchange: Exchange) -> None:
    """Take the request, never answer, until the proxy leaves."""
    exchange.body()
    exchange.await_close()


def feed_until_answered(client: Client, data: bytes) -> None:
    """Send a byte every 50 ms until something comes back. Raises AssertionError when nothing does."""
    client.sock.settimeout(0.05)
    for i in range(len(data)):
        client.send(data[i : i + 1])
        try:
            client._early = client.receive()
        except TimeoutError:
            continue
        client.sock.settimeout(10)
        return
    raise AssertionError("all bytes were taken without an answer")


@pytest.mark.parametrize("part", [b"G", b"GET / HT", request_bytes("GET", "/")[:-1]])
def test_a_head_that_stops_is_408(site: Site, part: bytes) -> None:
    with Client(site[0].address) as client:
        client.send(part)
        answer = client.answer()
        assert (answer.status, answer.says_close) == (408, True)
        assert client.rest() == b""


def test_a_head_that_drips_is_408_all_the_same(site: Site) -> None:
    # Each byte is in time; the deadline is for the whole head.
    with Client(site[0].address) as client:
        feed_until_answered(client, request_bytes("GET", "/", [("X-Slow", "y" * 200)]))
        assert client.answer().status == 408


def test_a_second_head_has_a_deadline_too(site: Site) -> None:
    with Client(site[0].address) as client:
        assert client.ask("GET", "/").status == 200
        client.send(b"GET / HTTP/1.1\r\nHost: te")
        assert client.answer().status == 408


def test_a_connection_that_says_nothing_is_closed(site: Site) -> None:
    with Client(site[0].address) as client:
        assert client.rest()[:12] in (b"", b"HTTP/1.1 408")


def test_an_idle_connection_is_closed_without_a_word(site: Site) -> None:
    with Client(site[0].address) as client:
        assert client.ask("GET", "/").status == 200
        assert client.rest() == b""


@pytest.mark.parametrize("framing", [("Content-Length", "10"), ("Transfer-Encoding", "chunked")])
def test_a_body_that_stops_is_408_and_aborted_upstream(site: Site, framing: tuple[str, str]) -> None:
    proxy, backend = site
    path = f"/stops/{framing[0]}"
    backend.on(path, hold)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", path, [framing]) + b"4\r\n")
        assert client.answer("POST").status == 408
        assert client.rest() == b""
    for exchange in backend.seen(path):
        assert exchange.connection.ended.wait(5)
        assert not exchange.complete


def test_no_answer_is_504_and_the_backend_is_left(site: Site) -> None:
    proxy, backend = site
    backend.on("/never", hold)
    for method in ("GET", "POST"):
        answer = fetch(proxy.address, "/never", method)
        assert (answer.status, answer.value("content-type")) == (504, "application/problem+json")
    for exchange in backend.seen("/never"):
        assert exchange.connection.ended.wait(5)


def test_a_post_that_timed_out_is_not_sent_again(site: Site) -> None:
    proxy, backend = site
    backend.on("/never/post", hold)
    assert fetch(proxy.address, "/never/post", "POST", body=b"x").status == 504
    assert len(backend.wait_seen("/never/post")) == 1


def test_a_silent_server_is_504(site: Site) -> None:
    assert fetch(site[0].address, "/silent").status == 504


def test_an_answer_that_stops_is_cut(site: Site) -> None:
    proxy, backend = site

    def stop(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(HEAD + b"half")
        exchange.await_close()

    backend.on("/half", stop)
    with pytest.raises(CutShort) as caught:
        fetch(proxy.address, "/half")
    assert caught.value.answer is not None
    assert caught.value.answer.body == b"half"
    assert backend.seen("/half")[0].connection.ended.wait(5)


def test_an_answer_that_drips_in_time_is_delivered(site: Site) -> None:
    proxy, backend = site

    def drip(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(HEAD)
        for byte in b"0123456789":
            exchange.pause(0.25)        # together longer than the deadline
            exchange.send(bytes([byte]))

    backend.on("/drips", drip)
    assert fetch(proxy.address, "/drips").body == b"0123456789"


def test_a_reader_that_stops_is_left_and_so_is_the_backend(site: Site) -> None:
    proxy, backend = site

    def pour(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        exchange.send(bytes(100_000_000))

    backend.on("/pour", pour)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/pour"))
        (exchange,) = backend.wait_seen("/pour")
        assert exchange.connection.ended.wait(8)
        # What was under way can still be read; it is cut, not complete.
        with pytest.raises(CutShort):
            client.answer()


def test_a_route_may_be_more_patient(site: Site) -> None:
    proxy, backend = site

    def late(exchange: Exchange) -> None:
        exchange.body()
        exchange.pause(0.8)  # twice what other routes allow
        exchange.answer(b"late")

    backend.on("/patient", late)
    assert fetch(proxy.address, "/patient").body == b"late"


def test_a_request_as_a_whole_may_have_a_deadline(site: Site) -> None:
    proxy, backend = site
    backend.on("/total", hold)
    started_s = time.monotonic()
    assert fetch(proxy.address, "/total").status == 504
    # Only that it was this deadline and not the route's 20 s for an answer.
    assert time.monotonic() - started_s < 15


def test_a_deadline_also_ends_an_answer_that_never_stops(site: Site) -> None:
    proxy, backend = site

    def endless(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.connection.sock.settimeout(0.1)
        while True:
            exchange.send(b"1\r\nx\r\n")
            try:
                if not exchange.connection.receive():
                    exchange.close()
                    return
            except TimeoutError:
                continue

    backend.on("/total/endless", endless)
    with pytest.raises(CutShort):
        fetch(proxy.address, "/total/endless")
    assert backend.seen("/total/endless")[0].connection.ended.wait(5)

"""Bodies stream through in both directions, whole, in order and without being gathered in memory."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import h11
import pytest

from tests.backends import Backend, CutShort, Exchange, saying
from tests.clients import Client, chunked, fetch, request_bytes
from tests.proxies import PATIENCE_S, Proxy

Site = tuple[Proxy, Backend]

MIB = 1024 * 1024

# Far from periodic in any power of two, so that a lost or doubled buffer shows in the checksum.
BIG = b"".join(b"%06d hotpath " % i for i in range(9 * MIB // 15))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "limits": {"body": "64m"},
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}}},
            "routes": [{"name": "all", "match": {"prefix": "/"}, "upstream": "b"}],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def digest(exchange: Exchange) -> None:
    """Answer with the checksum of the body."""
    checksum = hashlib.sha256()
    for piece in exchange.pieces():
        checksum.update(piece)
    exchange.answer(checksum.hexdigest().encode())


def sized(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_a_large_upload_with_a_length_arrives_whole(site: Site) -> None:
    proxy, backend = site
    backend.on("/up/length", digest)
    answer = fetch(proxy.address, "/up/length", "POST", body=BIG)
    assert answer.body.decode() == hashlib.sha256(BIG).hexdigest()
    assert backend.seen("/up/length")[0].value("content-length") == str(len(BIG))


def test_a_large_chunked_upload_arrives_whole(site: Site) -> None:
    proxy, backend = site
    backend.on("/up/chunked", digest)
    pieces = [BIG[i : i + 70001] for i in range(0, len(BIG), 70001)]
    answer = fetch(proxy.address, "/up/chunked", "POST", [("Transfer-Encoding", "chunked")], chunked(*pieces))
    assert answer.body.decode() == hashlib.sha256(BIG).hexdigest()
    assert backend.seen("/up/chunked")[0].value("transfer-encoding") == "chunked"
    assert backend.seen("/up/chunked")[0].value("content-length") is None


def test_a_chunked_upload_may_come_byte_by_byte(site: Site) -> None:
    proxy, _backend = site
    with Client(proxy.address) as client:
        client.drip(
            request_bytes(
                "POST", "/up/drip", [("Transfer-Encoding", "chunked")], chunked(b"abc", b"d", b"efghijklmnop")
            )
        )
        assert client.answer().json()["body"] == "abcdefghijklmnop"


def test_a_large_download_with_a_length_arrives_whole(site: Site) -> None:
    proxy, backend = site
    backend.on("/down/length", saying(sized(BIG)))
    assert fetch(proxy.address, "/down/length").body == BIG


def test_a_large_chunked_download_arrives_whole(site: Site) -> None:
    proxy, backend = site
    pieces = [BIG[i : i + 30011] for i in range(0, len(BIG), 30011)]
    backend.on("/down/chunked", saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*pieces)))
    answer = fetch(proxy.address, "/down/chunked")
    assert answer.body == BIG
    assert answer.value("transfer-encoding") == "chunked"


def test_a_download_that_ends_by_close_is_chunked_for_the_client_who_stays_connected(site: Site) -> None:
    proxy, backend = site
    backend.on("/down/close", saying(b"HTTP/1.1 200 OK\r\n\r\n" + BIG, then_close=True))
    with Client(proxy.address) as client:
        answer = client.ask("GET", "/down/close")
        assert answer.body == BIG
        assert answer.value("transfer-encoding") == "chunked"
        assert client.ask("GET", "/after").status == 200


def test_an_http_1_0_backend_is_understood(site: Site) -> None:
    proxy, backend = site
    backend.on("/down/old", saying(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold", then_close=True))
    answer = fetch(proxy.address, "/down/old")
    assert (answer.version, answer.body) == ("1.1", b"old")


@pytest.mark.parametrize(
    "response",
    [
        sized(b"hello"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"he", b"llo"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + sized(b"hello"),
    ],
    ids=["length", "chunked", "interim"],
)
def test_an_answer_may_come_byte_by_byte(site: Site, response: bytes) -> None:
    proxy, backend = site
    backend.on("/down/drip", lambda exchange: exchange.drip(response))
    assert fetch(proxy.address, "/down/drip").body == b"hello"


def test_a_reader_that_stops_makes_the_backend_stop_and_memory_stay_small(site: Site) -> None:
    proxy, backend = site
    size = 64 * MIB
    stuck, sent = threading.Event(), []

    def pour(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        exchange.connection.sock.settimeout(1.0)  # this long without taking a byte is "stopped"
        view, done = memoryview(bytes(size)), 0
        while done < size:
            try:
                done += exchange.connection.sock.send(view[done : done + 65536])
            except TimeoutError:
                sent.append(done)
                stuck.set()
                exchange.connection.sock.settimeout(PATIENCE_S)

    backend.on("/slow/reader", pour)
    before = sum(resident_bytes(pid) for pid in proxy.workers())
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/slow/reader"))
        assert stuck.wait(PATIENCE_S), "the backend was never made to wait"
        # What got through fills the kernel's buffers on both sides (each grows to some MiB), nothing of ours.
        assert sent[0] < 32 * MIB
        assert sum(resident_bytes(pid) for pid in proxy.workers()) - before < 4 * MIB
        n = sum(len(event.data) for event in client.events() if isinstance(event, h11.Data))
    assert n == size


def test_what_is_kept_of_an_answer_whose_reader_stopped_is_small(site: Site) -> None:
    proxy, backend = site
    size, n_readers = 64 * MIB, 16
    view = memoryview(bytes(size))
    stuck = threading.Semaphore(0)
    over = threading.Event()

    def pour(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sock, done = exchange.connection.sock, 0
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.settimeout(1.0)  # this long without taking a byte is "stopped"
        with suppress(TimeoutError):
            while done < size:
                done += sock.send(view[done : done + 65536])
        assert done < size
        stuck.release()
        over.wait(PATIENCE_S)

    backend.on("/slow/readers", pour)
    before = sum(resident_bytes(pid) for pid in proxy.workers())
    with ExitStack() as stack:
        stack.callback(over.set)
        for _ in range(n_readers):
            client = stack.enter_context(Client(proxy.address))
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.send(request_bytes("GET", "/slow/readers"))
        for _ in range(n_readers):
            assert stuck.acquire(timeout=PATIENCE_S), "a backend was never made to wait"
        grown = sum(resident_bytes(pid) for pid in proxy.workers()) - before
    assert grown < n_readers * 96 * 1024  # the contract says 128 KiB; one piece is 72, and most readers leave less


def test_a_backend_that_stops_reading_makes_the_client_stop(site: Site) -> None:
    proxy, backend = site
    gate = threading.Event()

    def hold(exchange: Exchange) -> None:
        gate.wait(PATIENCE_S)
        digest(exchange)

    backend.on("/slow/writer", hold)
    body = bytes(60 * MIB)
    before = sum(resident_bytes(pid) for pid in proxy.workers())
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/slow/writer", [("Content-Length", str(len(body)))]))
        client.sock.settimeout(1.0)  # this long without taking a byte is "stopped"
        view, done = memoryview(body), 0
        with suppress(TimeoutError):
            while done < len(body):
                done += client.sock.send(view[done : done + 65536])
        assert done < 32 * MIB
        assert sum(resident_bytes(pid) for pid in proxy.workers()) - before < 4 * MIB
        gate.set()
        client.sock.settimeout(PATIENCE_S)
        client.send(body[done:])
        assert client.answer().body.decode() == hashlib.sha256(body).hexdigest()


def resident_bytes(pid: int) -> int:
    """Anonymous memory of a process: what it allocated, not what it maps."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise LookupError("RssAnon")


@pytest.mark.parametrize(
    ("method", "response", "status"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n', 304),
    ],
    ids=["HEAD length", "HEAD chunked", "204", "304"],
)
def test_an_answer_without_body_leaves_both_connections_usable(
    site: Site, method: str, response: bytes, status: int
) -> None:
    proxy, backend = site
    backend.on("/bodiless", saying(response))
    with Client(proxy.address) as client:
        for _ in range(3):
            answer = client.ask(method, "/bodiless")
            assert (answer.status, answer.body) == (status, b"")
            if b"Content-Length" in response:
                assert answer.value("content-length") == "5"
    assert len({id(exchange.connection) for exchange in backend.seen("/bodiless")[-3:]}) == 1


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    proxy, backend = site
    with Client(proxy.address) as client:
        client.send(
            request_bytes("POST", "/pipe/1", body=b"one")
            + request_bytes("GET", "/pipe/2")
            + request_bytes("POST", "/pipe/3", [("Transfer-Encoding", "chunked")], chunked(b"th", b"ree"))
            + request_bytes("GET", "/pipe/4")
        )
        answers = [client.answer().json() for _ in range(4)]
    assert [(a["target"], a["body"]) for a in answers] == [
        ("/pipe/1", "one"),
        ("/pipe/2", ""),
        ("/pipe/3", "three"),
        ("/pipe/4", ""),
    ]
    assert [len(backend.seen(f"/pipe/{i}")) for i in range(1, 5)] == [1, 1, 1, 1]


def test_an_answer_that_comes_before_the_upload_is_over_is_passed_on(site: Site) -> None:
    proxy, backend = site

    def refuse(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        with suppress(CutShort):
            exchange.body()
        exchange.close()

    backend.on("/early", refuse)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/early", [("Content-Length", "1000000")]) + bytes(1000))
        answer = client.answer()
    assert (answer.status, answer.body) == (413, b"no")


def test_chunk_extensions_and_trailers_are_dropped_on_the_way_up(site: Site) -> None:
    proxy, backend = site
    body = b'3;name=value;q="a b"\r\nabc\r\n0\r\nX-Trailer: secret\r\n\r\n'
    answer = fetch(proxy.address, "/up/ext", "POST", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Trailer")], body)
    assert answer.json()["body"] == "abc"
    received = bytes(backend.seen("/up/ext")[0].connection.received)
    assert b"name=value" not in received
    assert b"secret" not in received


def test_chunk_extensions_and_trailers_are_dropped_on_the_way_down(site: Site) -> None:
    proxy, backend = site
    backend.on(
        "/down/ext",
        saying(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;name=value\r\nabc\r\n0\r\nX-Trailer: secret\r\n\r\n"
        ),
    )
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/down/ext", [("Connection", "close")]))
        received = client.rest()
    assert b"abc" in received
    assert b"name=value" not in received
    assert b"secret" not in received


def test_a_request_that_expects_100_gets_it_before_its_body_goes_up(site: Site) -> None:
    proxy, backend = site

    def invite(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.answer(exchange.body())

    backend.on("/expect", invite)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/expect", [("Expect", "100-continue"), ("Content-Length", "4")]))
        events = client.events("POST")
        assert next(events).status_code == 100
        client.send(b"body")
        # A second 100 would do no harm; the final answer must follow.
        final = [event for event in events if isinstance(event, h11.Data)]
    assert b"".join(bytes(event.data) for event in final) == b"body"


def test_a_backend_may_refuse_a_request_that_expects_100(site: Site) -> None:
    proxy, backend = site

    def refuse(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        exchange.await_close()

    backend.on("/expect/no", refuse)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/expect/no", [("Expect", "100-continue"), ("Content-Length", "4")]))
        assert client.answer("POST").status == 403


def test_an_unknown_expectation_is_417(site: Site) -> None:
    proxy, backend = site
    assert fetch(proxy.address, "/expect/other", fields=[("Expect", "miracles")]).status == 417
    assert not backend.seen("/expect/other")


def test_interim_answers_are_relayed(site: Site) -> None:
    proxy, backend = site
    backend.on(
        "/hints", saying(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n" * 3 + sized(b"page"))
    )
    answer = fetch(proxy.address, "/hints")
    assert [status for status, _ in answer.interim] == [103, 103, 103]
    assert ("Link", "</s.css>; rel=preload") in answer.interim[0][1]
    assert answer.body == b"page"


def test_interim_answers_are_not_for_http_1_0_clients(site: Site) -> None:
    proxy, backend = site
    backend.on(
        "/hints/old", saying(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n" + sized(b"page"))
    )
    with Client(proxy.address) as client:
        answer = client.ask("GET", "/hints/old", version="1.0")
    assert (answer.interim, answer.body) == ([], b"page")


def test_more_than_sixteen_interim_answers_are_502(site: Site) -> None:
    proxy, backend = site
    backend.on("/hints/flood", saying(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + sized(b"page")))
    assert fetch(proxy.address, "/hints/flood").status == 502

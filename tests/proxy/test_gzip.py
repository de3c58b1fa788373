"""Whatever a server sends and however, what the client unpacks is its body: whole, and at once."""

from __future__ import annotations

import gzip
import json
import random
import select
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backends import Backend, Exchange, saying
from tests.clients import Client, chunked, fetch, request_bytes
from tests.proxies import Proxy
from tests.waiting import DEADLINE_S, wait_for

from .test_bodies import resident_bytes

Site = tuple[Proxy, Backend]

MIB = 1024 * 1024
TAKES = [("Accept-Encoding", "gzip")]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
NOISE = random.Random(1).randbytes(5 * MIB)
TEXT = b"".join(b"%06d hotpath " % i for i in range(5 * MIB // 15 + 1))[: 5 * MIB]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    file = str(tmp_path_factory.mktemp("log") / "access")
    with Backend() as backend:
        config = {
            "log": {"access": {"path": file, "format": "json", "flush": "50ms"}},
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}},
            "routes": [
                {"match": {"prefix": "/events"}, "upstream": "b", "gzip": {"types": ["text/event-stream"]}},
                {"match": {"prefix": "/"}, "upstream": "b", "gzip": {"min": 0}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


@dataclass
class Sent:
    """A body, and how a server sends it."""

    body: bytes
    framing: str  # length | chunked | close
    chunk: int  # bytes of each chunk
    pieces: int  # sends that the answer is cut into; 0: a byte at a time

    def script(self, exchange: Exchange) -> None:
        """Answer with it."""
        exchange.body()
        if self.framing == "length":
            data = HEAD + b"Content-Length: %d\r\n\r\n" % len(self.body) + self.body
        elif self.framing == "chunked":
            chunks = [self.body[i : i + self.chunk] for i in range(0, len(self.body), self.chunk)]
            data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*chunks)
        else:
            data = HEAD + b"\r\n" + self.body
        if self.pieces == 0:
            exchange.drip(data)
        else:
            size = max(1, len(data) // self.pieces)
            for i in range(0, len(data), size):
                exchange.send(data[i : i + size])
        if self.framing == "close":
            exchange.close()


small = st.builds(
    Sent,
    body=st.one_of(
        st.binary(max_size=300),
        st.builds(lambda piece, n: piece * n, st.binary(min_size=1, max_size=20), st.integers(0, 5000)),
        st.builds(lambda at, n: NOISE[at : at + n], st.integers(0, MIB), st.integers(0, 200_000)),
    ),
    framing=st.sampled_from(["length", "chunked", "close"]),
    chunk=st.integers(1000, 100_000),
    pieces=st.integers(1, 20),
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=small)
def test_what_the_client_unpacks_is_what_the_server_sent(site: Site, sent: Sent) -> None:
    proxy, backend = site
    backend.on("/any", sent.script)
    with Client(proxy.address) as client:
        answer = client.ask("GET", "/any", TAKES)
        if sent.body or sent.framing != "length":
            assert answer.value("content-encoding") == "gzip"
            assert gzip.decompress(answer.body) == sent.body
        else:
            assert (answer.value("content-encoding"), answer.body) == (None, b"")
        assert client.ask("GET", "/after").status == 200  # the connection goes on


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60), framing=st.sampled_from(["length", "chunked", "close"]), chunk=st.integers(1, 9))
def test_it_may_come_byte_by_byte(site: Site, body: bytes, framing: str, chunk: int) -> None:
    proxy, backend = site
    backend.on("/drip", Sent(body, framing, chunk, 0).script)
    answer = fetch(proxy.address, "/drip", fields=TAKES)
    assert (gzip.decompress(answer.body) if answer.value("content-encoding") else answer.body) == body


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("body", [TEXT, NOISE, bytes(5 * MIB)], ids=["text", "noise", "zeros"])
def test_a_large_answer_arrives_whole(site: Site, body: bytes, framing: str) -> None:
    proxy, backend = site
    backend.on("/large", Sent(body, framing, 30_011, 1).script)
    answer = fetch(proxy.address, "/large", fields=TAKES)
    assert answer.value("content-encoding") == "gzip"
    assert gzip.decompress(answer.body) == body
    assert body is NOISE or len(answer.body) < len(body) // 3


def test_a_small_first_chunk_does_not_make_all_windows_small(site: Site) -> None:
    proxy, backend = site
    seen = threading.Event()

    def grow(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n258\r\n%b\r\n" % TEXT[:600])
        assert seen.wait(DEADLINE_S)
        exchange.send(chunked(TEXT[600:]))

    backend.on("/grow", grow)
    backend.on("/known", Sent(TEXT, "length", len(TEXT), 1).script)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/grow", TAKES))
        wait_for(lambda: select.select([client.sock], [], [], 0)[0], "the head, with what the first chunk gave")
        seen.set()
        grown = client.answer()
    known = fetch(proxy.address, "/known", fields=TAKES)
    assert gzip.decompress(grown.body) == gzip.decompress(known.body) == TEXT
    assert len(grown.body) < 1.1 * len(known.body)


def test_each_event_of_a_stream_passes_at_once(site: Site) -> None:
    proxy, backend = site
    read = threading.Semaphore(0)

    def tell(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i in range(20):
            exchange.send(b"data: %d\n\n" % i)
            assert read.acquire(timeout=DEADLINE_S), f"event {i} was held back"
        exchange.close()

    backend.on("/events", tell)
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    told = b""
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/events", TAKES))
        for event in client.events():
            if isinstance(event, h11.Response):
                assert (b"content-encoding", b"gzip") in list(event.headers)
            elif isinstance(event, h11.Data):
                told += unpack.decompress(bytes(event.data))
                if told.endswith(b"\n\n"):
                    read.release()
    assert told == b"".join(b"data: %d\n\n" % i for i in range(20))
    assert unpack.eof


BROKEN = [
    ("short length", b"Content-Length: 9000\r\n\r\n" + TEXT[:4000], True),
    ("no last chunk", b"Transfer-Encoding: chunked\r\n\r\n" + chunked(TEXT[:4000])[:-5], True),
    ("inside a chunk", b"Transfer-Encoding: chunked\r\n\r\n" + chunked(TEXT[:4000])[:-9], True),
    ("bad size line", b"Transfer-Encoding: chunked\r\n\r\n" + chunked(TEXT[:4000])[:-5] + b"zz\r\n", False),
]


@pytest.mark.parametrize(("data", "closes"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_body_breaks_the_client_off_without_an_end(site: Site, data: bytes, closes: bool) -> None:
    proxy, backend = site
    arrived = threading.Event()

    def break_off(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(HEAD + data[:3000])
        assert arrived.wait(DEADLINE_S)
        exchange.send(data[3000:])
        if closes:
            exchange.close()
        else:
            exchange.await_close()

    backend.on("/broken", break_off)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/broken", TAKES))
        events = client.events()
        assert (b"content-encoding", b"gzip") in list(next(events).headers)
        first = next(events)
        arrived.set()
        told = [bytes(first.data)]
        with pytest.raises(EOFError):  # no last chunk came
            told.extend(bytes(event.data) for event in events)
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert TEXT.startswith(unpack.decompress(b"".join(told)))
    assert not unpack.eof


def test_a_malformed_body_before_any_byte_left_is_502(site: Site) -> None:
    proxy, backend = site
    backend.on("/malformed", saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"))
    answer = fetch(proxy.address, "/malformed", fields=TAKES)
    assert (answer.status, answer.value("content-encoding")) == (502, None)


def test_a_reader_that_stops_makes_the_server_stop_and_memory_stay_small(site: Site) -> None:
    proxy, backend = site
    size, stuck, sent = 64 * MIB, threading.Event(), []

    def pour(exchange: Exchange) -> None:
        exchange.send(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        exchange.connection.sock.settimeout(1.0)  # this long without taking a byte is "stopped"
        done = 0
        while done < size:
            at = done % MIB
            try:
                done += exchange.connection.sock.send(NOISE[at : at + min(65536, size - done)])
            except TimeoutError:
                sent.append(done)
                stuck.set()
                exchange.connection.sock.settimeout(DEADLINE_S)

    backend.on("/slow/reader", pour)
    before = sum(resident_bytes(pid) for pid in proxy.workers())
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/slow/reader", TAKES))
        assert stuck.wait(DEADLINE_S), "the server was never made to wait"
        assert sent[0] < 32 * MIB
        assert sum(resident_bytes(pid) for pid in proxy.workers()) - before < 4 * MIB
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
        pieces = (bytes(event.data) for event in client.events() if isinstance(event, h11.Data))
        assert sum(len(unpack.decompress(piece)) for piece in pieces) == size
        assert unpack.eof


def test_nothing_is_left_of_answers_that_broke_off(site: Site) -> None:
    proxy, backend = site

    def leave(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(HEAD + b"\r\n" + TEXT[:20_000])
        exchange.await_close()

    backend.on("/left", leave)

    def break_off(n: int) -> int:
        for _ in range(n):
            with Client(proxy.address) as client:
                client.send(request_bytes("GET", "/left", TAKES))
                assert client.receive()
        wait_for(lambda: proxy.metric("hotpath_proxy_connections", state="active") == 0, "the clients to be gone")
        return sum(resident_bytes(pid) for pid in proxy.workers())

    before = break_off(20)
    assert break_off(200) - before < 4 * MIB  # each compressor that stayed would be 128 KiB


def test_the_access_log_says_what_was_sent(site: Site) -> None:
    proxy, backend = site
    backend.on("/logged", Sent(TEXT[:100_000], "length", 1, 1).script)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/logged", [*TAKES, ("Connection", "close")]))
        raw = client.rest()
    file = Path(proxy.config["log"]["access"]["path"])
    wait_for(lambda: b'"/logged"' in file.read_bytes(), "its line")
    line = next(json.loads(line) for line in file.read_text().splitlines() if '"/logged"' in line)
    assert line["bytes_sent"] == len(raw) < 30_000


def test_many_answers_at_once_do_not_mix(site: Site) -> None:
    proxy, backend = site
    bodies = {f"/mixed/{i}": TEXT[i * 1000 : i * 1000 + 300_000] for i in range(12)}
    for path, body in bodies.items():
        backend.on(path, Sent(body, "chunked", 7001, 40).script)
    got: dict[str, bytes] = {}

    def ask(path: str) -> None:
        got[path] = gzip.decompress(fetch(proxy.address, path, fields=TAKES).body)

    threads = [threading.Thread(target=ask, args=(path,)) for path in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == bodies

"""HTTP/2 clients of a running proxy: the same answers, limits, logs and honest ends as in HTTP/1.1."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import httpx
import pytest

from tests.backends import Backend, CutShort, Exchange, Gate, Script, saying
from tests.certificates import Pair, careless
from tests.proxies import Proxy, free_address
from tests.waiting import DEADLINE_S, wait_for

from .test_bodies import resident_bytes

MIB = 1 << 20
NOISE = random.Random(2).randbytes(5 * MIB)


def site(backend: Backend, pair: Pair, folder: Path, **more: object) -> dict[str, Any]:
    return {
        "listen": [{"address": free_address(), "tls": pair.config(), "http2": True}],
        "log": {"access": {"path": str(folder / "access"), "format": "json", "flush": "50ms"}},
        "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}},
        "rate_limits": {"one": {"rate": "1/h"}},
        "routes": [
            {"match": {"path": "/canned"}, "respond": {"body": "canned"}},
            {"match": {"path": "/limited"}, "rate_limit": "one", "respond": {}},
            {"match": {"prefix": "/files/"}, "static": {"root": str(folder)}, "strip_prefix": "/files/"},
            {"match": {"prefix": "/zipped/"}, "upstream": "b", "gzip": {}},
            {"match": {"prefix": "/small/"}, "upstream": "b", "limits": {"body": "10"}},
            {"match": {"prefix": "/", "methods": ["GET", "HEAD", "POST"]}, "upstream": "b", "limits": {"body": "64m"}},
        ],
        **more,
    }


@pytest.fixture(scope="module")
def proxy(backend: Backend, pair: Pair, folder: Path) -> Iterator[Proxy]:
    (folder / "file.bin").write_bytes(NOISE)
    with Proxy(site(backend, pair, folder)) as proxy:
        yield proxy


def address_of(proxy: Proxy) -> str:
    return str(proxy.config["listen"][0]["address"])


@pytest.fixture
def http(proxy: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(http2=True, verify=False, base_url=f"https://{address_of(proxy)}", timeout=DEADLINE_S) as client:
        yield client


class Peer:
    """A client that speaks HTTP/2 by hand."""

    def __init__(self, address: str, *, room: int | None = None) -> None:
        """`room`: bytes of SO_RCVBUF, so that the proxy's kernel takes little at a time as well."""
        host, _, port = address.rpartition(":")
        context = careless()
        context.set_alpn_protocols(["h2"])
        raw = socket.socket()
        raw.settimeout(DEADLINE_S)
        if room is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)      # their send buffer grows with it
        raw.connect((host, int(port)))
        self.sock = context.wrap_socket(raw)
        assert self.sock.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []
        self.push()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.sock.close()

    def push(self) -> None:
        """Send what h2 has to say."""
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, path: str, method: str = "GET", *fields: tuple[str, str], end: bool = True) -> int:
        """Open a stream."""
        stream_id = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "test"), (":path", path)]
        self.h2.send_headers(stream_id, [*pseudo, *fields], end_stream=end)
        self.push()
        return stream_id

    def pull(self) -> bool:
        """Read once; whether the connection goes on. Windows are opened for whatever comes."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return False
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        with suppress(OSError):
            self.push()
        return True

    def until(self, kind: type[Any], stream_id: int | None = None) -> Any:
        """Read until such an event came. AssertionError when the connection ends before it."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and stream_id in (None, getattr(event, "stream_id", None)):
                    return event
            assert self.pull(), f"no {kind.__name__} in {self.events}"

    def body(self, stream_id: int) -> bytes:
        """What came of an answer's body, once it ended."""
        self.until(h2.events.StreamEnded, stream_id)
        return b"".join(
            event.data for event in self.events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream_id
        )


def test_curl_and_the_relay_agree(proxy: Proxy, backend: Backend) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    base = f"https://{address_of(proxy)}"
    for version, flag in (("2", "--http2"), ("1.1", "--http1.1")):
        command = ["curl", "-sk", flag, "-w", " %{http_version} %{http_code}", f"{base}/seen?a=b", "-H", "X-A: 1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        body, _, said = done.stdout.rpartition("} ")
        assert said == f"{version} 200"
        fields = {name.lower(): value for name, value in json.loads(body + "}")["fields"]}
        assert fields["x-a"] == "1"
        assert fields["x-forwarded-proto"] == "https"
        assert fields["x-forwarded-for"] == "127.0.0.1"
        assert fields["host"] == address_of(proxy)


def plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_requests_of_every_kind(http: httpx.Client, backend: Backend) -> None:
    backend.on("/none", saying(b"HTTP/1.1 204 None\r\n\r\n"))
    backend.on("/closing", saying(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nuntil close", then_close=True))
    trailers = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n"
    backend.on("/trailers", saying(trailers))
    assert (http.get("/canned").http_version, http.get("/canned").text) == ("HTTP/2", "canned")
    assert http.post("/up", content=b"abc" * 1000).json()["body"] == "abc" * 1000
    assert http.post("/up", content=iter([b"abc", b"def"])).json()["body"] == "abcdef"
    assert http.get("/none").status_code == 204
    assert http.head("/seen").headers["content-length"] != "0"
    assert http.get("/closing").text == "until close"
    assert http.get("/trailers").text == "hi"
    assert http.get("/files/file.bin").content == NOISE
    assert http.put("/seen").status_code == 405
    assert http.post("/small/", content=b"x" * 11).status_code == 413
    assert [http.get("/limited").status_code for _ in range(2)] == [200, 429]
    assert http.get("/after").status_code == 200


def test_bodies_arrive_whole_both_ways_at_the_same_time(http: httpx.Client, backend: Backend) -> None:
    def back(exchange: Exchange) -> None:
        body = exchange.body()
        exchange.answer(body, fields=[("X-Sum", hashlib.sha256(body).hexdigest())])

    backend.on("/back", back)
    bodies = [NOISE[i * 1000 : i * 1000 + 3 * MIB] for i in range(6)]

    async def ask() -> list[httpx.Response]:
        # One thread: httpx gives two of them the same stream.
        async with httpx.AsyncClient(http2=True, verify=False, base_url=http.base_url, timeout=DEADLINE_S) as client:
            return await asyncio.gather(*(client.post("/back", content=body) for body in bodies))

    answers = asyncio.run(ask())
    assert [answer.content == body for answer, body in zip(answers, bodies, strict=True)] == [True] * 6
    assert [answer.headers["x-sum"] for answer in answers] == [hashlib.sha256(body).hexdigest() for body in bodies]


def test_gzip_serves_http_2_as_well(http: httpx.Client, backend: Backend) -> None:
    body = b"say it again. " * 1000
    backend.on("/zipped/a", saying(plain(body)))
    with http.stream("GET", "/zipped/a") as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == body


def test_many_streams_at_once_answer_each_their_own(proxy: Proxy, backend: Backend) -> None:
    gate = Gate(b"late")
    backend.on("/gate", gate)
    with Peer(address_of(proxy)) as peer:
        held = [peer.ask("/gate") for _ in range(60)]
        quick = [peer.ask(f"/quick/{i}") for i in range(30)]
        for i, stream_id in enumerate(quick):
            assert json.loads(peer.body(stream_id))["target"] == f"/quick/{i}"
        gate.open()
        assert [peer.body(stream_id) for stream_id in held] == [b"late"] * 60


def test_an_event_passes_at_once(proxy: Proxy, backend: Backend) -> None:
    read = threading.Semaphore(0)

    def tell(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i in range(10):
            exchange.send(b"data: %d\n\n" % i)
            assert read.acquire(timeout=DEADLINE_S)
        exchange.close()

    backend.on("/events", tell)
    with Peer(address_of(proxy)) as peer:
        stream_id = peer.ask("/events")
        for i in range(10):
            end = b"%d\n\n" % i
            while not any(isinstance(e, h2.events.DataReceived) and e.data.endswith(end) for e in peer.events):
                assert peer.pull()
            read.release()
        assert peer.body(stream_id).count(b"data") == 10


def test_an_answer_that_breaks_off_is_a_reset_stream(proxy: Proxy, backend: Backend) -> None:
    backend.on("/broken", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", then_close=True))
    with Peer(address_of(proxy)) as peer:
        stream_id = peer.ask("/broken")
        assert peer.until(h2.events.StreamReset, stream_id).error_code == h2.errors.ErrorCodes.INTERNAL_ERROR
        assert not any(isinstance(e, h2.events.StreamEnded) and e.stream_id == stream_id for e in peer.events)
        peer.body(peer.ask("/after"))


def test_a_reset_stream_ends_its_request_at_the_backend(proxy: Proxy, backend: Backend) -> None:
    cut = threading.Event()

    def wait(exchange: Exchange) -> None:
        exchange.body()
        exchange.await_close()
        cut.set()

    backend.on("/wait", wait)
    with Peer(address_of(proxy)) as peer:
        stream_id = peer.ask("/wait")
        backend.wait_seen("/wait")
        peer.h2.reset_stream(stream_id)
        peer.push()
        assert cut.wait(DEADLINE_S)
        peer.body(peer.ask("/after"))


def test_a_client_that_leaves_ends_all_its_requests(proxy: Proxy, backend: Backend) -> None:
    cuts = threading.Semaphore(0)

    def wait(exchange: Exchange) -> None:
        with suppress(CutShort):
            exchange.body()
        exchange.await_close()
        cuts.release()

    backend.on("/left", wait)
    with Peer(address_of(proxy)) as peer:
        for _ in range(5):
            peer.ask("/left")
        backend.wait_seen("/left", 5)
    for _ in range(5):
        assert cuts.acquire(timeout=DEADLINE_S)
    wait_for(lambda: proxy.connections() == 0, "the connections to be gone")


def pouring(size: int, stuck: threading.Event, sent: list[int] | None = None) -> Script:
    """An answer of so many bytes; tells when it goes no further, and how far it came."""
    def pour(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        exchange.connection.sock.settimeout(1.0)  # this long without taking a byte is "stopped"
        view, done = memoryview(bytes(size)), 0
        while done < size:
            try:
                done += exchange.connection.sock.send(view[done : done + 65536])
            except TimeoutError:
                if sent is not None:
                    sent.append(done)
                stuck.set()
                exchange.connection.sock.settimeout(DEADLINE_S)

    return pour


def test_a_reader_that_stops_makes_the_backend_stop_and_memory_stay_small(proxy: Proxy, backend: Backend) -> None:
    size, stuck = 64 * MIB, threading.Event()
    sent: list[int] = []
    backend.on("/pour", pouring(size, stuck, sent))
    with Peer(address_of(proxy)) as peer:
        peer.body(peer.ask("/warm"))
        before = sum(resident_bytes(pid) for pid in proxy.workers())
        stream_id = peer.ask("/pour")
        assert stuck.wait(DEADLINE_S), "the backend was never made to wait"
        assert sent[0] < 32 * MIB
        assert sum(resident_bytes(pid) for pid in proxy.workers()) - before < 4 * MIB
        quick = peer.ask("/beside")  # its window is its own
        peer.h2.increment_flow_control_window(MIB)
        peer.push()
        peer.body(quick)
        peer.h2.increment_flow_control_window(MIB, stream_id)
        peer.push()
        assert len(peer.body(stream_id)) == size


def test_a_slow_reader_who_says_little_things_gets_all_of_it(proxy: Proxy, backend: Backend) -> None:
    size, stuck = 64 * MIB, threading.Event()
    sent: list[int] = []
    backend.on("/much", pouring(size, stuck, sent))
    with Peer(address_of(proxy), room=8192) as peer:
        stream_id = peer.ask("/much")
        peer.h2.increment_flow_control_window(size)
        peer.h2.increment_flow_control_window(size, stream_id)
        peer.push()
        assert stuck.wait(DEADLINE_S), "the backend was never made to wait"
        n, pings = 0, 0
        while n < sent[0] + 4 * MIB:
            data = peer.sock.recv(8192)
            assert data, "the proxy closed the connection"
            for event in peer.h2.receive_data(data):
                n += len(event.data) if isinstance(event, h2.events.DataReceived) else 0
            if n > pings * 32768:
                pings += 1
                peer.h2.ping(b"%08d" % pings)
                peer.push()


def test_a_window_that_stays_closed_costs_the_stream_alone(backend: Backend, pair: Pair, folder: Path) -> None:
    backend.on("/closed", saying(plain(NOISE)))
    with Proxy(site(backend, pair, folder, timeouts={"send": "300ms"})) as proxy, Peer(address_of(proxy)) as peer:
        stream_id = peer.ask("/closed")
        peer.h2.acknowledge_received_data = lambda size, stream_id: None  # type: ignore[method-assign]
        peer.until(h2.events.StreamReset, stream_id)
        peer.h2.increment_flow_control_window(MIB)
        peer.push()
        assert peer.body(peer.ask("/canned")) == b"canned"


def test_nothing_is_left_of_clients_that_left(proxy: Proxy, backend: Backend) -> None:
    backend.on("/cut", saying(plain(NOISE)))

    def come_and_go(n: int) -> int:
        for _ in range(n):
            with Peer(address_of(proxy)) as peer:
                peer.until(h2.events.DataReceived, peer.ask("/cut"))
        wait_for(lambda: proxy.connections() == 0, "the clients to be gone")
        return sum(resident_bytes(pid) for pid in proxy.workers())

    before = come_and_go(20)
    assert come_and_go(100) - before < 4 * MIB


def test_a_backend_that_stops_reading_makes_the_client_stop(proxy: Proxy, backend: Backend) -> None:
    gate = threading.Event()

    def hold(exchange: Exchange) -> None:
        gate.wait(DEADLINE_S)
        exchange.answer(hashlib.sha256(exchange.body()).hexdigest().encode())

    backend.on("/hold", hold)
    body = bytes(20 * MIB)
    with Peer(address_of(proxy)) as peer:
        peer.body(peer.ask("/warm"))
        before = sum(resident_bytes(pid) for pid in proxy.workers())
        stream_id = peer.ask("/hold", "POST", end=False)
        done = 0
        peer.sock.settimeout(1.0)  # this long without a wider window is "stopped"
        with suppress(TimeoutError):
            while done < len(body):
                while (window := min(peer.h2.local_flow_control_window(stream_id), 16384)) > 0 and done < len(body):
                    peer.h2.send_data(stream_id, body[done : done + window])
                    done += len(body[done : done + window])
                    peer.push()
                peer.pull()
        assert done < 16 * MIB
        assert sum(resident_bytes(pid) for pid in proxy.workers()) - before < 4 * MIB
        peer.sock.settimeout(DEADLINE_S)
        gate.set()
        while done < len(body):
            while (window := min(peer.h2.local_flow_control_window(stream_id), 16384)) > 0 and done < len(body):
                peer.h2.send_data(stream_id, body[done : done + window])
                done += len(body[done : done + window])
                peer.push()
            if done < len(body):
                assert peer.pull()
        peer.h2.end_stream(stream_id)
        peer.push()
        assert peer.body(stream_id).decode() == hashlib.sha256(body).hexdigest()


def test_rapid_resets_close_the_connection_and_no_other(proxy: Proxy, backend: Backend, http: httpx.Client) -> None:
    with Peer(address_of(proxy)) as peer:
        for _ in range(2000):
            stream_id = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(
                stream_id, [(":method", "GET"), (":scheme", "https"), (":authority", "test"), (":path", "/reset")],
                end_stream=True)
            peer.h2.reset_stream(stream_id)
        with suppress(OSError):
            peer.push()
        ended = peer.until(h2.events.ConnectionTerminated)
        assert ended.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
    assert len(backend.seen("/reset")) <= 101
    assert http.get("/after").status_code == 200


def test_an_idle_connection_is_told_and_closed(backend: Backend, pair: Pair, folder: Path) -> None:
    with Proxy(site(backend, pair, folder, timeouts={"idle": "200ms"})) as proxy, Peer(address_of(proxy)) as peer:
        peer.body(peer.ask("/canned"))
        assert peer.until(h2.events.ConnectionTerminated).error_code == h2.errors.ErrorCodes.NO_ERROR


def test_a_reload_lets_requests_end_and_says_goodbye(backend: Backend, pair: Pair, folder: Path) -> None:
    gate = Gate(b"late")
    backend.on("/reload", gate)
    with Proxy(site(backend, pair, folder)) as proxy, Peer(address_of(proxy)) as peer:
        stream_id = peer.ask("/reload")
        backend.wait_seen("/reload")
        old = proxy.workers()
        proxy.reload({key: value for key, value in proxy.config.items() if key != "admin"} | {"admin": proxy.admin})
        # h2, as a client, forgets its streams with the first GOAWAY: read the frames by hand.
        raw = b""
        while b"\x00\x00\x08\x07" not in raw:
            raw += peer.sock.recv(65536)
        gate.open()
        while b"late" not in raw:
            raw += peer.sock.recv(65536)
        assert stream_id == 1
        wait_for(lambda: not set(old) & set(proxy.workers()), "the old worker to end")


def test_the_log_says_http_2(proxy: Proxy, http: httpx.Client) -> None:
    http.get("/logged?a=b")
    file = Path(proxy.config["log"]["access"]["path"])
    wait_for(lambda: "/logged?a=b" in file.read_text(), "its line")
    line = next(json.loads(line) for line in file.read_text().splitlines() if "/logged?a=b" in line)
    assert (line["protocol"], line["client"], line["status"]) == ("HTTP/2.0", "127.0.0.1", 200)


def test_without_alpn_a_client_speaks_http_1_1(proxy: Proxy) -> None:
    with httpx.Client(verify=False) as client:
        assert client.get(f"https://{address_of(proxy)}/canned").http_version == "HTTP/1.1"


def test_stopping_with_clients_connected_takes_no_longer_than_the_goodbye(
    backend: Backend, pair: Pair, folder: Path
) -> None:
    with Proxy(site(backend, pair, folder)) as proxy, Peer(address_of(proxy)) as peer:
        peer.body(peer.ask("/canned"))
        assert proxy.stop(signal.SIGQUIT) == 0

"""HTTP/1.1 against httptools (llhttp) and h11: what does it cost to read a message?

Ours is first the bare kernel, as the relay calls it. httptools gets no callbacks, so it makes no Python object either;
h11 makes its events, for it has nothing below them. Then our Connection against h11's, in the same calls.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h11
import httptools
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hotpath.core.wire import http1, probe

# Many at once, so that the call from Python does not count.
MESSAGES = 1000
REQUEST = (
    b"GET /api/v1/items/1234?fields=name,price&limit=20 HTTP/1.1\r\nHost: shop.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0\r\nAccept: application/json\r\n"
    b"Accept-Encoding: gzip, br\r\nConnection: keep-alive\r\nX-Trace: 0123456789\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 01 Jul 2025 00:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 0\r\nConnection: keep-alive\r\n\r\n"
)
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = (b"400\r\n" + b"x" * 1024 + b"\r\n") * 64 + b"0\r\n\r\n"


def httptools_requests() -> int:
    """MESSAGES requests on one kept-alive connection."""
    parser = httptools.HttpRequestParser(object())
    for _ in range(MESSAGES):
        parser.feed_data(REQUEST)
    return len(REQUEST)


def httptools_responses() -> int:
    """MESSAGES responses on one kept-alive connection."""
    parser = httptools.HttpResponseParser(object())
    for _ in range(MESSAGES):
        parser.feed_data(RESPONSE)
    return len(RESPONSE)


def h11_requests() -> int:
    """MESSAGES requests, each on a connection of its own, as h11 makes them."""
    for _ in range(MESSAGES):
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(REQUEST)
        assert isinstance(connection.next_event(), h11.Request)
    return len(REQUEST)


@pytest.mark.benchmark(group=f"{MESSAGES} requests of {len(REQUEST)} bytes")
@pytest.mark.parametrize("read", [
    pytest.param(lambda: http1.scan_request(REQUEST, repeat=MESSAGES), id="hotpath"),
    pytest.param(httptools_requests, id="httptools"),
    pytest.param(h11_requests, id="h11"),
])
def test_requests(benchmark: BenchmarkFixture, read: Callable[[], int]) -> None:
    """A small request of a browser."""
    assert benchmark(read) == len(REQUEST)


@pytest.mark.benchmark(group=f"{MESSAGES} responses of {len(RESPONSE)} bytes")
@pytest.mark.parametrize("read", [
    pytest.param(lambda: http1.scan_response(RESPONSE, repeat=MESSAGES), id="hotpath"),
    pytest.param(httptools_responses, id="httptools"),
])
def test_responses(benchmark: BenchmarkFixture, read: Callable[[], int]) -> None:
    """A small response of a server."""
    assert benchmark(read) == len(RESPONSE)


class Payload:
    """Counts what httptools hands out."""

    def __init__(self) -> None:
        self.size = 0

    def on_body(self, body: bytes) -> None:
        """One piece of payload."""
        self.size += len(body)


def httptools_body() -> int:
    """The chunks, counted as they are handed out."""
    payload = Payload()
    httptools.HttpRequestParser(payload).feed_data(CHUNKED + CHUNKS)
    return payload.size


def h11_body() -> int:
    """The chunks, as Data events."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(CHUNKED + CHUNKS)
    connection.next_event()
    size = 0
    while isinstance(event := connection.next_event(), h11.Data):
        size += len(event.data)
    return size


@pytest.mark.benchmark(group="64 chunks of 1 KiB")
@pytest.mark.parametrize("read", [
    pytest.param(lambda: len(probe.Body("chunked").feed(CHUNKS)[1]), id="hotpath"),
    pytest.param(httptools_body, id="httptools"),
    pytest.param(h11_body, id="h11"),
])
def test_chunks(benchmark: BenchmarkFixture, read: Callable[[], int]) -> None:
    """A body cut into small chunks, copied once."""
    assert benchmark(read) == 64 * 1024


# ------------------------------------------------------------------------------------------ Connection against h11's

FACES = [pytest.param(http1, id="hotpath"), pytest.param(h11, id="h11")]
# Few, so that h11's turn too is over before the scheduler's is.
REQUESTS = 20
HEADERS = [
    (b"Date", b"Tue, 01 Jul 2025 00:00:00 GMT"), (b"Content-Type", b"application/json"), (b"Content-Length", b"5")]
# What the faces must have said before they are timed.
CHECK = {
    "target": b"/api/v1/items/1234?fields=name,price&limit=20",
    "headers": [
        (b"host", b"shop.example.com"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0"),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"gzip, br"),
        (b"connection", b"keep-alive"),
        (b"x-trace", b"0123456789"),
    ],
    "answer": b"HTTP/1.1 200 \r\nDate: Tue, 01 Jul 2025 00:00:00 GMT\r\nContent-Type: application/json\r\n"
              b"Content-Length: 5\r\n\r\nhello",
}


def parsed(face: Any) -> Any:  # noqa: ANN401
    """The request, on a connection of its own."""
    connection = face.Connection(face.SERVER)
    connection.receive_data(REQUEST)
    return connection.next_event()


def parse_requests(face: Any) -> Any:  # noqa: ANN401
    """REQUESTS of them; the last."""
    for _ in range(REQUESTS):
        request = parsed(face)
    return request


def read_requests(face: Any) -> list[tuple[bytes, bytes]]:  # noqa: ANN401
    """As parse_requests, and each header is looked at; those of the last request."""
    for _ in range(REQUESTS):
        headers = list(parsed(face).headers)
    return headers


def serve_cycles(face: Any) -> bytes:  # noqa: ANN401
    """REQUESTS on one kept-alive connection, each read to its last header and answered; the last answer."""
    connection = face.Connection(face.SERVER)
    for _ in range(REQUESTS):
        connection.receive_data(REQUEST)
        list(connection.next_event().headers)
        connection.next_event()
        answer = connection.send(face.Response(status_code=200, headers=HEADERS))
        answer += connection.send(face.Data(data=b"hello"))
        answer += connection.send(face.EndOfMessage())
        connection.start_next_cycle()
    return bytes(answer)


def read_chunks(face: Any) -> int:  # noqa: ANN401
    """The chunks, as Data events; the bytes of payload."""
    connection = face.Connection(face.SERVER)
    connection.receive_data(CHUNKED + CHUNKS)
    connection.next_event()
    size = 0
    while isinstance(event := connection.next_event(), face.Data):
        size += len(event.data)
    return size


def write_chunks(face: Any) -> int:  # noqa: ANN401
    """The chunks, sent; the bytes with their framing."""
    connection = face.Connection(face.CLIENT)
    headers = [("Host", "a"), ("Transfer-Encoding", "chunked")]
    connection.send(face.Request(method="POST", target="/", headers=headers))
    piece = b"x" * 1024
    size = sum(len(connection.send(face.Data(data=piece))) for _ in range(64))
    return size + len(connection.send(face.EndOfMessage()))


@pytest.mark.benchmark(group=f"h11 face: {REQUESTS} requests of {len(REQUEST)} bytes parsed")
@pytest.mark.parametrize("face", FACES)
def test_face_parses(benchmark: BenchmarkFixture, face: Any) -> None:  # noqa: ANN401
    """As a server that routes by the target alone."""
    assert (parsed(face).target, list(parsed(face).headers)) == (CHECK["target"], CHECK["headers"])
    assert benchmark(parse_requests, face).target == CHECK["target"]


@pytest.mark.benchmark(group=f"h11 face: {REQUESTS} requests parsed, every header read")
@pytest.mark.parametrize("face", FACES)
def test_face_reads_headers(benchmark: BenchmarkFixture, face: Any) -> None:  # noqa: ANN401
    """As a server that copies all headers into its own request."""
    assert benchmark(read_requests, face) == CHECK["headers"]


@pytest.mark.benchmark(group=f"h11 face: {REQUESTS} requests read and answered")
@pytest.mark.parametrize("face", FACES)
def test_face_serves(benchmark: BenchmarkFixture, face: Any) -> None:  # noqa: ANN401
    """All that a server asks of its protocol for one request."""
    assert benchmark(serve_cycles, face) == CHECK["answer"]


@pytest.mark.benchmark(group="h11 face: 64 chunks of 1 KiB read")
@pytest.mark.parametrize("face", FACES)
def test_face_reads_chunks(benchmark: BenchmarkFixture, face: Any) -> None:  # noqa: ANN401
    """A body cut into small chunks."""
    assert benchmark(read_chunks, face) == 64 * 1024


@pytest.mark.benchmark(group="h11 face: 64 chunks of 1 KiB written")
@pytest.mark.parametrize("face", FACES)
def test_face_writes_chunks(benchmark: BenchmarkFixture, face: Any) -> None:  # noqa: ANN401
    """A body sent in small chunks."""
    assert benchmark(write_chunks, face) == len(CHUNKS)

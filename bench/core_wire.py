"""HTTP/1.1 against httptools (llhttp) and h11: what does it cost to read a message?

Ours is the bare kernel, as the relay calls it. httptools gets no callbacks, so it makes no Python object either; h11
makes its events, for it has nothing below them.
"""
from __future__ import annotations

from collections.abc import Callable

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

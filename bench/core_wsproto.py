"""WebSocket against wsproto: what does an echo cost, and what a large message?

Both run the same calls on the same bytes, on connections that are open already.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType

import pytest
import wsproto.connection
import wsproto.events
import wsproto.extensions
from pytest_benchmark.fixture import BenchmarkFixture

from hotpath.core.wire.ws import connection, events, extensions

SMALL = 128
LARGE = 64 * 1024
JSON = '{"channel": "general", "user": 1234, "text": "hello, how are you today?", "sequence": 56789, "edited": false}'
RIVALS = [
    pytest.param((connection, events, extensions), id="hotpath"),
    pytest.param((wsproto.connection, wsproto.events, wsproto.extensions), id="wsproto"),
]
Modules = tuple[ModuleType, ModuleType, ModuleType]


def echo(modules: Modules, payload: str | bytes, *, compressed: bool = False, answer: bool = True) -> Callable[[], int]:
    """Receive a masked message and send it back; the bytes sent, or received without `answer`."""
    connection, events, extensions = modules
    kind = events.TextMessage if isinstance(payload, str) else events.BytesMessage
    agreed = []
    if compressed:
        # Without context the same bytes can come again and again.
        agreed = [extensions.PerMessageDeflate(), extensions.PerMessageDeflate()]
        for extension in agreed:
            extension.finalize("permessage-deflate; client_no_context_takeover; server_no_context_takeover")
    client = connection.Connection(connection.CLIENT, agreed[:1])
    server = connection.Connection(connection.SERVER, agreed[1:])
    data = client.send(kind(data=payload))

    def once() -> int:
        server.receive_data(data)
        count = 0
        for event in server.events():
            assert event.message_finished
            count += len(server.send(event)) if answer else len(event.data)
        return count
    return once


@pytest.mark.benchmark(group=f"echo of {SMALL} bytes of masked text, receive and send")
@pytest.mark.parametrize("modules", RIVALS)
def test_echo_of_text(benchmark: BenchmarkFixture, modules: Modules) -> None:
    assert benchmark(echo(modules, "x" * SMALL)) == SMALL + 4


@pytest.mark.benchmark(group=f"echo of {SMALL} masked bytes, receive and send")
@pytest.mark.parametrize("modules", RIVALS)
def test_echo_of_bytes(benchmark: BenchmarkFixture, modules: Modules) -> None:
    assert benchmark(echo(modules, os.urandom(SMALL))) == SMALL + 4


@pytest.mark.benchmark(group=f"receive {LARGE} masked bytes")
@pytest.mark.parametrize("modules", RIVALS)
def test_large_bytes(benchmark: BenchmarkFixture, modules: Modules) -> None:
    assert benchmark(echo(modules, os.urandom(LARGE), answer=False)) == LARGE


@pytest.mark.benchmark(group=f"receive {LARGE} bytes of masked text")
@pytest.mark.parametrize("modules", RIVALS)
def test_large_text(benchmark: BenchmarkFixture, modules: Modules) -> None:
    assert benchmark(echo(modules, "x" * LARGE, answer=False)) == LARGE


@pytest.mark.benchmark(group=f"echo of {len(JSON)} bytes of JSON, compressed without context")
@pytest.mark.parametrize("modules", RIVALS)
def test_compressed_echo(benchmark: BenchmarkFixture, modules: Modules) -> None:
    assert benchmark(echo(modules, JSON, compressed=True)) > 0

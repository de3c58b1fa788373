from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotpath.core.serve.testing import Served, serving
from tests.core.serve import sockets
from tests.wsclient import Client, Head, accept_of, handshake


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(sockets.make()) as running:
        yield running


KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def ask(served: Served, request: bytes) -> Head:
    with Client(served.address) as client:
        client.send(request)
        return client.read_head()


def agreed(served: Served, protocols: str, extensions: str) -> tuple[int, str | None, str | None, str | None]:
    fields = (("Sec-WebSocket-Protocol", protocols), ("Sec-WebSocket-Extensions", extensions))
    head = ask(served, handshake("/echo", *fields, key=KEY))
    names = ("sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions")
    accept, protocol, extension = (head.value(name) for name in names)
    return head.status, accept, protocol, extension


def test_an_opening_is_accepted_with_what_was_agreed(served: Served):
    assert agreed(served, "v9, v1", "permessage-deflate") == (101, accept_of(KEY), "v1", "permessage-deflate")


def test_what_is_not_known_is_not_agreed(served: Served):
    assert agreed(served, "v9", "x-squeeze; =") == (101, accept_of(KEY), None, None)


@pytest.mark.parametrize(("request_", "status"), [
    (handshake("/echo", ("Sec-WebSocket-Version", "8"), drop=("Sec-WebSocket-Version",)), 426),
    (handshake("/echo", drop=("Sec-WebSocket-Version",)), 426),
    (handshake("/echo", drop=("Sec-WebSocket-Key",)), 400),
    (handshake("/echo", key="c2hvcnQ="), 400),
    (handshake("/echo", ("Sec-WebSocket-Protocol", "v1, v1")), 400),
    (handshake("/echo", ("Content-Length", "1")) + b"x", 400),
    (handshake("/nothing"), 404),
    (handshake("/echo", drop=("Upgrade", "Connection")), 426),
])
def test_an_opening_that_may_not_be_is_refused(served: Served, request_: bytes, status: int):
    head = ask(served, request_)
    assert head.status == status
    if status == 426 and b"Upgrade:" in request_:
        assert head.value("sec-websocket-version") == "13"

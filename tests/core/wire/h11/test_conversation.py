"""A client and a server on a fake wire, each ours or h11's: does what is sent arrive?"""
from __future__ import annotations

from random import Random
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.wire import http1
from tests.wires import Wire

PAIRS = [(http1, http1), (http1, h11), (h11, http1)]
NAMES = ["ours to ours", "ours to h11", "h11 to ours"]


class Client:
    """Sends one request after the other, each when the answer before is whole."""

    def __init__(self, module: Any, bodies: list[list[bytes]]) -> None:
        self.module = module
        self.connection = module.Connection(module.CLIENT)
        self.bodies = list(bodies)
        self.sending: list[Any] = []
        self.answers: list[bytes] = []
        self.trailers: list[Any] = []
        self.next_request()

    def next_request(self) -> None:
        if not self.bodies:
            self.sending = [self.module.ConnectionClosed()]
            return
        body = self.bodies.pop(0)
        framing = ("Transfer-Encoding", "chunked") if len(body) % 2 else ("Content-Length", str(sum(map(len, body))))
        request = self.module.Request(method="POST", target="/echo", headers=[("Host", "a"), framing])
        trailers = [("Sum", str(sum(map(len, body))))] if len(body) % 2 else []
        pieces = [self.module.Data(data=piece) for piece in body]
        self.sending = [request, *pieces, self.module.EndOfMessage(headers=trailers)]
        self.answers.append(b"")

    def to_send(self) -> bytes | None:
        data: bytes | None = b""
        while self.sending and data == b"":
            data = self.connection.send(self.sending.pop(0))
        return data

    def receive(self, data: bytes) -> None:
        self.connection.receive_data(data)
        while (event := self.connection.next_event()) not in (self.module.NEED_DATA, self.module.PAUSED):
            if isinstance(event, self.module.Data):
                self.answers[-1] += event.data
            elif isinstance(event, self.module.EndOfMessage):
                self.trailers.append(list(event.headers))
                self.connection.start_next_cycle()
                self.next_request()
            elif isinstance(event, self.module.ConnectionClosed):
                break


class Echo:
    """Answers each piece of a body with the same piece, closes when the client has."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.connection = module.Connection(module.SERVER)
        self.sending: list[Any] = []

    def to_send(self) -> bytes | None:
        data: bytes | None = b""
        while self.sending and data == b"":
            data = self.connection.send(self.sending.pop(0))
            if self.connection.states == {self.module.CLIENT: self.module.DONE, self.module.SERVER: self.module.DONE}:
                self.connection.start_next_cycle()
                self.read()
        return data

    def receive(self, data: bytes) -> None:
        self.connection.receive_data(data)
        self.read()

    def read(self) -> None:
        while (event := self.connection.next_event()) not in (self.module.NEED_DATA, self.module.PAUSED):
            if isinstance(event, self.module.Request):
                self.sending.append(self.module.Response(status_code=200, headers=[]))
            else:
                self.sending.append(event)
            if isinstance(event, self.module.ConnectionClosed):
                break


@pytest.mark.parametrize(("client", "server"), PAIRS, ids=NAMES)
@given(bodies=st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=4), seed=st.integers(0, 2**32))
def test_what_is_sent_arrives_however_it_is_cut(client: Any, server: Any, bodies: list[list[bytes]], seed: int):
    asking, echo = Client(client, bodies), Echo(server)
    Wire(asking, echo, Random(seed)).run()
    assert asking.answers == [b"".join(body) for body in bodies]
    assert asking.trailers == [[(b"sum", b"%d" % len(b"".join(body)))] if len(body) % 2 else [] for body in bodies]
    for end, module in ((asking, client), (echo, server)):
        assert set(end.connection.states.values()) == {module.CLOSED}

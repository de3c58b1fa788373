"""How long is a websocket kept, whatever its client does? For the times of its route, not those of the server."""
from __future__ import annotations

import json
import socket as sockets_
from collections.abc import Iterator
from contextlib import suppress

import pytest

from hotpath.core.serve import Block, Options, Request, Response, Router, WebSocket
from hotpath.core.serve.config import ServeConfig, Timeouts
from hotpath.core.serve.testing import Served, serving
from hotpath.core.tasks import Cancelled, Event, spawn
from tests.clients import fetch
from tests.waiting import wait_for
from tests.wsclient import BINARY, Ended, connect, frame

MIB = 1 << 20
LARGE = 16 * MIB        # more than the kernel holds for a client that takes nothing
FOR_EVER = 3600.0


def make() -> Router:
    """Handlers that wait for ever, and say when they are cancelled."""
    app = Router()
    seen: list[str] = []
    told = {name: Event() for name in ("shares", "crowd")}

    def wait_for_ever(name: str) -> None:
        try:
            Event().wait()
        except Cancelled:
            seen.append(f"{name} was cancelled")
            raise

    @app.route("GET", "/seen")
    def what_was_seen(request: Request) -> Response:
        return Response.json(seen)

    @app.route("GET", "/tell/{name}")
    def tell(request: Request, name: str) -> Response:
        told[name].set()
        return Response("told")

    @app.websocket("/fills", options=Options(max_unsent=4 * LARGE, age_s=0, ping_s=0, close_s=2))
    def fills(request: Request, socket: WebSocket) -> None:
        socket.send(bytes(LARGE))
        wait_for_ever("fills")

    @app.websocket("/fills-and-closes", options=Options(max_unsent=4 * LARGE, age_s=0, ping_s=0, close_s=0.2))
    def fills_and_closes(request: Request, socket: WebSocket) -> None:
        socket.send(bytes(LARGE))
        socket.close()
        wait_for_ever("fills-and-closes")

    @app.websocket("/shares", options=Options(max_unsent=4 * LARGE, age_s=0.2, ping_s=0, close_s=0.2))
    def shares(request: Request, socket: WebSocket) -> None:
        told["shares"].wait()
        socket.send_shared(Block(bytes(LARGE)))
        wait_for_ever("shares")

    @app.websocket("/listens", options=Options(max_unsent=LARGE + MIB, age_s=0, ping_s=0.2, pong_s=0.2, close_s=0.2))
    def listens(request: Request, socket: WebSocket) -> None:
        def crowd() -> None:
            told["crowd"].wait()
            socket.send_shared(Block(bytes(LARGE)))

        spawn(crowd)
        for _ in socket:
            pass
        seen.append(f"listens ended: {socket.close_reason}")

    return app


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(make(), ServeConfig(timeouts=Timeouts(send=FOR_EVER))) as running:
        yield running


def seen(served: Served) -> list[str]:
    answer: list[str] = json.loads(fetch(served.address, "/seen").body)
    return answer


def wait_seen(served: Served, what: str) -> None:
    wait_for(lambda: what in seen(served), what)


def test_a_handler_behind_an_end_is_cancelled_though_the_client_then_breaks_what_is_still_being_sent(served: Served):
    with connect(served.address, "/fills") as client:
        client.sock.shutdown(sockets_.SHUT_WR)
        seen(served)                        # by now it has read that end
    wait_seen(served, "fills was cancelled")


def test_a_client_that_takes_nothing_has_the_closes_time_once_that_is_said(served: Served):
    with connect(served.address, "/fills-and-closes"):
        wait_seen(served, "fills-and-closes was cancelled")


def test_a_client_that_takes_nothing_of_what_others_share_has_the_ages_time(served: Served):
    with connect(served.address, "/shares"):
        fetch(served.address, "/tell/shares")
        wait_seen(served, "shares was cancelled")


def test_a_silent_client_is_asked_and_ended_though_it_once_was_slow(served: Served):
    with connect(served.address, "/listens") as client:
        assert client.read() == ("ping", b"")
        fetch(served.address, "/tell/crowd")
        client.sock.send(frame(BINARY, b"half a message")[:-1])     # not read while so much is unsent
        seen(served)
        with suppress(Ended):
            while True:
                client.read()               # and no answer
        wait_seen(served, "listens ended: no sign of life")

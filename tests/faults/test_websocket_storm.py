"""Handlers and clients that each do anything at any time: whoever comes next is served, and nothing is left behind."""
from __future__ import annotations

import random
import re
import socket
import time
from contextlib import suppress

import pytest

from hotpath.core.errors import ConnectionClosed
from hotpath.core.serve import Block, Options, Request, Router, WebSocket
from hotpath.core.serve.testing import serving
from hotpath.core.tasks import offload, sleep, spawn, timeout
from hotpath.core.wire.ws.upgrade import DeflateParameters
from tests.clients import fetch
from tests.core.net.peers import reset_on_close
from tests.waiting import wait_for
from tests.wsclient import BINARY, CLOSE, CONTINUATION, PING, PONG, RSV1, TEXT, Client, close_payload, connect, frame

N_CLIENTS = 400
STORM_S = 6.0
LET_GO_S = 60.0                 # what tasks still do for clients that left takes its turn on a busy machine
KINDS = ["text", "large", "ping", "close", "half", "broken", "fragment", "squeezed", "read", "read", "many"]


def make() -> Router:
    """Two routes: any, which does anything, and an echo that must work whatever the others do."""
    app = Router()
    dice = random.Random(7)
    room: set[WebSocket] = set()
    hasty = Options(max_message=100_000, ping_s=0.3, pong_s=0.3, close_s=0.3, age_s=0.5, max_unsent=30_000,
                    max_queued=2000, deflate=DeflateParameters())

    def aside(socket: WebSocket) -> None:
        with suppress(ConnectionClosed, RuntimeError, TimeoutError, ZeroDivisionError), timeout(dice.random()):
            for _ in range(dice.randrange(20)):
                step(socket)

    def step(socket: WebSocket) -> None:
        match dice.randrange(14):
            case 0 | 1 | 2:
                socket.receive()
            case 3 | 4:
                socket.send("x" * dice.choice((0, 10, 200, 20_000)))
            case 5:
                with suppress(TimeoutError), timeout(dice.random() / 20):
                    socket.receive()
            case 6:
                block = Block(b"y" * dice.choice((0, 100, 5000)))
                for each in list(room):
                    each.send_shared(block)
            case 7:
                sleep(dice.random() / 50)
            case 8:
                spawn(aside, socket)
            case 9:
                offload(len, b"")
            case 10:
                socket.ping(b"?")
            case 11 if dice.random() < 0.2:
                socket.close(dice.choice((1000, 3000, 4999)), "why not")
            case 12 if dice.random() < 0.1:
                raise ZeroDivisionError
            case 13 if dice.random() < 0.1:
                sleep(3600)         # until it is cancelled

    @app.websocket("/any", options=hasty)
    def anything(request: Request, socket: WebSocket) -> None:
        room.add(socket)
        try:
            for _ in range(dice.randrange(200)):
                try:
                    step(socket)
                except RuntimeError:        # two receive
                    sleep(0.001)
        finally:
            room.discard(socket)

    @app.websocket("/echo")
    def echo(request: Request, socket: WebSocket) -> None:
        for message in socket:
            socket.send(message)

    return app


def act(client: Client, dice: random.Random) -> bool:
    """One thing; False: it was the last."""
    data = b""
    match dice.choice(KINDS):
        case "text":
            data = frame(TEXT, b"hello")
        case "large":
            data = frame(BINARY, bytes(dice.randrange(150_000)))
        case "ping":
            data = frame(dice.choice((PING, PONG)), b"?" * dice.randrange(126))
        case "close":
            payload = dice.choice((b"", close_payload(1000), close_payload(1005), b"\x03"))
            data = frame(CLOSE, payload) + frame(TEXT, b"behind")
        case "half":
            data = frame(BINARY, bytes(1000))[:dice.randrange(1, 1000)]
        case "broken":
            data = dice.randbytes(50) if dice.random() < 0.2 else b""
        case "fragment":
            data = frame(TEXT, b"\xc3", fin=False) + frame(PING) + frame(CONTINUATION, dice.choice((b"\xbc", b"a")))
        case "squeezed":
            assert client.deflate is not None
            data = frame(TEXT, client.deflate.deflate(b"z" * dice.choice((1, 1000, 1_000_000))), rsv=RSV1)
        case "many":
            data = frame(TEXT, b"a") * 500
        case _:
            with suppress(BlockingIOError):
                return bool(client.sock.recv(dice.choice((10, 100_000))))
            return True
    with suppress(BlockingIOError):
        client.sock.send(data)
    if dice.random() < 0.05:
        if dice.random() < 0.5:
            reset_on_close(client.sock)
        elif dice.random() < 0.5:
            client.sock.shutdown(socket.SHUT_WR)
            return True
        return False
    return True


def assert_echoes(client: Client) -> None:
    client.send(frame(TEXT, b"calm"))
    while (event := client.read()).kind == "ping":
        client.send(frame(PONG, event.payload))
    assert event == ("text", b"calm")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_leaves_the_calm_served_and_nothing_behind(seed: int):
    dice = random.Random(seed)
    with serving(make()) as served, connect(served.address, "/echo") as calm:
        pids = served.workers()
        clients: list[Client] = []
        left = N_CLIENTS
        end_s = time.monotonic() + STORM_S
        while (left or clients) and time.monotonic() < end_s:
            while left and len(clients) < 60:
                left -= 1
                clients.append(connect(served.address, "/any", extensions="permessage-deflate"))
            client = dice.choice(clients)
            alive = True
            with suppress(OSError):         # gone already
                alive = act(client, dice)
            if not alive or dice.random() < 0.02:
                clients.remove(client)
                client.close()
            if dice.random() < 0.02:
                assert_echoes(calm)
        for client in clients:
            client.close()
        assert_echoes(calm)

        def open_now() -> dict[str, int]:
            text = fetch(served.address, "/metrics").body.decode()
            found = re.findall(r"^hotpath_connections\{(.*)\} (\d+)$", text, re.MULTILINE)
            return {state: int(n) for state, n in found}

        try:
            wait_for(lambda: sum(open_now().values()) == 2, "all but the calm one, and whoever asks, to be let go",
                     LET_GO_S)
        except AssertionError as error:
            error.add_note(f"{open_now()}, and it said {served.output()[-2000:]}")
            raise
        assert served.workers() == pids
        output = served.output()
        assert "websocket failed" not in output
        assert "never ends" not in output
        # A traceback stands in one line, its ends of lines escaped.
        assert set(re.findall(r"\\n([\w.]+Error)\b", output)) <= {"ZeroDivisionError", "RuntimeError"}
        assert served.stop() == 0

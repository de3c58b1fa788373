"""The admin address: answers that a stranger's request cannot disturb."""
from __future__ import annotations

import json
import selectors
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from hotpath.proxy.warden import MAX_CLIENTS, AdminServer, serve_turn
from tests.clients import Client, fetch
from tests.waiting import wait_for

PAGE = "# HELP x y\n"
PATIENCE_S = 10.0


class Warden:
    """A warden's loop in a thread; what a signal would note is sent by hand."""

    def __init__(self, token: str | None = None, *, page: str = PAGE) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        listener.setblocking(False)
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.server = AdminServer(listener, lambda: page, token)
        self.noted, self.note = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        with selectors.DefaultSelector() as waiting, self.server.socket:
            waiting.register(self.noted, selectors.EVENT_READ)
            waiting.register(self.server.socket, selectors.EVENT_READ, self.server)
            while serve_turn(waiting, self.noted):
                pass
            self.server.drain()

    def stop(self) -> None:
        """TERM, and the end of what is under way."""
        self.note.send(bytes([signal.SIGTERM]))
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        self.noted.close()
        self.note.close()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    one = Warden()
    yield one.address
    one.stop()


def test_it_answers_health_and_metrics(served: str) -> None:
    assert fetch(served, "/healthz").json() == {"status": "ok"}
    answer = fetch(served, "/metrics?x=y")
    assert (answer.status, answer.body) == (200, PAGE.encode())
    assert answer.value("content-type") == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(("raw", "status"), [
    (b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
    (b"PURGE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    (b"GET /metrics HTTP/9.1\r\nHost: x\r\n\r\n", 505),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"nonsense\r\n\r\n", 400),
])
def test_every_refusal_is_a_problem(served: str, raw: bytes, status: int) -> None:
    with Client(served) as client:
        client.send(raw)
        head, _, body = client.rest().partition(b"\r\n\r\n") if status != 404 else client_answer(client)
    problem = json.loads(body or head)
    assert problem["status"] == status
    assert b"Python" not in head


def client_answer(client: Client) -> tuple[bytes, bytes, bytes]:
    answer = client.answer()
    assert answer.value("content-type") == "application/problem+json"
    return b"", b"", answer.body


def test_a_head_has_no_body_and_the_connection_goes_on(served: str) -> None:
    with Client(served) as client:
        assert client.ask("HEAD", "/metrics").body == b""
        assert client.ask("GET", "/metrics").body == PAGE.encode()


def test_the_body_of_a_request_is_never_taken_for_a_request(served: str) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with Client(served) as client:
        client.send(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled))
        assert client.rest().count(b"HTTP/1.1 ") == 1


def test_a_token_is_asked_for_in_every_spelling_but_its_own() -> None:
    one = Warden("s3cret")
    wrong = ("", "Bearer", "Bearer s3cre", "bearer s3cret", "Bearer \xff")
    for given, status in (*((each, 401) for each in wrong), ("Bearer s3cret", 200)):
        assert fetch(one.address, "/healthz", fields=[("Authorization", given)] if given else []).status == status
    one.stop()


def test_one_too_many_is_closed_unheard_and_the_others_stay() -> None:
    one = Warden()
    clients = [Client(one.address) for _ in range(MAX_CLIENTS)]
    for client in clients:
        assert client.ask("GET", "/healthz").status == 200
    with closing(Client(one.address)) as extra:
        assert extra.rest() == b""
    assert clients[0].ask("GET", "/healthz").status == 200
    for client in clients:
        client.close()
    wait_for(lambda: can_ask(one.address), "room again")
    one.stop()


def can_ask(address: str) -> bool:
    with Client(address) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return client.rest().startswith(b"HTTP/1.1 200")


def test_an_answer_under_way_is_finished_before_it_ends() -> None:
    page = "# " + "x" * 8_000_000 + "\n"
    one = Warden(page=page)
    with Client(one.address) as client:
        client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        begun = client.receive(1)
        stopping = threading.Thread(target=one.stop)
        stopping.start()
        answer = begun + client.rest()
    stopping.join()
    assert answer.endswith(page.encode())

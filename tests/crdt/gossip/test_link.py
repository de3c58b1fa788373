"""A peer that hangs, drips, lies or goes away costs the thread that asked, and for a bounded time only."""
from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from hotpath.crdt.gossip.link import Link, LinkError, Refused
from tests.waiting import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


class Peer:
    """A listening socket whose connections are served by a function, one after another."""

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.asked = threading.Event()
        self.connections = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                self.connections += 1
                with connection, suppress(OSError):
                    self._serve(connection)

    def read(self, connection: socket.socket) -> bytes:
        """One request."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                raise OSError("closed")
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < size:
            body += connection.recv(65536)
        self.asked.set()
        return head


@contextmanager
def peer(serve: Callable[[Peer, socket.socket], object]) -> Iterator[Peer]:
    one = Peer(lambda connection: serve(one, connection))
    try:
        yield one
    finally:
        one.listener.close()


def link_to(url: str, **more: object) -> Link:
    return Link(url, **{"timeout_s": 5.0, "token": None, "max_bytes": 1000, **more})


def answers(*all_: bytes) -> Callable[[Peer, socket.socket], None]:
    def serve(one: Peer, connection: socket.socket) -> None:
        for answer in all_:
            heads.append(one.read(connection))
            connection.sendall(answer)
    heads: list[bytes] = []
    serve.heads = heads
    return serve


def test_one_connection_serves_many_questions_and_carries_the_token():
    serve = answers(OK, OK, OK)
    with peer(serve) as one:
        link = link_to(one.url + "/base/", token="secret")
        assert [link.post("/sync/x", b"body") for _ in range(3)] == [b"fine"] * 3
        assert one.connections == 1
        link.close()
    assert all(head.startswith(b"POST /base/sync/x ") and b"Bearer secret" in head for head in serve.heads)


def test_a_connection_that_the_peer_closed_meanwhile_is_made_anew():
    with peer(answers(OK)) as one:
        link = link_to(one.url)
        assert link.post("/x", b"") == link.post("/x", b"") == b"fine"
        assert one.connections == 2


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nshort", b"garbage\r\n\r\n", b"",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_answer_is_a_link_error(answer):
    def serve(one: Peer, connection: socket.socket) -> None:
        one.read(connection)
        connection.sendall(answer)

    with peer(serve) as one, pytest.raises(LinkError):
        link_to(one.url).post("/x", b"")


def test_a_problem_is_a_refusal_with_its_members():
    problem = b'{"title":"clock drift","detail":"too far","local_ms":1}'
    head = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n" % len(problem)
    with peer(answers(head + problem, b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\nhtml")) as one:
        link = link_to(one.url)
        with pytest.raises(Refused, match="too far") as refused:
            link.post("/x", b"")
        assert (refused.value.status, refused.value.title) == (409, "clock drift")
        assert refused.value.problem["local_ms"] == 1
        with pytest.raises(Refused, match="status 502"):
            link.post("/x", b"")


def test_a_peer_that_hangs_or_drips_is_given_up():
    def drip(one: Peer, connection: socket.socket) -> None:
        one.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not done.wait(0.02):
            connection.sendall(b"x")

    done = threading.Event()
    for serve in (lambda one, connection: done.wait(20), drip):
        with peer(serve) as one, pytest.raises(LinkError, match=r"[Tt]ime"):
            link_to(one.url, timeout_s=0.2, max_bytes=10**6).post("/x", b"")
    done.set()


def test_another_thread_cuts_it_while_it_waits_and_for_good():
    release = threading.Event()

    def hang(one: Peer, connection: socket.socket) -> None:
        one.read(connection)
        release.wait(20)

    with peer(hang) as one:
        link = link_to(one.url, timeout_s=60.0)
        errors: list[LinkError] = []

        def ask() -> None:
            try:
                link.post("/x", b"")
            except LinkError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert one.asked.wait(20)
        link.cut()
        thread.join(20)
        assert len(errors) == 1
        with pytest.raises(LinkError, match="cut"):
            link.post("/x", b"")
        release.set()


def test_nobody_there_is_a_link_error_and_so_is_no_address():
    with pytest.raises(LinkError, match="refused"):
        link_to(f"http://127.0.0.1:{free_port()}").post("/x", b"")
    for url in ("ftp://a", "http://", "http://a:99999", "", "http://[::1"):
        with pytest.raises(LinkError, match="not like"):
            link_to(url)

"""Questions to several servers at once: each answer is its own, and a silent one holds up nobody."""
import socket
import threading
from contextlib import ExitStack

import pytest

from hotpath.asking import Question, ask
from hotpath.core.config import Address
from hotpath.core.probing import is_well
from tests.backends import Backend, describe, saying


@pytest.fixture
def silent():
    """It listens, and nobody is there."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield Address("127.0.0.1", sock.getsockname()[1])


def closing(exchange):
    """The end of an answer is that of the connection."""
    describe(exchange)
    exchange.close()


def test_answers_come_in_the_order_of_the_questions(silent, tmp_path):
    with ExitStack() as stack:
        one, two = (stack.enter_context(Backend(closing)) for _ in range(2))
        places = [Address.parse(one.address), silent, Address.parse(two.address)]
        answers = ask([Question(place, f"/{n}", "secret") for n, place in enumerate(places)], 5)
        assert answers[1] is None
        for n in (0, 2):
            assert f"/{n}" in answers[n].body
            assert answers[n].took_ms > 0
        assert is_well(places[0], "/", timeout_s=5)


def test_the_token_is_shown():
    with Backend(closing) as backend:
        (answer,) = ask([Question(Address.parse(backend.address), "/", "secret")], 5)
        assert "Bearer secret" in str(backend.connections[0].received)
        assert answer


@pytest.mark.parametrize("said", [
    b"HTTP/1.1 503 No\r\n\r\n", b"", b"nonsense", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n",
], ids=["503", "nothing", "nonsense", "half", "cut"])
def test_what_is_no_200_is_no_answer(said):
    with Backend(saying(said, then_close=True)) as backend:
        assert ask([Question(Address.parse(backend.address), "/x")], 5) == [None]


def test_nobody_there_is_no_answer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        gone = Address("127.0.0.1", sock.getsockname()[1])
    assert ask([Question(gone, "/"), Question(Address(path=str(tmp_path / "none")), "/")], 5) == [None, None]


def test_a_unix_socket_is_asked_as_localhost(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            sock, _ = listener.accept()
            with sock:
                heard.append(sock.recv(4096))
                sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nwell")

        heard = []
        thread = threading.Thread(target=serve)
        thread.start()
        (answer,) = ask([Question(Address(path=path), "/healthz")], 5)
        thread.join()
    assert answer.body == "well"
    assert heard[0].startswith(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n")


def test_no_question_is_no_wait():
    assert ask([], 60) == []

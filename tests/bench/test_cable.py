import socket
import threading
from contextlib import closing

import pytest

from bench.cable import Cable


@pytest.fixture
def echo():
    """The port of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(sock):
        with sock:
            while piece := sock.recv(4096):
                sock.sendall(piece)

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(sock,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def told(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(text)
        return sock.recv(4096)


def ended(receive) -> bool:
    try:
        return receive() == b""
    except ConnectionError:
        return True


def test_a_whole_cable_passes_bytes_and_counts_both_ways(echo):
    with closing(Cable(echo)) as cable:
        assert told(cable.port, b"hello") == b"hello"
        assert cable.passed == 10


def test_a_pulled_cable_resets_what_is_open_and_what_comes(echo):
    with closing(Cable(echo)) as cable, socket.create_connection(("127.0.0.1", cable.port), timeout=10) as sock:
        sock.sendall(b"hello")
        assert sock.recv(4096) == b"hello"
        cable.pull()
        assert ended(lambda: sock.recv(4096))
        assert ended(lambda: told(cable.port, b"again"))
        cable.mend()
        assert told(cable.port, b"again") == b"again"

"""Our own HTTP to the engine, against an engine of a few lines that says whatever a test wants."""
import socket
import threading
from contextlib import suppress

import pytest

from hotpath.core.tasks import run
from hotpath.ide.sandbox.docker.client import unreachable
from hotpath.ide.sandbox.docker.engine import Engine, Refused
from hotpath.ide.sandbox.docker.readiness import receive

SWITCH = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/x-raw\r\n\r\n"
STREAM = b"\x1e7\x1eHTTP/1.1 200 OK\r\n\r\nall that a program says"


@pytest.fixture
def said(tmp_path):
    """Answers each connection with its `pieces`, once it was asked something, which it keeps."""
    class Said:
        path = str(tmp_path / "engine.sock")
        pieces: tuple[bytes, ...] = ()
        asked = b""
        stays = False

        def serve(self, listener):
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    self.asked = peer.recv(65536)
                    for piece in self.pieces:
                        peer.sendall(piece)
                    if self.stays:
                        kept.append(peer)
                    else:
                        peer.close()

    said, kept = Said(), []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(said.path)
        listener.listen()
        threading.Thread(target=said.serve, args=(listener,), daemon=True).start()
        yield said
        listener.shutdown(socket.SHUT_RDWR)
    for peer in kept:
        peer.close()


def answer(said, act, *pieces, answer_s=20.0):
    said.pieces = pieces
    return run(lambda: act(Engine(said.path, answer_s=answer_s)))


def test_no_byte_of_a_stream_is_lost_wherever_it_is_cut(said):
    def act(engine):
        stream = engine.hijack("/exec/1/start", {"Tty": True})
        with stream.sock:
            got = stream.early
            while piece := receive(stream.sock, 65536):
                got += piece
            return got
    whole = SWITCH + STREAM
    for cut in range(1, len(whole)):
        assert answer(said, act, whole[:cut], whole[cut:]) == STREAM, cut
    assert said.asked.startswith(b"POST /exec/1/start HTTP/1.1\r\n")
    assert b"Upgrade: tcp\r\n" in said.asked
    assert said.asked.endswith(b'\r\n\r\n{"Tty":true}')


def test_what_the_engine_refuses_is_told(said):
    body = b'{"message":"no such container"}'
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
    for act in (lambda engine: engine.hijack("/x", {}), lambda engine: engine.ask("GET", "/x", dict),
                lambda engine: list(engine.lines("/x")), lambda engine: engine.tell("POST", "/x")):
        with pytest.raises(Refused, match="no such container") as caught:
            answer(said, act, head + body)
        assert caught.value.status == 404


@pytest.mark.parametrize("pieces", [
    (b"SSH-2.0-OpenSSH\r\n",), (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnot",),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n", *[bytes(65536)] * 80)])
def test_what_no_engine_says_is_refused(said, pieces):
    with pytest.raises(Refused):
        answer(said, lambda engine: engine.ask("GET", "/x", dict), *pieces)


@pytest.mark.parametrize("pieces", [
    (), (b"HTTP/1.1 200",), (b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{",),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",)])
def test_an_engine_that_ends_within_an_answer_is_lost(said, pieces):
    with pytest.raises(OSError, match="closed"):
        answer(said, lambda engine: engine.ask("GET", "/x", dict), *pieces)


def test_an_engine_that_says_nothing_is_not_waited_for(said):
    said.stays = True
    with pytest.raises(TimeoutError):
        answer(said, lambda engine: engine.ask("GET", "/x", dict), answer_s=0.05)


def test_lines_come_whole_however_they_are_sent(said):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (b'{"a"', b":1}\n{", b'"b":2}\n'))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    lines = answer(said, lambda engine: list(engine.lines("/events")), head, chunks, b"0\r\n\r\n")
    assert lines == [b"", b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize(("error", "helps"), [
    (PermissionError("no"), "usermod -aG docker"), (FileNotFoundError("no"), "systemctl start docker"),
    (TimeoutError("no"), "does not answer in time")])
def test_each_way_not_to_be_reached_says_what_helps(error, helps):
    assert helps in unreachable("/run/engine.sock", error)

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, serve

from bench import served, ws_load
from bench.processes import Server, free_ports
from bench.wrk import LoadError


@contextmanager
def echo(change: bytes = b"") -> Iterator[int]:
    """A server that echoes, with `change` behind each message."""

    def handler(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(f"{message}{change.decode()}")

    with serve(handler, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_every_length_of_message_comes_back(size):
    with echo() as port:
        outcome = ws_load.run(port, 2, 0.2, b"x" * size)
    assert outcome.requests > 2
    assert outcome.read_bytes == outcome.requests * len(ws_load.echo_of(b"x" * size))
    assert outcome.p99_ms >= outcome.p50_ms > 0


def test_a_wrong_echo_is_an_error():
    with echo(b"!") as port, pytest.raises(LoadError, match="not what was sent"):
        ws_load.run(port, 1, 5.0, b"hello")


def test_an_answer_without_an_upgrade_is_an_error(tmp_path):
    port, = free_ports(1)
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with Server("files", argv, port, tmp_path / "output"), pytest.raises(LoadError, match="no upgrade"):
        ws_load.opened(port)


@pytest.mark.parametrize("name", served.WEBSOCKET)
def test_each_contender_echoes(name):
    with served.running(served.WEBSOCKET, [name]) as servers:
        assert ws_load.run(servers[name].port, 2, 0.2, b"hello").requests > 2


def test_ours_is_the_command_of_this_environment():
    assert Path(served.ECHO).parent == Path(sys.executable).parent

"""Echo servers that differ only in their loop: `python -P bench/echoes.py hotpath|uvloop|gevent` prints its port."""
from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import cast

# Each imports its library itself: a server must not carry another's weight.


def hotpath(server: socket.socket) -> None:
    """A Stream with a Python `on_data`."""
    from hotpath.core.net.loop import Loop
    from hotpath.core.net.stream import Stream

    def on_data(stream: Stream, data: bytes) -> None:
        stream.write(data)

    def on_stream(stream: Stream) -> None:
        stream.on_data = on_data

    loop = Loop()
    loop.listen(server, on_stream)
    loop.run()


def uvloop(server: socket.socket) -> None:
    """A Protocol, the fastest face uvloop has for Python."""
    import uvloop

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)     # uvloop's own is no subclass

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def serve() -> None:
        listening = await asyncio.get_running_loop().create_server(Echo, sock=server)
        await listening.serve_forever()

    uvloop.run(serve())


def gevent(server: socket.socket) -> None:
    """A greenlet for each connection."""
    from gevent import socket as green
    from gevent.server import StreamServer

    def echo(sock: green.socket, _address: object) -> None:
        while data := sock.recv(65536):
            sock.sendall(data)

    StreamServer(green.socket(fileno=server.detach()), echo).serve_forever()


ECHOES: dict[str, Callable[[socket.socket], None]] = {"hotpath": hotpath, "uvloop": uvloop, "gevent": gevent}


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    listening.setblocking(False)
    print(listening.getsockname()[1], flush=True)
    ECHOES[sys.argv[1]](listening)

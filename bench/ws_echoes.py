"""WebSocket echo servers: `python -P bench/ws_echoes.py NAME PORT` runs one of the rivals on 127.0.0.1.

All on uvloop and without compression, each through the face its own pages recommend for speed.
"""
from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast

# Each imports its library itself: a server must not carry another's weight.


def picows(port: int) -> None:
    """A listener of picows, which parses in Cython and hands over a view of each frame."""
    import picows
    import uvloop

    class Echo(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    async def serve() -> None:
        server = await picows.ws_create_server(lambda _request: Echo(), "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(serve())


def websockets(port: int) -> None:
    """The asyncio server of websockets, with its C extension."""
    import uvloop
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def run() -> None:
        async with serve(echo, "127.0.0.1", port, compression=None, max_size=None, ping_interval=None) as server:
            await server.serve_forever()

    uvloop.run(run())


def wsproto(port: int) -> None:
    """wsproto in a Protocol of uvloop, as hypercorn and uvicorn use it."""
    import uvloop
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)     # uvloop's own is no subclass
            self.connection = WSConnection(ConnectionType.SERVER)
            self.parts: list[Any] = []

        def data_received(self, data: bytes) -> None:
            self.connection.receive_data(data)
            for event in self.connection.events():
                if isinstance(event, Request):
                    self.transport.write(self.connection.send(AcceptConnection()))
                elif isinstance(event, (BytesMessage, TextMessage)):
                    self.parts.append(event.data)
                    if event.message_finished:
                        whole = type(event)(data=type(event.data)().join(self.parts))
                        self.transport.write(self.connection.send(whole))
                        self.parts.clear()
                elif isinstance(event, (Ping, CloseConnection)):
                    self.transport.write(self.connection.send(event.response()))

    async def serve() -> None:
        listening = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=512)
        await listening.serve_forever()

    uvloop.run(serve())


WS_ECHOES: dict[str, Callable[[int], None]] = {"picows": picows, "websockets": websockets, "wsproto": wsproto}


if __name__ == "__main__":
    WS_ECHOES[sys.argv[1]](int(sys.argv[2]))

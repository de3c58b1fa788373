"""Chat gateways of other libraries: `python -P bench/chat_gateways.py NAME PORT REDIS_PORT PREFIX` runs one of them.

They subscribe to the topics of the chat's own gateways, take sockets at `/?channel=1,2`, and send each event that Redis
brings, encoded once, to the channel's sockets: no tickets, no members, no resume, nothing mended. Each does it through
the face that its own pages recommend for speed, and without compression.
"""
from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from socketify import AppRequest, AppResponse, WebSocket

BACKLOG = 4096                      # of the listening socket, as ours has it
HEAD_BYTES = 40
SEQ = struct.Struct("<16xQ")        # of topics.HEAD


def pushes(data: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], int]:
    """The whole pushes at the front of `data`, each as (kind, topic, payload), and the bytes that they take.

    RESP2: an array of three, of which the last is a bulk string, or `:` and a number behind a SUBSCRIBE.
    """
    found, at, size = [], 0, len(data)
    while True:
        place, parts = at, []
        for n in range(4):
            end = data.find(b"\r\n", place)
            if end < 0:
                return found, at
            if n == 0 or data[place] == 58:         # *3, or :count
                parts.append(data[place + 1:end])
                place = end + 2
                continue
            length = int(data[place + 1:end])
            place = end + 2 + length + 2
            if place > size:
                return found, at
            parts.append(data[end + 2:end + 2 + length])
        found.append((parts[1], parts[2], parts[3]))
        at = place


class Feed(asyncio.Protocol):
    """The connection to Redis, without a client library, which would cost microseconds for each message.

    `deliver(channel, frames)` gets what one read brought, a list for each channel."""

    def __init__(self, prefix: str, deliver: Callable[[int, list[bytes]], None]) -> None:
        self.topic = prefix.encode() + b"c:"
        self.deliver = deliver
        self.rest = b""
        self.heads: dict[int, int] = {}                         # channel -> the last seq seen; its subscription stands
        self.waiting: dict[int, list[Callable[[], None]]] = {}  # until Redis says that it does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport = cast(asyncio.Transport, transport)     # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Frames of a channel in the order in which they came."""
        found, taken = pushes(data := self.rest + data)
        self.rest = data[taken:]
        frames: dict[int, list[bytes]] = {}
        for kind, topic, payload in found:
            channel = int(topic[len(self.topic):])
            if kind == b"message":
                self.heads[channel] = SEQ.unpack_from(payload)[0]
                frames.setdefault(channel, []).append(payload[HEAD_BYTES:])
            else:
                self.heads.setdefault(channel, 0)
                for ready in self.waiting.pop(channel, ()):
                    ready()
        for channel, these in frames.items():
            self.deliver(channel, these)

    def subscribe(self, channels: tuple[int, ...], ready: Callable[[bytes], None]) -> None:
        """Call `ready` with the frame that says so once all channels are subscribed to."""
        missing = [channel for channel in channels if channel not in self.heads]

        def subscribed() -> None:
            missing.pop()
            if not missing:
                ready(self.ready_frame(channels))

        if not missing:
            ready(self.ready_frame(channels))
        for channel in tuple(missing):
            if channel not in self.waiting:
                self.transport.write(b"SUBSCRIBE %s%d\r\n" % (self.topic, channel))
            self.waiting.setdefault(channel, []).append(subscribed)

    def ready_frame(self, channels: tuple[int, ...]) -> bytes:
        """As ours spells it."""
        told = ",".join(f'{{"id":{channel},"head":{self.heads[channel]}}}' for channel in channels)
        return f'{{"type":"ready","channels":[{told}]}}'.encode()


def channels_of(target: bytes) -> tuple[int, ...]:
    """Of `/?channel=1,2`."""
    return tuple(int(each) for each in target.partition(b"channel=")[2].split(b","))


# Each imports its library itself: a server must not carry another's weight.


def run_picows(port: int, redis_port: int, prefix: str, *, joined: bool = False, lean: bool = False) -> None:
    """A listener of picows. Behind room for the header, a frame is sent as it lies: none is copied.

    `lean`: with uvloop's own transport in place of aiofastnet's, which picows prefers and which holds more memory.
    `joined` goes around picows: what one read from Redis brought is made one piece of bytes, header by header, and
    written once to each socket's transport.
    """
    import uvloop
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

    sockets: dict[int, set[WSTransport]] = {}
    room = bytes(14)        # what send_reuse_external_bytearray asks for

    def deliver(channel: int, frames: list[bytes]) -> None:
        here = sockets.get(channel, ())
        if joined:
            block = b"".join(header_of(frame) + frame for frame in frames)
            for transport in here:
                transport.underlying_transport.write(block)
            return
        for frame in frames:
            message = bytearray(room + frame)
            for transport in here:
                transport.send_reuse_external_bytearray(WSMsgType.TEXT, message, 14)

    feed = Feed(prefix, deliver)

    class Socket(WSListener):
        def __init__(self, channels: tuple[int, ...]) -> None:
            super().__init__()
            self.channels = channels

        def on_ws_connected(self, transport: WSTransport) -> None:
            for channel in self.channels:
                sockets.setdefault(channel, set()).add(transport)
            feed.subscribe(self.channels, lambda frame: transport.send(WSMsgType.TEXT, frame))

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            for channel in self.channels:
                sockets[channel].discard(transport)

    def opened(request: WSUpgradeRequest) -> Socket:
        return Socket(channels_of(request.path))

    async def serve() -> None:
        await asyncio.get_running_loop().create_connection(lambda: feed, "127.0.0.1", redis_port)
        # The read buffer takes 16 KiB of each socket otherwise; a client of a chat says little.
        server = await ws_create_server(opened, "127.0.0.1", port, backlog=BACKLOG, read_buffer_init_size=1024,
                                        use_aiofastnet=False if lean else None)
        await server.serve_forever()

    uvloop.run(serve())


def header_of(frame: bytes) -> bytes:
    """Of a text frame that a server sends, RFC 6455 section 5.2."""
    if len(frame) < 126:
        return bytes((0x81, len(frame)))
    return b"\x81\x7e" + len(frame).to_bytes(2, "big")


def run_websockets(port: int, redis_port: int, prefix: str) -> None:
    """The asyncio server of websockets and its `broadcast`, which encodes once."""
    import uvloop
    from websockets.asyncio.server import ServerConnection, broadcast, serve
    from websockets.http11 import Request, Response

    sockets: dict[int, set[ServerConnection]] = {}

    def deliver(channel: int, frames: list[bytes]) -> None:
        here = sockets.get(channel, ())
        for frame in frames:
            broadcast(here, frame.decode())

    feed = Feed(prefix, deliver)

    def checked(connection: ServerConnection, request: Request) -> Response | None:
        return None if "channel=" in request.path else connection.respond(HTTPStatus.BAD_REQUEST, "?channel=ID\n")

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        channels = channels_of(connection.request.path.encode())
        for channel in channels:
            sockets.setdefault(channel, set()).add(connection)
        try:
            feed.subscribe(channels, lambda frame: broadcast((connection,), frame.decode()))
            await connection.wait_closed()
        finally:
            for channel in channels:
                sockets[channel].discard(connection)

    async def run() -> None:
        await asyncio.get_running_loop().create_connection(lambda: feed, "127.0.0.1", redis_port)
        async with serve(handler, "127.0.0.1", port, compression=None, ping_interval=None, backlog=BACKLOG,
                         process_request=checked) as server:
            await server.serve_forever()

    uvloop.run(run())


def run_socketify(port: int, redis_port: int, prefix: str) -> None:
    """uWebSockets' own publish and subscribe in C++, through socketify.

    Its loop is libuv's. socketify's own way to run asyncio beside it is to poll both without a pause, which takes a
    whole CPU; so a timer of libuv looks every millisecond whether Redis has said something, and no more is Python.
    """
    from socketify import App, AppListenOptions, OpCode

    app = App()
    redis = socket.create_connection(("127.0.0.1", redis_port))
    redis.setblocking(False)

    class Written(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            redis.send(data)

    def deliver(channel: int, frames: list[bytes]) -> None:
        topic = b"%d" % channel
        for frame in frames:
            app.publish(topic, frame, OpCode.TEXT)

    feed = Feed(prefix, deliver)
    feed.connection_made(Written())

    def upgrade(response: AppResponse, request: AppRequest, context: object) -> None:
        response.upgrade(request.get_header("sec-websocket-key"), request.get_header("sec-websocket-protocol"),
                         request.get_header("sec-websocket-extensions"), context,
                         channels_of(f"channel={request.get_query('channel')}".encode()))

    def opened(ws: WebSocket) -> None:
        channels = ws.get_user_data()
        for channel in channels:
            ws.subscribe(str(channel))
        # A frame of its own topic: the socket is no longer ours to touch when this runs behind Redis' answer.
        own = f"own:{id(ws)}"
        ws.subscribe(own)
        feed.subscribe(channels, lambda frame: app.publish(own, frame, OpCode.TEXT))

    def look(_nothing: object) -> None:
        try:
            while data := redis.recv(1 << 20):
                feed.data_received(data)
            sys.exit("Redis is gone")
        except BlockingIOError:
            return

    app.ws("/*", {"upgrade": upgrade, "open": opened, "idle_timeout": 0, "max_backpressure": 1 << 20, "compression": 0})
    app.listen(AppListenOptions(port=port, host="127.0.0.1"), lambda _config: None)
    timer = app.loop.uv_loop.create_timer(1, 1, look, None)
    app.loop.uv_loop.run()
    timer.stop()


GATEWAYS: dict[str, Callable[[int, int, str], None]] = {
    "picows": run_picows,
    "picows, lean": lambda *where: run_picows(*where, lean=True),
    "picows, joined": lambda *where: run_picows(*where, joined=True),
    "websockets": run_websockets,
    "socketify": run_socketify,
}


if __name__ == "__main__":
    GATEWAYS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

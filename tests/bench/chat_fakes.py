"""An API and a gateway in threads of the test: honest, but for the events that they are told to leave out or double."""
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.waiting import wait_for

CHANNEL = 7
HEAD_BYTES = 40
Sent = Callable[[int], Sequence[int]]       # seq -> the seqs that leave when it is due


def honest(seq: int) -> Sequence[int]:
    return [seq]


class Fake:
    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.log: list[bytes] = []          # frames; seq 1 is the first
        self.sockets: list[ServerConnection] = []
        self.lock = threading.Lock()
        self.status = 201
        self.n_posts = 0
        self.ws_port = self.api_port = 0

    def append(self, frame: Callable[[int], bytes]) -> int:
        with self.lock:
            seq = len(self.log) + 1
            self.log.append(frame(seq))
            for other in self.sent(seq):
                for socket in self.sockets:
                    with suppress(ConnectionClosed):
                        socket.send(self.log[other - 1], text=True)
        return seq

    def cut(self) -> None:
        """End every socket, as a killed process does."""
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for socket in sockets:
            socket.close()

    def handle(self, socket: ServerConnection) -> None:
        start = json.loads(socket.recv())
        with self.lock:
            since = start["since"].get(str(CHANNEL), len(self.log))
            socket.send(json.dumps({"type": "ready", "epoch": "e", "channels": [
                {"id": CHANNEL, "head": len(self.log), "status": "resumed" if start["since"] else "live",
                 "from": since + 1}]}, separators=(",", ":")))
            for frame in self.log[since:]:
                socket.send(frame, text=True)
            self.sockets.append(socket)
        with suppress(ConnectionClosed):
            socket.recv()

    def follow(self, port: int, topic: str) -> None:
        """Take events from Redis, from now on."""
        subscribed = redis.Redis(port=port).pubsub()
        subscribed.subscribe(topic)
        wait_for(subscribed.get_message, "the subscription")

        def read() -> None:
            with suppress(redis.RedisError, ValueError):
                for message in subscribed.listen():
                    if message["type"] == "message":
                        self.append(lambda _seq, data=message["data"]: data[HEAD_BYTES:])

        threading.Thread(target=read, daemon=True).start()


def event(seq: int, text: str) -> bytes:
    return json.dumps({"type": "event", "channel": CHANNEL, "seq": seq, "kind": "message", "data": {"text": text}},
                      separators=(",", ":")).encode()


def handler_of(fake: Fake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/connect":
                self.answer(200, {"url": f"ws://127.0.0.1:{fake.ws_port}/ws", "ticket": "t", "gateway": "g1",
                                  "retry": {"base_ms": 1, "cap_ms": 10}})
                return
            fake.n_posts += 1
            if fake.status == 201:
                self.answer(201, {"id": 1, "seq": fake.append(lambda seq: event(seq, body["text"]))})
            else:
                self.answer(fake.status, {})

        def answer(self, status: int, told: dict[str, object]) -> None:
            text = json.dumps(told).encode()
            self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text))

    return Handler


class Api(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients end their connections with a reset."""


@contextmanager
def fake(sent: Sent = honest) -> Iterator[Fake]:
    found = Fake(sent)
    api = Api(("127.0.0.1", 0), handler_of(found))
    gateway: Server = serve(found.handle, "127.0.0.1", 0, compression=None)
    found.api_port, found.ws_port = api.server_address[1], gateway.socket.getsockname()[1]
    threads = [threading.Thread(target=each.serve_forever, daemon=True) for each in (api, gateway)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.cut()
        gateway.shutdown()
        api.shutdown()
        api.server_close()
        for thread in threads:
            thread.join()

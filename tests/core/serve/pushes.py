"""The application that the tests of sockets without a task ask."""
from __future__ import annotations

import gc
import itertools
import json
import logging

from hotpath.core.serve import Request, Response, Router, WebSocket, push
from hotpath.core.serve.exchange import Server
from hotpath.core.serve.outbox import Block
from hotpath.core.serve.push import Pusher, PushOptions, PushSocket
from hotpath.core.tasks import Event

# What each test can fill in a moment.
OPTIONS = PushOptions(frame=1000, queue_soft=100_000, queue_hard=1_000_000, queue_age_s=0.0, ping_s=0.0, close_s=30.0,
                      send_buffer=4096)


class Socket(PushSocket):
    """Does what it is told."""

    number: int             # from 0, in the order of opening
    seen: list[str]
    room: list[Socket]

    def on_message(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "close":
            self.close(int(rest), "as you like")
            assert not self.send("behind the close")
            self.close(1000)
        elif word == "raise":
            raise ZeroDivisionError("a secret")
        elif word == "flood":
            block = Block("x" * 10_000)
            for _ in range(int(rest)):
                if not self.send_shared(block):
                    break
        elif word == "all":
            block = Block(rest)
            for socket in self.room:
                socket.send_shared(block)
        elif word == "transient":
            self.send(str(sum(self.send_transient(Block("y" * 10_000)) for _ in range(int(rest)))))
        elif word == "mixed":
            # Runs that all wait for, and what only one does in between.
            for n in range(int(rest)):
                block = Block(f"{n} " + "z" * (n % 7) * 30)
                for socket in self.room:
                    socket.send_shared(block)
                    if socket.number % 5 == 0 and n % 3 == 0:
                        socket.send(f"{n} own")
        elif word == "several":
            for n in range(int(rest)):
                self.send(f"{n}")
        else:
            self.send(text)

    def on_close(self, code: int) -> None:
        self.room.remove(self)
        self.seen.append(f"closed {code} {self.closed}")


def make(options: PushOptions = OPTIONS, *, by_ring: bool = True) -> Router:
    """`/ws` and what is known of it."""
    app = Router()
    seen: list[str] = []
    room: list[Socket] = []
    made: list[Pusher] = []
    numbers = itertools.count()
    go_on = Event()

    def attach(server: Server) -> None:
        # pytest's own handlers keep each record, and so what its traceback refers to.
        for handler in [one for one in logging.getLogger().handlers if type(one).__module__.startswith("_pytest")]:
            logging.getLogger().removeHandler(handler)
        made.append(push.attach(server, Socket, options, spacing_s=0.002, by_ring=by_ring))

    app.at_worker(attach)

    @app.route("GET", "/seen")
    def what_was_seen(request: Request) -> Response:
        return Response.json(seen)

    @app.route("GET", "/counts")
    def counts(request: Request) -> Response:
        gc.collect()
        alive = sum(isinstance(one, Socket) for one in gc.get_objects())
        pusher = made[0]
        return Response(json.dumps({"alive": alive, "room": len(room), "sends": pusher.sends, "frames": pusher.frames,
                                    "dropped": pusher.dropped, "slow": pusher.slow,
                                    "by_ring": pusher.by_ring}))

    @app.websocket("/ws")
    def opened(request: Request, socket: WebSocket) -> None:
        assert isinstance(socket, Socket)
        socket.seen, socket.room, socket.number = seen, room, next(numbers)
        room.append(socket)
        if request.query.get("fail"):
            raise ZeroDivisionError("a secret")
        socket.send("hello")
        if request.query.get("wait"):
            go_on.wait()

    @app.route("GET", "/go-on")
    def let_go_on(request: Request) -> Response:
        go_on.set()
        return Response("on")

    @app.websocket("/no", authorize=lambda request: False)
    def never(request: Request, socket: WebSocket) -> None:
        raise AssertionError

    return app

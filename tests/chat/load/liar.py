"""A small chat in memory that keeps the contract as far as a load needs it, but for one lie: for tests of who checks.

One process, one task at a time, so nothing here is locked.
"""
from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import Any

from hotpath.core.errors import ConnectionClosed
from hotpath.core.serve import Request, Response, Router, WebSocket

# What can be wrong with the n-th message, from 1, as the socket with this number, from 0, sees it.
LIES = ("none", "drop", "drop last", "double", "swap", "other text", "silent hole", "resend", "reset", "cut log")
WRONG_AT = 5        # the message that it is done to
WRONG_FOR = 1       # the socket that it is done to


class Liar:
    """One channel log per channel, all users in all channels."""

    def __init__(self, lie: str, *, refuse: int = 0) -> None:
        """`refuse`: so many sends are answered with 503 first."""
        assert lie in LIES
        self.lie = lie
        self.refuse = refuse
        self.names: dict[str, int] = {}
        self.logs: dict[int, list[dict[str, Any]]] = {}
        self.seen: dict[tuple[str, str], dict[str, Any]] = {}
        self.sockets: list[tuple[int, WebSocket]] = []
        self.serial = itertools.count()
        self.held: str | None = None        # the frame that is swapped with the next
        self.n_messages = 0
        self.fell = False                   # the lie about resuming was told

    def app(self) -> Router:
        """Its routes."""
        app = Router()
        app.route("POST", "/api/users")(self.make_user)
        app.route("POST", "/api/login")(self.log_in)
        app.route("POST", "/api/channels")(self.make_channel)
        app.route("GET", "/api/channels")(self.mine)
        app.route("POST", "/api/channels/{channel:int}/messages")(self.post)
        app.route("GET", "/api/channels/{channel:int}/events")(self.events)
        app.route("POST", "/api/connect")(self.connect)
        app.websocket("/ws", origins=("*",))(self.live)
        return app

    def make_user(self, request: Request) -> Response:
        """201."""
        name = request.json()["name"]
        self.names[name] = len(self.names) + 1
        return Response.json({"id": self.names[name]}, 201)

    def log_in(self, request: Request) -> Response:
        """The name is the token."""
        return Response.json({"token": request.json()["name"]})

    def make_channel(self, request: Request) -> Response:
        """Its log begins with the creator, as a real one."""
        channel = len(self.logs) + 1
        self.logs[channel] = []
        self.append(channel, "member.joined", {"user": 1, "role": "owner"})
        return Response.json({"id": channel, "head": 1}, 201)

    def mine(self, request: Request) -> Response:
        """All."""
        return Response.json({"channels": [{"id": channel, "head": len(log)} for channel, log in self.logs.items()]})

    def connect(self, request: Request) -> Response:
        """The ticket is a number."""
        return Response.json({"url": f"ws://{request.headers['host']}/ws", "ticket": str(next(self.serial)),
                              "gateway": "g1", "expires_in": 30, "retry": {"base_ms": 5, "cap_ms": 50}})

    def post(self, request: Request, channel: int) -> Response:
        """201, or 200 for the same again."""
        if self.refuse:
            self.refuse -= 1
            return Response.json({"title": "later"}, 503, {"Retry-After": "0"})
        body = request.json()
        key = (request.headers["authorization"], body["client_msg_id"])
        if key in self.seen:
            return Response.json(self.seen[key])
        message = {"channel": channel, "seq": len(self.logs[channel]) + 1, **body}
        self.n_messages += 1
        self.seen[key] = message
        self.append(channel, "message", message)
        return Response.json(message, 201)

    def append(self, channel: int, kind: str, data: dict[str, Any]) -> None:
        """To the log, then to every socket."""
        frame = {"type": "event", "channel": channel, "seq": len(self.logs[channel]) + 1, "kind": kind, "at": 0,
                 "actor": 1, "data": data}
        self.logs[channel].append(frame)
        for number, socket in list(self.sockets):
            for text in self.told(number, kind, json.dumps(frame)):
                self.send(socket, text)

    def told(self, number: int, kind: str, text: str) -> list[str]:
        """What socket `number` gets of this event."""
        is_wrong = number == WRONG_FOR and kind == "message" and self.n_messages == WRONG_AT
        if number == WRONG_FOR and self.held is not None:
            held, self.held = self.held, None
            return [text, held]
        if not is_wrong and not (self.lie == "drop last" and number == WRONG_FOR and self.n_messages >= WRONG_AT):
            return [text]
        if self.lie in ("drop", "drop last"):
            return []
        if self.lie == "double":
            return [text, text]
        if self.lie == "swap":
            self.held = text
            return []
        if self.lie == "other text":
            return [text.replace('"client_msg_id": "', '"client_msg_id": "not-')]
        return [text]

    @staticmethod
    def send(socket: WebSocket, text: str) -> None:
        """To a socket that may be gone."""
        with suppress(ConnectionClosed):
            socket.send(text)

    def live(self, request: Request, socket: WebSocket) -> None:
        """hello, start, ready, events."""
        number = int(request.query["ticket"])
        socket.send(json.dumps({"type": "hello", "epoch": "e"}))
        start = json.loads(socket.receive())
        since = {int(channel): seq for channel, seq in start["since"].items()}
        channels, backlog = [], []
        for channel, log in self.logs.items():
            entry = {"id": channel, "head": len(log), "status": "live", "from": len(log) + 1}
            if channel in since:
                after = since[channel]
                entry |= {"status": "resumed", "from": after + 1}
                # Once, for the first socket that comes back behind the log's head or at it.
                if not self.fell and len(log) > 1:
                    after, entry = self.resumed_wrongly(after, entry, len(log))
                backlog += [json.dumps(frame) for frame in log[after:]]
            channels.append(entry)
        socket.send(json.dumps({"type": "ready", "epoch": "e", "channels": channels}))
        for text in backlog:
            socket.send(text)
        entry = (number, socket)
        self.sockets.append(entry)
        try:
            for _ in socket:
                pass
        finally:
            self.sockets.remove(entry)

    def resumed_wrongly(self, after: int, entry: dict[str, Any], head: int) -> tuple[int, dict[str, Any]]:
        """The lies about where a channel goes on: what was sent up to, and its line in `ready`."""
        if self.lie == "silent hole" and head > after:
            self.fell = True
            return after + 1, entry | {"from": after + 2}
        if self.lie == "resend":
            self.fell = True
            return after - 1, entry
        if self.lie in ("reset", "cut log") and head > after:
            return head, entry | {"status": "reset", "from": head + 1}
        return after, entry

    def events(self, request: Request, channel: int) -> Response:
        """The log; with the lie "cut log" a message is missing there, too."""
        after, limit = int(request.query["after"]), int(request.query["limit"])
        frames = self.logs[channel][after:after + limit]
        if self.lie == "cut log":
            frames = frames[1:]
        return Response.json({"events": frames, "head": len(self.logs[channel])})

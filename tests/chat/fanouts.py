"""A server whose sockets are members of one channel, and which does what a script says in one turn."""
from __future__ import annotations

import json
from typing import Any

from hotpath.chat import topics
from hotpath.chat.fanout import Channel, Fanout, Member
from hotpath.core.serve import Request, Response, Router, WebSocket, push
from hotpath.core.serve.outbox import Block
from hotpath.core.serve.push import PushOptions

RING = 16
CHANNEL = 7


def frame_of(seq: int) -> bytes:
    """What stands for an event."""
    return b"e%d" % seq


def resp(*items: bytes | int) -> bytes:
    """A reply to a subscriber."""
    parts = [b"*%d\r\n" % len(items)]
    parts += [b":%d\r\n" % item if isinstance(item, int) else b"$%d\r\n%s\r\n" % (len(item), item) for item in items]
    return b"".join(parts)


def message(seq: int, flags: int, subject: int) -> bytes:
    """An event as Redis brings it."""
    payload = topics.payload(
        frame_of(seq), kind=topics.Kind.EVENT, channel=CHANNEL, seq=seq, actor=1, subject=subject, flags=flags)
    return resp(b"message", topics.channel_topic("t:", CHANNEL).encode(), payload)


class Script:
    """Runs one script on a fanout of its own."""

    def __init__(self, sockets: dict[str, Member], first: int) -> None:
        self.sockets = sockets
        self.told: list[Any] = []
        self.fanout = Fanout("t:", ring=RING, on_gap=lambda channel: self.told.append(["gap"]),
                             on_membership=self.on_membership, on_other=self.on_other)
        self.channel = self.fanout.open(CHANNEL, first)

    def on_membership(self, channel: Channel, seq: int, subject: int, joined: bool) -> None:
        assert channel is self.channel
        self.told.append(["joined" if joined else "left", seq, subject])
        if not joined:
            self.fanout.remove(channel, subject)

    def on_other(self, kind: str, topic: str, payload: bytes | int | None) -> None:
        self.told.append([kind, topic, payload.decode() if isinstance(payload, bytes) else payload])

    def run(self, steps: list[list[Any]]) -> list[Any]:
        """What each step answered."""
        answers: list[Any] = []
        for name, *values in steps:
            answers.append(getattr(self, name)(*values))
        answers.append([self.channel.next, self.channel.oldest, self.channel.gap_end, self.channel.gapped,
                        sorted(member.user for member in self.channel.members())])
        return answers

    def publish(self, seq: int, flags: int, subject: int) -> bool:
        return self.fanout.publish(CHANNEL, seq, frame_of(seq), flags=flags, subject=subject)

    def feed(self, events: list[list[int]], cut: int) -> None:
        data = b"".join(message(*event) for event in events)
        for at in range(0, len(data), cut):
            self.fanout.feed(data[at:at + cut])

    def attach(self, name: str, since: int) -> bool:
        return self.fanout.attach(self.channel, self.sockets[name], since)

    def detach(self, name: str) -> bool:
        return self.fanout.detach(self.channel, self.sockets[name])

    def typing(self, actor: int) -> None:
        self.fanout.typing(self.channel, actor, Block("typing"))

    def settle(self) -> None:
        self.fanout.settle(self.channel)

    def skip(self, next: int) -> None:
        self.fanout.skip(self.channel, max(next, self.channel.next))

    def raw(self, text: str, cut: int) -> None:
        data = text.encode("latin-1")
        for at in range(0, len(data), cut):
            self.fanout.feed(data[at:at + cut])


def make() -> Router:
    """`/ws/{name}/{user}` and POST /run."""
    app = Router()
    sockets: dict[str, Member] = {}
    app.at_worker(lambda server: push.attach(server, Member, PushOptions()))

    @app.websocket("/ws/{name}/{user:int}")
    def opened(request: Request, socket: WebSocket, name: str, user: int) -> None:
        assert isinstance(socket, Member)
        socket.user = user
        sockets[name] = socket

    @app.route("POST", "/run")
    def run(request: Request) -> Response:
        first, steps = json.loads(request.body())
        script = Script(sockets, first)
        try:
            answers = script.run(steps)
        except ValueError as error:
            return Response.json({"error": str(error)})
        for socket in sockets.values():
            assert socket.channels() == ([CHANNEL] if script.channel.has(socket) else [])
        script.fanout.close(CHANNEL)
        for socket in sockets.values():
            assert socket.channels() == []
            socket.send("end")
        return Response.json({"answers": answers, "told": script.told})

    return app

"""A client that keeps up across everything and records every frame, every 2xx and every retry."""
from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_connect

from tests.chat.asking import Answer, Asker, Unanswered
from tests.chat.history import History
from tests.waiting import DEADLINE_S

PASSWORD = "correct horse"
# Between two tries of anything: short, because the tests' parts are back soon.
PAUSE_S = (0.05, 0.25)
# A send without a final answer after so long is given up, and the checker says so.
GIVE_UP_S = 60.0


class Head(msgspec.Struct):
    """What is read of every frame."""

    type: str
    channel: int = 0
    seq: int = 0
    kind: str = ""


class Moved(msgspec.Struct):
    """Of member.joined and member.left."""

    data: dict[str, Any]


read_head = msgspec.json.Decoder(Head).decode
read_moved = msgspec.json.Decoder(Moved).decode


async def pause() -> None:
    """Between two tries."""
    await asyncio.sleep(random.uniform(*PAUSE_S))


class Person:
    """One account: sends, and tries again until there is an answer."""

    def __init__(self, url: str, name: str, history: History) -> None:
        self.url, self.name, self.history = url, name, history
        self.api = Asker(url)
        self.id = 0
        self._numbers = itertools.count(1)
        self._spare: list[Asker] = []

    async def enter(self) -> None:
        """Make the account if need be, and log in."""
        await self.insist("POST", "/api/users", {"name": self.name, "password": PASSWORD}, allowed=(201, 409))
        answer = await self.insist("POST", "/api/login", {"name": self.name, "password": PASSWORD})
        login = answer.json()
        self.id, self.api.token = login["user"]["id"], login["token"]
        self.history.note("person", self.id, self.name, self.api.token)

    async def ask(self, method: str, path: str, body: object = None, **fields: str) -> Answer:
        """One try, beside others of the same person. Raises Unanswered."""
        asker = self._spare.pop() if self._spare else Asker(self.url)
        asker.token = self.api.token
        try:
            return await asker.ask(method, path, body, **fields)
        finally:
            self._spare.append(asker)

    async def insist(self, method: str, path: str, body: object = None, *,
                     allowed: tuple[int, ...] = (200, 201, 202, 204)) -> Answer:
        """Try until it is answered; AssertionError for a status that is neither allowed nor a reason to try again."""
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                with suppress(Unanswered):
                    answer = await self.ask(method, path, body)
                    if answer.status in allowed:
                        return answer
                    assert answer.status in (429, 503), f"{method} {path}: {answer.status} {answer.body[:500]!r}"
                await pause()

    async def channel(self, name: str, kind: str = "public", members: list[int] | None = None) -> int:
        """A new channel's id."""
        body = {"name": name, "kind": kind, "members": members or []}
        return int((await self.insist("POST", "/api/channels", body)).json()["id"])

    async def join(self, channel: int) -> None:
        """Become a member of a public channel."""
        await self.insist("PUT", f"/api/channels/{channel}/members/{self.id}", {})

    async def send(self, channel: int, text: str, *, root: int | None = None, cmid: str = "",
                   give_up_s: float = GIVE_UP_S) -> dict[str, Any] | None:
        """The message once acknowledged; None when it was refused, or nobody answered for long."""
        cmid = cmid or f"{self.name}-{next(self._numbers)}"
        note = self.history.note
        note("sent", self.id, cmid, channel, text, root)
        body = {"client_msg_id": cmid, "text": text} | ({} if root is None else {"root": root})
        with suppress(TimeoutError):
            async with asyncio.timeout(give_up_s):
                while True:
                    try:
                        answer = await self.ask("POST", f"/api/channels/{channel}/messages", body)
                    except Unanswered as error:
                        note("tried", self.id, cmid, str(error))
                    else:
                        if answer.status in (200, 201):
                            message: dict[str, Any] = answer.json()
                            note("acked", self.id, cmid, answer.status, message)
                            return message
                        if answer.status < 500 and answer.status != 429:
                            note("refused", self.id, cmid, answer.status)
                            return None
                        note("tried", self.id, cmid, answer.status)
                    await pause()
        return None

    async def page(self, channel: int, after: int, client: int = 0) -> tuple[list[Any], int]:
        """Events by HTTP, recorded."""
        answer = (await self.insist("GET", f"/api/channels/{channel}/events?after={after}&limit=1000")).json()
        self.history.note("page", client, self.id, channel, after, answer["head"], answer["events"])
        return answer["events"], answer["head"]


class Wire(WSListener):     # type: ignore[misc]
    """One connection's frames, as they come."""

    def __init__(self, client: Client, number: int) -> None:
        self.client, self.number = client, number
        self.code = 1006
        self.ended = asyncio.get_running_loop().create_future()
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.client.receive(self, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            self.code = frame.get_close_code() or 1005
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.ended.done():
            self.ended.set_result(self.code)


class Client:
    """One tab of a person: connected whenever it can be, until `stop`."""

    numbers = itertools.count(1)
    connections = itertools.count(1)

    def __init__(self, person: Person, *, receive_buffer: int = 0) -> None:
        self.person, self.history = person, person.history
        self.number = next(Client.numbers)
        self.receive_buffer = receive_buffer
        self.since: dict[int, int] = {}         # channel: seq, everything up to it has arrived
        self.epoch: str | None = None
        self.gateway = ""
        self.exclude: list[str] = []            # asked of /api/connect
        self.is_ready = False
        self.n_events = 0
        self.codes: list[int] = []              # how each connection ended
        self.refusals: list[str] = []           # why there was none
        self.frames: list[dict[str, Any]] = []  # all but events
        self.wire: Wire | None = None
        self.on_frame: Callable[[Client, Head], None] = lambda client, head: None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay so."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave for good."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.cut()

    def cut(self) -> None:
        """End the connection without a word; it comes back by itself."""
        if self.wire is not None and self.wire.transport is not None:
            self.wire.transport.underlying_transport.abort()

    def say(self, frame: object) -> None:
        """Send a text frame."""
        assert self.wire is not None
        assert self.wire.transport is not None
        self.wire.transport.send(WSMsgType.TEXT, msgspec.json.encode(frame))

    def stall(self, *, on: bool) -> None:
        """Stop reading, or go on."""
        assert self.wire is not None
        assert self.wire.transport is not None
        below = self.wire.transport.underlying_transport
        (below.pause_reading if on else below.resume_reading)()

    async def until(self, check: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
        """Return once something that arrived makes it true."""
        try:
            async with asyncio.timeout(within_s):
                while not check():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"client {self.number} at {self.gateway}, since {self.since}, closes {self.codes}, "
                                 f"refusals {self.refusals[-3:]}: still waiting for {what}") from None

    async def ready(self) -> None:
        """Connected, and told of its channels."""
        await self.until(lambda: self.is_ready, "ready")

    async def has(self, channel: int, seq: int, within_s: float = DEADLINE_S) -> None:
        """Everything up to `seq` arrived."""
        await self.until(lambda: self.since.get(channel, 0) >= seq, f"{channel}/{seq}", within_s)

    def frames_of(self, kind: str) -> list[dict[str, Any]]:
        """All frames of one type, other than events."""
        return [frame for frame in self.frames if frame["type"] == kind]

    def receive(self, wire: Wire, data: bytes) -> None:
        """A text frame."""
        head = read_head(data)
        if head.type == "event":
            self.n_events += 1
            self.history.event(wire.number, head.channel, head.seq, data)
            self.since[head.channel] = max(head.seq, self.since.get(head.channel, 0))
            if head.kind == "member.left" and read_moved(data).data["user"] == self.person.id:
                self.since.pop(head.channel, None)
        else:
            self._note(wire, msgspec.json.decode(data))
        self._changed.set()
        self.on_frame(self, head)

    def _note(self, wire: Wire, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        match frame["type"]:
            case "hello":
                since = dict(self.since)
                self.history.note("start", wire.number, since)
                self.say({"type": "start", "epoch": self.epoch, "since": {str(key): seq for key, seq in since.items()}})
            case "ready":
                self.history.note("ready", wire.number, frame["channels"])
                self.epoch = frame["epoch"]
                self.since = {row["id"]: row["from"] - 1 for row in frame["channels"]}
                self.is_ready = True
            case "channel.added":
                self.history.note("frame", wire.number, frame)
                self.since[frame["channel"]] = frame["from"] - 1
            case "channel.removed":
                self.history.note("frame", wire.number, frame)
                self.since.pop(frame["channel"], None)
            case "reset":
                self.history.note("frame", wire.number, frame)
                self.since[frame["channel"]] = frame["head"]
            case "reconnect" | "error":
                self.history.note("frame", wire.number, frame)

    async def _run(self) -> None:
        while True:
            try:
                await self._connect()
            except (Unanswered, WSError, OSError, TimeoutError, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError):
                    raise
                self.refusals.append(f"{type(error).__name__}: {error}"[:200])
            self._changed.set()
            await pause()

    async def _connect(self) -> None:
        """One connection, from its ticket to its end."""
        answer = await self.person.ask("POST", "/api/connect", {"exclude": self.exclude})
        if answer.status == 401:
            await self.person.enter()
        if answer.status != 200:
            self.refusals.append(f"connect: {answer.status}")
            return
        where = answer.json()
        number = next(Client.connections)

        def opened(request: WSUpgradeRequest, response: object) -> Wire:
            self.gateway = where["gateway"]
            self.history.note("opened", number, self.number, self.person.id, self.gateway)
            self.wire = Wire(self, number)
            return self.wire

        transport, wire = await ws_connect(
            opened, f"{where['url']}?ticket={where['ticket']}", websocket_handshake_timeout=10,
            socket_factory=self._socket if self.receive_buffer else None)
        try:
            code = await wire.ended
        finally:
            self.is_ready = False
            transport.underlying_transport.abort()
            self.history.note("closed", number, wire.code)
        self.codes.append(code)

    def _socket(self, _url: object) -> socket.socket:
        """One whose kernel buffer fills soon."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        return sock

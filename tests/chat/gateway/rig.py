"""A chat without its API: a real Redis, a real database with its writer in this process, gateways as processes."""
from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from hotpath.chat.auth import Ticket, secret, sign_ticket
from hotpath.chat.config import ChatConfig
from hotpath.chat.connect import Report
from hotpath.chat.parts import redis_server
from hotpath.chat.store import (
    CreateChannel,
    CreateSession,
    CreateUser,
    Database,
    Event,
    Join,
    Leave,
    Notice,
    PostMessage,
    Unavailable,
    Writer,
)
from hotpath.chat.store.publisher import Publisher
from hotpath.chat.topics import registry_key
from hotpath.core.config import load
from hotpath.core.serve.testing import Served, launched
from tests.waiting import free_port, send_signal, wait_for, wait_for_port
from tests.wsclient import Client, close_code, connect, handshake

COMMAND = Path(sys.executable).with_name("hotpath-chat")
FAR_MS = 4_000_000_000_000


class RedisServer:
    """A Redis that can be killed, stopped and started again, empty, at the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [redis_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--daemonize", "no", "--loglevel", "warning"], stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        send_signal(self._process.pid, number)


class Rig:
    """All of it."""

    def __init__(self, folder: Path, *, database: str = "sqlite", **gateways: object) -> None:
        self.redis = RedisServer()
        self.folder = folder
        self.file = folder / "chat.yaml"
        lines = [f"data: {folder / 'data'}", f"redis: {{url: '{self.redis.url}'}}",
                 f"gateways: {json.dumps({'count': 1, **gateways})}", f"database: {{url: '{database}', busy: 1s}}"]
        self.file.write_text("\n".join(lines))
        self.config = load(str(self.file), ChatConfig)
        self.config.folder.mkdir()
        self.secret = secret(self.config.folder)
        # What becomes of what the writer commits on its way to Redis.
        self.disturb: Callable[[list[Event | Notice]], list[Event | Notice]] = lambda what: what
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self.boots: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.redis.start()
        self.database = Database.open(self.config)
        self.publisher = Publisher(lambda: self.redis.url, self.config.redis.prefix)
        self.writer = Writer(self.database, publish=self._publish)
        self.publisher.start()
        self.writer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()
        self.writer.stop()
        self.publisher.stop()
        self.database.close()
        self.redis.kill()

    def _publish(self, what: list[Event | Notice]) -> None:
        if disturbed := self.disturb(what):
            self.publisher.publish(disturbed)

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Nothing reaches Redis while the block runs."""
        before, self.disturb = self.disturb, lambda what: []
        try:
            yield
        finally:
            self.disturb = before

    # Parts

    def gateway(self, id: str = "g1", *, listen: str = "127.0.0.1:0", wait: bool = True) -> Served:
        served = self._stack.enter_context(launched(
            [str(COMMAND), "gateway", "--config", str(self.file), "--id", id, "--listen", listen], wait=wait))
        if wait:
            self.boots[id] = self.report(id).boot
        return served

    def report(self, id: str = "g1") -> Report:
        """What the gateway says of itself, once it does."""
        def read() -> Report | None:
            text = self.redis.client.get(registry_key(self.config.redis.prefix, id))
            return Report(**json.loads(text)) if text else None     # type: ignore[arg-type]

        return wait_for(read, f"a report of {id}")

    # People and what they do

    def user(self, name: str) -> User:
        made: Any = self.writer.call(CreateUser(name, name, "-", None, True))
        session: Any = self.writer.call(CreateSession(made["id"], os.urandom(32), FAR_MS))
        return User(self, made["id"], session)

    def channel(self, owner: User, *members: User, name: str = "", kind: str = "public") -> int:
        made: Any = self.writer.call(CreateChannel(
            owner.id, kind, name or f"c{next(self._numbers)}", "", tuple(member.id for member in members)))
        return int(made["id"])


class User:
    """An account, and what it does with the database."""

    def __init__(self, rig: Rig, id: int, session: int) -> None:
        self.rig, self.id, self.session = rig, id, session
        self._numbers = itertools.count(1)

    def say(self, channel: int, text: str = "hello") -> int:
        """The seq of a message, once it is committed."""
        operation = PostMessage(self.id, channel, f"m{next(self._numbers)}", text, None)

        def said() -> int:
            with suppress(Unavailable):         # the same again is the same message
                (message, _) = self.rig.writer.call(operation)  # type: ignore[misc]
                return int(message["seq"])
            return 0

        return wait_for(said, "a commit")

    def join(self, channel: int, who: User | None = None) -> int:
        (member, _) = self.rig.writer.call(Join(self.id, channel, (who or self).id))     # type: ignore[misc]
        return int(member["joined_seq"])

    def leave(self, channel: int, who: User | None = None) -> None:
        self.rig.writer.call(Leave(self.id, channel, (who or self).id))

    def ticket(self, id: str = "g1", **changes: Any) -> str:
        fields = {"user": self.id, "session": self.session, "gateway": id, "boot": self.rig.boots[id],
                  "expires_ms": int(time.time() * 1000) + 30_000, "serial": os.urandom(8).hex(), **changes}
        return sign_ticket(self.rig.secret, Ticket(**fields))

    def connect(self, gateway: Served, id: str = "g1") -> Socket:
        return Socket(connect(gateway.address, f"/ws?ticket={self.ticket(id)}"))

    def start(self, gateway: Served, id: str = "g1", *, since: dict[int, int] | None = None,
              epoch: str | None = "same") -> Socket:
        """A socket that is ready."""
        socket = self.connect(gateway, id)
        socket.start(since, epoch=epoch)
        return socket


class Socket:
    """A client's end, frame by frame."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.hello = self.next("hello")
        self.ready: dict[str, Any] = {}

    def start(self, since: dict[int, int] | None = None, *, epoch: str | None = "same") -> None:
        self.ask_start(since, epoch=epoch)
        self.ready = self.next("ready")

    def ask_start(self, since: dict[int, int] | None = None, *, epoch: str | None = "same") -> None:
        self.send({"type": "start", "epoch": self.hello["epoch"] if epoch == "same" else epoch,
                   "since": {str(id): seq for id, seq in (since or {}).items()}})

    def send(self, frame: object) -> None:
        self.client.send_frame(1, frame if isinstance(frame, bytes) else json.dumps(frame).encode())

    def read(self) -> dict[str, Any]:
        """The next frame; AssertionError for a close."""
        while True:
            event = self.client.read()
            assert event.kind in ("text", "ping"), (event, close_code(event.payload))
            if event.kind == "text":
                frame: dict[str, Any] = json.loads(event.payload)
                return frame
            self.client.send_frame(10, event.payload)

    def next(self, type: str, **fields: object) -> dict[str, Any]:
        """The next frame, which must be of that type."""
        frame = self.read()
        assert frame["type"] == type, frame
        assert {key: frame[key] for key in fields} == fields, frame
        return frame

    def events(self, channel: int, first: int, last: int) -> list[dict[str, Any]]:
        """The next frames, which must be these events."""
        return [self.next("event", channel=channel, seq=seq) for seq in range(first, last + 1)]

    def frames_until(self, check: Any) -> list[dict[str, Any]]:
        """All frames up to the first that `check` is true of."""
        frames = [self.read()]
        while not check(frames[-1]):
            frames.append(self.read())
        return frames

    def is_silent(self, seconds: float = 0.3) -> bool:
        return self.client.is_silent_for(seconds)

    def settle(self) -> None:
        """Nothing but a pong may be under way."""
        self.send({"type": "ping", "id": 1})
        self.next("pong", id=1)

    def close_code(self) -> int | None:
        """The code that the server ends with, whatever comes before."""
        return close_code(self.client.read_to_close()[1])

    def close(self) -> None:
        self.client.close()


class Place:
    """One gateway for many tests, each with people and channels of its own."""

    def __init__(self, chat: Rig, gateway: Served) -> None:
        self.chat, self.gateway = chat, gateway
        self._numbers = itertools.count(1)

    def people(self, n: int) -> list[User]:
        return [self.chat.user(f"u{next(self._numbers)}") for _ in range(n)]


@contextmanager
def rig(folder: Path, *, database: str = "sqlite", **gateways: object) -> Iterator[Rig]:
    """All of it while the block runs."""
    with Rig(folder, database=database, **gateways) as made:
        yield made


def refused(gateway: Served, target: str, *fields: tuple[str, str]) -> int:
    """The status of an upgrade."""
    client = Client(gateway.address)
    try:
        client.send(handshake(target, *fields, host=gateway.address))
        return client.read_head().status
    finally:
        client.close()

"""A real `hotpath-ide serve` on free ports, and what its clients say."""
from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from hotpath.core.serve.testing import Served, launched
from tests.clients import Answer, fetch
from tests.ide.terminal.client import COLD, EXIT, INPUT, OUTPUT, START, SUBPROTOCOL, ack, attach
from tests.wsclient import Client, handshake

Fields = Sequence[tuple[str, str]]


class Ide:
    """A server that runs."""

    def __init__(self, served: Served, base: str) -> None:
        self.served = served
        self.base = base
        self.address = served.address
        self.url = f"http://{served.address}{base}"
        self.token = served.wait_for(r"^http://\S*/#token=(\S+)$")[1]
        self.bearer = [("Authorization", f"Bearer {self.token}")]

    def raw(self, method: str, path: str, fields: Fields = (), body: bytes | None = None,
            host: str | None = None) -> Answer:
        """A request as it is given; `path` is below the base path."""
        return fetch(self.address, self.base + path, method, fields, body, host=host or self.address)

    def ask(self, method: str, path: str, body: object = None, fields: Fields = ()) -> Answer:
        """A request with the token; `body` is sent as it is when it is bytes, else as JSON."""
        typed: list[tuple[str, str]] = []
        if body is not None and not isinstance(body, bytes):
            body, typed = json.dumps(body).encode(), [("Content-Type", "application/json")]
        return self.raw(method, path, [*self.bearer, *typed, *fields], body)

    def right(self, status: int, method: str, path: str, body: object = None, fields: Fields = ()) -> Any:
        """As `ask`; the answer must have this status. What its JSON says."""
        answer = self.ask(method, path, body, fields)
        assert answer.status == status, (method, path, answer.status, answer.body[:500])
        return answer.json() if "json" in (answer.value("content-type") or "") else answer

    def create(self, name: str, template: str = "web", *, start: bool = True) -> dict[str, Any]:
        """A new project."""
        made: dict[str, Any] = self.right(201, "POST", "/api/projects",
                                          {"name": name, "template": template, "start": start})
        return made

    def put(self, id: str, path: str, data: bytes, etag: str | None = None) -> Answer:
        """Save a file; a new one without `etag`."""
        condition = ("If-None-Match", "*") if etag is None else ("If-Match", f'"{etag}"')
        return self.ask("PUT", f"/api/projects/{id}/file?path={path}", data, [condition])

    def empty(self) -> None:
        """No project is left, and nothing of one: containers would go on without us."""
        for project in self.right(200, "GET", "/api/projects")["projects"]:
            self.right(204, "DELETE", f"/api/projects/{project['id']}?purge=1")

    def sign_in(self) -> tuple[str, str]:
        """The cookie's name and value."""
        answer = self.raw("POST", "/api/session", [("Content-Type", "application/json")],
                          json.dumps({"token": self.token}).encode())
        assert answer.status == 204, answer.body
        name, _, rest = (answer.value("set-cookie") or "").partition("=")
        return name, rest.partition(";")[0]

    def cookie(self) -> list[tuple[str, str]]:
        """The fields of a browser that is signed in, from a page of ours."""
        name, value = self.sign_in()
        return [("Cookie", f"{name}={value}"), ("Origin", f"http://{self.address}")]

    def socket(self, path: str, fields: Fields | None = None) -> Client:
        """A websocket whose handshake is done."""
        client = Client(self.address)
        try:
            client.open(self.base + path, *(self.bearer if fields is None else fields), host=self.address)
        except BaseException:
            client.close()
            raise
        return client

    def upgrade(self, path: str, fields: Fields = (), host: str | None = None) -> int:
        """What answers a websocket's handshake."""
        with Client(self.address) as client:
            client.send(handshake(self.base + path, *fields, host=host or self.address))
            return client.read_head().status


def heard(events: Client, kind: str, where: Mapping[str, object] | None = None) -> dict[str, Any]:
    """The next message of this type, with these members."""
    while True:
        said: dict[str, Any] = json.loads(events.read().payload)
        if said["type"] == kind and all(said.get(key) == value for key, value in (where or {}).items()):
            return said


class Screen:
    """A terminal's client: everything that comes, acknowledged, in order."""

    def __init__(self, ide: Ide, id: str, terminal: str, offset: int = COLD, fields: Fields | None = None) -> None:
        self.socket = Client(ide.address)
        self.socket.open(f"{ide.base}/api/projects/{id}/terminals/{terminal}/socket",
                         *(ide.bearer if fields is None else fields),
                         SUBPROTOCOL, host=ide.address)
        self.text = b""
        self.status: int | None = None
        self.closed: int | None = None
        self.offset = 0
        self.flags = 0
        self.send(attach(offset))

    def send(self, frame: bytes) -> None:
        """One message."""
        self.socket.send_frame(2, frame)

    def type(self, text: bytes) -> None:
        """Keys."""
        self.send(bytes((INPUT,)) + text)

    def step(self) -> None:
        """Take one message."""
        event = self.socket.read()
        if event.kind == "close":
            self.closed = int.from_bytes(event.payload[:2], "big")
            self.socket.send_close(self.closed)
            return
        kind, rest = event.payload[0], event.payload[1:]
        if kind == START:
            self.offset, _live, _cols, _rows, self.flags = struct.unpack(">QQHHB", rest)
        elif kind == OUTPUT:
            offset = int.from_bytes(rest[:8], "big")
            assert offset == self.offset, (offset, self.offset)
            self.text += rest[8:]
            self.offset += len(rest) - 8
            self.send(ack(self.offset))
        elif kind == EXIT:
            self.status = struct.unpack(">i", rest)[0]

    def until(self, text: bytes) -> bytes:
        """What came up to this text, and is forgotten now."""
        while text not in self.text:
            self.step()
            assert self.closed is None, (text, self.text, self.closed)
        before, _, self.text = self.text.partition(text)
        return before

    def until_closed(self) -> int:
        """The code it is closed with."""
        while self.closed is None:
            self.step()
        return self.closed

    def close(self) -> None:
        """Let go of the connection."""
        self.socket.close()


def written(folder: Path, kind: str = "process", **keys: Any) -> Path:
    """A configuration file in `folder`, with free ports."""
    config = {"data": "./data", "preview": {"listen": "127.0.0.1:0"}, **keys}
    config["sandbox"] = {"kind": kind, **keys.get("sandbox", {})}
    path = folder / "ide.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def serving(file: Path, *, port: int = 0, base: str = "",
            program: Sequence[str] = ("-m", "hotpath.ide")) -> Iterator[Ide]:
    """The server of this file, in a process group of its own while the block runs."""
    command = [sys.executable, "-P", *program, "serve", "--config", str(file), "--listen", f"127.0.0.1:{port}"]
    with launched(command) as served:
        yield Ide(served, base)


"""One person of a test that goes step by step: blocking HTTP, and raw websockets."""
from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from tests import wsclient
from tests.chat.client import PASSWORD
from tests.waiting import DEADLINE_S, wait_for


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """Read."""
        return msgspec.json.decode(self.body)


class Tab(wsclient.Client):
    """A raw websocket that reads the frames of the contract."""

    def say(self, frame: object) -> None:
        """One text frame."""
        self.send_frame(wsclient.TEXT, json.dumps(frame).encode())

    def start(self, **since: int) -> dict[str, Any]:
        """Say so; `ready`."""
        self.say({"type": "start", "epoch": None, "since": since})
        return self.until("ready")

    def frame(self) -> dict[str, Any]:
        """The next one; AssertionError for a close. Pings are answered: the gateway drops who does not."""
        event = self.read()
        while event.kind in ("ping", "pong"):
            if event.kind == "ping":
                self.send_frame(wsclient.PONG, event.payload)
            event = self.read()
        assert event.kind == "text", (event.kind, wsclient.close_code(event.payload), event.payload[2:])
        frame: dict[str, Any] = msgspec.json.decode(event.payload)
        return frame

    def until(self, kind: str, **wanted: object) -> dict[str, Any]:
        """Skip frames up to the first of that type with those members."""
        while True:
            frame = self.frame()
            if frame["type"] == kind and all(frame.get(key) == value for key, value in wanted.items()):
                return frame

    def closed_with(self) -> int | None:
        """The code of the close that comes, whatever comes before it."""
        return wsclient.close_code(self.read_to_close()[1])


class Someone:
    """An account, by blocking calls."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url.removeprefix("http://"), name
        self.token = ""
        assert self.ask("POST", "/api/users", {"name": name, "password": PASSWORD}).status in (201, 409)
        login = self.ask("POST", "/api/login", {"name": name, "password": PASSWORD}).json
        self.token, self.id = login["token"], login["user"]["id"]

    def ask(self, method: str, path: str, body: object = None, **headers: str | None) -> Answer:
        """One request on a fresh connection; bytes go out as they are. A header None stays away; `_` is written `-`."""
        connection = http.client.HTTPConnection(self.url, timeout=DEADLINE_S)
        given = {"Content-Type": "application/json" if body is not None else None,
                 "Authorization": f"Bearer {self.token}" if self.token else None,
                 **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {name: value for name, value in given.items() if value is not None})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(self, channel: int, text: str, cmid: str) -> Answer:
        """A message."""
        return self.ask("POST", f"/api/channels/{channel}/messages", {"client_msg_id": cmid, "text": text})

    def ticket(self) -> tuple[str, str, str]:
        """HOST:PORT, the target with its ticket, the gateway."""
        def connect() -> Answer | None:
            # Right behind a start the API may not have heard of its gateways: it asks to come again.
            answer = self.ask("POST", "/api/connect", {})
            assert answer.status in (200, 503), answer
            return answer if answer.status == 200 else None

        given = wait_for(connect, "a gateway")
        assert given is not None
        where = given.json
        parts = urlsplit(where["url"])
        return parts.netloc, f"{parts.path}?ticket={where['ticket']}", where["gateway"]

    def tab(self, *fields: tuple[str, str], extensions: str | None = None) -> Tab:
        """A connection that said nothing yet, behind its hello."""
        address, target, _ = self.ticket()
        offered = [("Sec-WebSocket-Extensions", extensions)] if extensions else []
        tab = Tab(address)
        tab.open(target, *fields, *offered, host=address)
        assert tab.frame()["type"] == "hello"
        return tab


def knock(address: str, target: str, *fields: tuple[str, str], drop: tuple[str, ...] = ()) -> int:
    """The status that an opening handshake gets."""
    with wsclient.Client(address) as client:
        client.send(wsclient.handshake(target, *fields, host=address, drop=drop))
        return client.read_head().status

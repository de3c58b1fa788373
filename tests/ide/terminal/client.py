"""The client's side of `hotpath.term.v1`: a page without a screen, that checks what no server may do."""
from __future__ import annotations

import json
import struct
import time
from typing import Any, NamedTuple, Self

from tests.clients import fetch
from tests.wsclient import BINARY, Client, Ended

SUBPROTOCOL = ("Sec-WebSocket-Protocol", "hotpath.term.v1")
COLD = (1 << 64) - 1
ATTACH, INPUT, RESIZE, ACK, PING = 1, 2, 3, 4, 5
START, OUTPUT, EXIT, GAP, PONG, SIZE, LEAD = 129, 130, 131, 132, 133, 134, 135


class Start(NamedTuple):
    """What the server began with."""

    begin: int
    live: int
    cols: int
    rows: int
    reset: bool


class Closed(Exception):
    """The server closed: code and reason."""

    def __init__(self, code: int, reason: bytes = b"") -> None:
        super().__init__(f"{code} {reason.decode()}")
        self.code, self.reason = code, reason


def attach(offset: int = COLD, cols: int = 80, rows: int = 24) -> bytes:
    return struct.pack(">BQHH", ATTACH, offset, cols, rows)


def ack(offset: int) -> bytes:
    return struct.pack(">BQ", ACK, offset)


class Tab:
    """One attached client: follows offsets, keeps what it was shown."""

    def __init__(self, address: str, terminal: str, *, acks: bool = True) -> None:
        self.socket = Client(address)
        self.socket.open(f"/projects/p/terminals/{terminal}/socket", SUBPROTOCOL, host=address)
        self.acks = acks                # by itself, for all that comes
        self.start: Start | None = None
        self.offset = 0                 # of the next byte
        self.shown = bytearray()        # since the last clear
        self.log: list[tuple[str, Any]] = []        # everything but output
        self.exit: int | None = None
        self.leads: bool | None = None
        self.size: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: bytes) -> None:
        self.socket.send_frame(BINARY, message)

    def attach(self, offset: int = COLD, cols: int = 80, rows: int = 24) -> Start:
        self.send(attach(offset, cols, rows))
        while self.start is None or self.leads is None:
            self.step()
        return self.start

    def type(self, data: bytes | str) -> None:
        self.send(bytes((INPUT,)) + (data.encode() if isinstance(data, str) else data))

    def ack(self) -> None:
        self.send(ack(self.offset))

    def step(self) -> None:
        """The next message. Closed when it is the last."""
        try:
            event = self.socket.read()
        except Ended:
            raise Closed(1006) from None
        if event.kind == "close":
            code = int.from_bytes(event.payload[:2], "big") if event.payload else 1005
            raise Closed(code, event.payload[2:])
        assert event.kind == "binary", event
        self.take(event.payload[0], event.payload[1:])

    def take(self, kind: int, body: bytes) -> None:
        if kind == START:
            assert self.start is None
            begin, live, cols, rows, flags = struct.unpack(">QQHHB", body)
            self.start = Start(begin, live, cols, rows, bool(flags))
            self.offset, self.size = begin, (cols, rows)
            return
        assert self.start is not None, "START comes first"
        assert self.exit is None, "nothing comes behind EXIT"
        if kind == OUTPUT:
            offset, data = int.from_bytes(body[:8], "big"), body[8:]
            assert offset == self.offset, f"{offset} instead of {self.offset}"
            assert 0 < len(data) <= 65536
            self.offset += len(data)
            self.shown += data
            if self.acks:
                self.ack()
        elif kind == GAP:
            offset = int.from_bytes(body, "big")
            assert offset > self.offset
            self.log.append(("gap", (self.offset, offset)))
            self.offset = offset
            self.shown.clear()
        elif kind == EXIT:
            (self.exit,) = struct.unpack(">i", body)
        elif kind == PONG:
            self.log.append(("pong", int.from_bytes(body, "big")))
        elif kind == SIZE:
            self.size = struct.unpack(">HH", body)
            self.log.append(("size", self.size))
        elif kind == LEAD:
            self.leads = bool(body[0])
            self.log.append(("lead", self.leads))
        else:
            raise AssertionError(f"kind {kind}")

    def until(self, text: bytes | str) -> bytes:
        """Read until this was shown; all that is shown by then."""
        wanted = text.encode() if isinstance(text, str) else text
        deadline_s = time.monotonic() + self.socket.patience_s
        while wanted not in self.shown:
            assert time.monotonic() < deadline_s, f"no {wanted!r} in {bytes(self.shown[-300:])!r}"
            self.step()
        return bytes(self.shown)

    def until_offset(self, offset: int) -> bytes:
        """Read until all before `offset` was shown."""
        while self.offset < offset:
            self.step()
        return bytes(self.shown)

    def until_logged(self, kind: str) -> Any:
        """Read until such a message came; what the last of them said."""
        while not (found := [what for name, what in self.log if name == kind]):
            self.step()
        return found[-1]

    def until_closed(self) -> Closed:
        """Read to the end."""
        try:
            while True:
                self.step()
        except Closed as closed:
            return closed


class Stage:
    """The server's side, by HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address

    def create(self, *argv: str, **more: Any) -> dict[str, Any]:
        body = json.dumps({"argv": argv, **more}).encode()
        answer = fetch(self.address, "/terminals", "POST", [("Content-Type", "application/json")], body)
        assert answer.status == 201, answer
        return answer.json()

    def show(self, id: str) -> dict[str, Any]:
        return fetch(self.address, f"/terminals/{id}").json()

    def listing(self) -> dict[str, Any]:
        return fetch(self.address, "/terminals").json()

    def delete(self, id: str) -> None:
        assert fetch(self.address, f"/terminals/{id}", "DELETE").status == 204

    def process(self) -> dict[str, int]:
        return fetch(self.address, "/process").json()

    def tab(self, id: str, **options: Any) -> Tab:
        return Tab(self.address, id, **options)

    def delete_all(self) -> None:
        assert fetch(self.address, "/terminals", "DELETE").status == 204

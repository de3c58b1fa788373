"""One connection played from the bytes of its peer: what it said, in words that do not depend on whose it is."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

# What a client of these tests asks before it reads, and a server answers to a whole request: (event, its arguments).
Said = tuple[str, dict[str, Any]]
END: Said = ("EndOfMessage", {})
HELLO: Said = ("Data", {"data": b"hello"})


def request(method: str, *headers: tuple[str, str]) -> Said:
    return "Request", {"method": method, "target": "a:1", "headers": [("Host", "a"), *headers]}


def response(status: int, *headers: tuple[str, str]) -> Said:
    return "Response" if status >= 200 else "InformationalResponse", {"status_code": status, "headers": [*headers]}


ASKED: dict[str, list[Said]] = {
    "nothing": [],
    "get": [request("GET"), END],
    "head": [request("HEAD"), END],
    "close": [request("GET", ("Connection", "close")), END],
    "connect": [request("CONNECT"), END],
    "upgrade": [request("GET", ("Upgrade", "x")), END],
    "waiting": [request("PUT", ("Expect", "100-continue"), ("Content-Length", "3"))],
}
ANSWERED: dict[str, list[Said]] = {
    "nothing": [],
    "chunked": [response(200, ("A", "b")), HELLO, ("EndOfMessage", {"headers": []})],
    "length": [response(200, ("content-length", "5")), HELLO, END],
    "empty": [response(204), END],
    "filled": [response(204), HELLO],
    "close": [response(404, ("Connection", "keep-alive, Close")), END],
    "both": [response(200, ("Transfer-Encoding", "chunked"), ("A", "b"), ("Content-Length", "3")),
             ("EndOfMessage", {"headers": [("T", "u")]})],
    "interim": [response(100), response(200, ("Content-Length", "0")), END],
    "switch": [response(101, ("Upgrade", "x"))],
    "too much": [response(200, ("Content-Length", "4")), HELLO],
    "too little": [response(200, ("Content-Length", "6")), HELLO, END],
    "trailers": [response(200, ("Content-Length", "5")), HELLO, ("EndOfMessage", {"headers": [("T", "u")]})],
}


@dataclass
class Play:
    """`said` grows by what each call answered, with all that can be seen of the connection behind it."""

    module: Any
    connection: Any
    answers: list[Said]
    said: list[tuple[Any, ...]] = field(default_factory=list)
    error: tuple[str, int] | None = None        # of next_event()

    @classmethod
    def as_server(cls, module: Any, answers: str = "nothing", limit: int = 16384) -> Play:
        return cls(module, module.Connection(module.SERVER, max_incomplete_event_size=limit), ANSWERED[answers])

    @classmethod
    def as_client(cls, module: Any, asked: str = "get", limit: int = 16384) -> Play:
        play = cls(module, module.Connection(module.CLIENT, max_incomplete_event_size=limit), [])
        for what in ASKED[asked]:
            play.send(*what)
        return play

    def seen(self) -> tuple[Any, ...]:
        one = self.connection
        return (repr(one.our_state), repr(one.their_state), one.their_http_version,
                one.client_is_waiting_for_100_continue, one.they_are_waiting_for_100_continue)

    def send(self, event: str, arguments: dict[str, Any]) -> None:
        try:
            sent = self.connection.send(getattr(self.module, event)(**arguments))
        except self.module.LocalProtocolError as error:
            self.said.append(("refused", error.error_status_hint, self.seen()))
        else:
            self.said.append(("sent", sent, self.seen()))

    def receive(self, data: bytes) -> None:
        """Receive, and read until there is nothing more to read."""
        if self.error:
            return
        self.connection.receive_data(data)
        while True:
            try:
                event = self.connection.next_event()
            except self.module.RemoteProtocolError as error:
                self.error = ("RemoteProtocolError", error.error_status_hint)
                self.said.append(("error", self.seen()))
                return
            if event is self.module.NEED_DATA:
                return
            if event is self.module.PAUSED:
                if not self.next_cycle():
                    return
                continue
            self.say(event)
            if isinstance(event, self.module.ConnectionClosed):
                return
            if isinstance(event, self.module.EndOfMessage):
                for what in self.answers:
                    self.send(*what)

    def next_cycle(self) -> bool:
        try:
            self.connection.start_next_cycle()
        except self.module.LocalProtocolError:
            return False
        return True

    def say(self, event: Any) -> None:
        shown: tuple[Any, ...] = (type(event).__name__,)
        for name in ("method", "target", "status_code", "reason", "http_version"):
            value = getattr(event, name, None)
            shown += (bytes(value) if isinstance(value, bytearray) else value,)
        if hasattr(event, "headers"):
            raw = tuple((bytes(name), bytes(value)) for name, value in event.headers.raw_items())
            shown += (raw, tuple(map(tuple, event.headers)))
        if isinstance(event, self.module.Data):
            last = self.said[-1] if self.said else ("",)
            if last[0] == "Data":
                self.said.pop()
                self.said.append(("Data", last[1] + bytes(event.data), self.seen()))
            else:
                self.said.append(("Data", bytes(event.data), self.seen()))
            return
        self.said.append((*shown, self.seen()))


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` cut at those places (any numbers): pieces that are not empty."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


def chunk_marks(module: Any, role: str, data: bytes) -> list[tuple[int, str]]:
    """(place in the payload, "start" or "end") of each chunk mark when `data`, head and body, comes in one piece."""
    connection = module.Connection(getattr(module, role))
    connection.receive_data(data)
    marks: list[tuple[int, str]] = []
    at = 0
    while (event := connection.next_event()) not in (module.NEED_DATA, module.PAUSED):
        if isinstance(event, module.Data):
            marks += [(at, "start")] * event.chunk_start
            at += len(event.data)
            marks += [(at, "end")] * event.chunk_end
    return marks

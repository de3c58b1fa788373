"""Short questions over HTTP, asked of several servers at once: a silent one costs the others nothing."""
from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from hotpath.core.config import Address


@dataclass(frozen=True, slots=True)
class Question:
    """`GET path` there; `token`: what is shown as Bearer."""

    address: Address
    path: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200, and how long it took."""

    body: str
    took_ms: float


def ask(questions: Sequence[Question], within_s: float) -> list[Answer | None]:
    """The answers, in the order of the questions; None: no 200 within so long. Blocks until all are there."""
    deadline_s = time.monotonic() + within_s
    asked: list[_Asked] = []
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for question in questions:
            one = stack.enter_context(_Asked(question))
            asked.append(one)
            if one.is_open:
                selector.register(one.sock, selectors.EVENT_WRITE, one)
        while selector.get_map() and (left_s := deadline_s - time.monotonic()) > 0:
            for key, events in selector.select(left_s):
                one = key.data
                one.move(events)
                if not one.is_open:
                    selector.unregister(one.sock)
                elif not one.unsent:
                    selector.modify(one.sock, selectors.EVENT_READ, one)
    return [one.answer for one in asked]


class _Asked:
    """A question under way. It is HTTP/1.0: the answer's end is the connection's."""

    def __init__(self, question: Question) -> None:
        address = question.address
        bearer = "" if question.token is None else f"Authorization: Bearer {question.token}\r\n"
        self.unsent = (f"GET {question.path} HTTP/1.0\r\nHost: {'localhost' if address.is_unix else address}\r\n"
                       f"Connection: close\r\n{bearer}\r\n").encode()
        self.answer: Answer | None = None
        self.is_open = True
        self._received = b""
        self._started_s = time.monotonic()
        family = socket.AF_UNIX if address.is_unix else socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.setblocking(False)
        try:
            self.sock.connect(address.path or (address.host, address.port))
        except BlockingIOError:         # of TCP: on its way; of a unix socket: its backlog is full
            self.is_open = not address.is_unix
        except OSError:
            self.is_open = False

    def __enter__(self) -> _Asked:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def move(self, events: int) -> None:
        """Send or receive."""
        try:
            if events & selectors.EVENT_WRITE and self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent):]
            elif events & selectors.EVENT_READ:
                piece = self.sock.recv(65536)
                self._received += piece
                self.is_open = bool(piece)
                if not piece:
                    self.answer = self._read()
        except BlockingIOError:
            pass
        except OSError:
            self.is_open = False

    def _read(self) -> Answer | None:
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or head.split(None, 2)[1:2] != [b"200"]:
            return None
        return Answer(body.decode(errors="replace"), round((time.monotonic() - self._started_s) * 1000, 1))

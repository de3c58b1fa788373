"""How a case of the exam is sat: bytes go in at the client's side, and both sides say what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.backends import Backend, Connection, Exchange
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy
from tests.proxy.exam_cases import Case
from tests.proxy.exam_grammar import by_grammar
from tests.waiting import wait_for

BEHIND = ("GET", "/behind", b"")
UNDERSTOOD = (405, 417)  # not what is wanted, but no doubt about where it ends: its connection may go on


@dataclass
class Desk:
    """A proxy between recording ends, and the books on what they were told."""

    proxy: Proxy
    backend: Backend
    log: Path
    answered: int = 0  # 2xx that clients got
    unsettled: list[Exchange] = field(default_factory=list)  # began to arrive, and must be seen to break off

    def settle(self, n_before: int) -> list[tuple[str, str, bytes]]:
        """The complete requests that the backend got since it had `n_before`, without our own behind them."""
        assert fetch(self.proxy.address, "/watch").status == 200
        self.answered += 1
        seen = [exchange for exchange in self.backend.seen_since(n_before) if exchange.target != "/watch"]
        self.unsettled += [exchange for exchange in seen if not exchange.complete]
        return [(exchange.method, exchange.target, exchange.body()) for exchange in seen if exchange.complete]

    def sit(self, case: Case, send: Callable[[Client, bytes], None] = Client.send) -> None:
        """Send it, a further request behind it, and compare what happened on either side with what must."""
        before = self.backend.n_seen
        arrive = case.arrive
        data = case.data
        keeps = not case.refused and b"HTTP/1.0" not in data and b"onnection: close" not in data
        if keeps or case.refused:
            data += request_bytes("GET", "/behind", host="exam")
        if keeps:
            arrive += (BEHIND,)
        with Client(self.proxy.address) as client:
            send(client, data)
            for method, target, _ in arrive:
                answer = client.answer(method)
                assert answer.status == 200, (target, answer)
                self.answered += 1
            if case.refused:
                method = "HEAD" if case.data.lstrip(b"\r\n").startswith(b"HEAD ") and not arrive else "GET"
                refusal = client.answer(method)
                assert refusal.status in case.refused, refusal
                assert refusal.value("content-type") == "application/problem+json"
                keeps = refusal.status in UNDERSTOOD and not refusal.says_close
                if keeps:
                    assert client.answer().json()["target"] == "/behind"
                    self.answered += 1
                    arrive += (BEHIND,)
                else:
                    assert refusal.says_close
            if not keeps:
                assert client.rest() == b""
        assert self.settle(before) == list(arrive)

    def balance(self) -> None:
        """What broke off was seen to; 2xx at the clients, complete requests at the backend, and the log agree."""
        for exchange in self.unsettled:
            assert exchange.cut.wait(5), (exchange.target, "was left open")
            assert not exchange.complete, exchange.target
        complete = [exchange for exchange in self.backend.seen_since(0) if exchange.complete]
        assert len(complete) == self.answered
        assert not self.backend.faults
        assert sum(n_strict(connection) for connection in self.backend.connections) == self.answered
        said = wait_for(lambda: self._said(len(complete)), "the log to be written")
        assert sorted(said) == sorted(exchange.method for exchange in complete)

    def _said(self, n: int) -> list[str] | None:
        """The methods of the requests that the log says a server answered; None while they are fewer than `n`."""
        lines = [json.loads(text) for text in self.log.read_text().splitlines()]
        methods = [entry["method"] for entry in lines if entry["upstream_status"] == 200]
        return methods if len(methods) >= n else None


def n_strict(connection: Connection) -> int:
    """How many requests came in on it, read by a grammar without h11's leniencies; only a last one may be cut short."""
    data, n = bytes(connection.received), 0
    while (request := by_grammar(data)) is not None and request.complete:
        data, n = data[request.size :], n + 1
    assert not data or not all(exchange.complete for exchange in connection.exchanges[n:]), data
    return n


@contextmanager
def desk(folder: Path, more: dict[str, Any] | None = None) -> Iterator[Desk]:
    """A proxy with one route, to one backend that tells what it got; its log lies in `folder`."""
    log = folder / "access.log"
    with Backend() as backend:
        upstream = {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}
        config = {
            "log": {"access": {"path": str(log), "format": "json", "flush": "50ms"}},
            "upstreams": {"b": upstream},
            "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
            **(more or {}),
        }
        with Proxy(config) as proxy:
            yield Desk(proxy, backend, log)

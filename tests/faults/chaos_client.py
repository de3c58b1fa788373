"""Clients that pipeline, drip, half-close, reset, read slowly, and check every byte that comes back."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

import h11

from tests.faults.chaos import Ledger, Wire, chunks, payload, plan_of

NONSENSE = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000,
)


@dataclass
class Asked:
    """A request that was sent, and what its answer must be."""

    name: str
    method: str
    upgrade: bool = False


class ChaosClient:
    """One after another, connections to `address`; `file_body` is what its static file holds."""

    def __init__(self, address: str, seed: int, number: int, ledger: Ledger, file_body: bytes) -> None:
        self.address = address
        self.seed = seed
        self.number = number
        self.ledger = ledger
        self.file_body = file_body
        self.n_requests = 0
        self.dice = random.Random(f"{seed}/client/{number}")

    async def run(self, until_s: float) -> None:
        """Go on until the loop's clock says `until_s`."""
        clock = asyncio.get_running_loop().time
        while clock() < until_s:
            try:
                await self.connection()
            except TimeoutError:
                self.ledger.fault(f"client {self.number}: nothing came, nothing ended, about request {self.n_requests}")
            except (OSError, EOFError):
                self.ledger.outcomes["broken off"] += 1

    async def connection(self) -> None:
        """One connection and all that is asked on it. Raises OSError or EOFError when it ends early."""
        host, _, port = self.address.rpartition(":")
        limit_bytes = self.dice.choice([16384, 256])  # of what waits to be read: a slow one makes the proxy wait
        reader, writer = await asyncio.open_connection(host, int(port), limit=limit_bytes)
        wire = Wire(reader, writer, self.dice)
        try:
            if self.dice.random() < 0.05:
                await wire.send(self.dice.choice(NONSENSE))
                await self.answer(wire, Asked("", "GET"), b"")
                return
            early = b""
            for _ in range(self.dice.choice([1, 1, 2, 5])):
                asked, data = self.requests()
                sending = asyncio.ensure_future(self.send(wire, data))
                try:
                    for one in asked:
                        early = await self.answer(wire, one, early)
                    await sending
                finally:
                    sending.cancel()
                    with suppress(asyncio.CancelledError, OSError):
                        await sending
        finally:
            wire.leave(reset=self.dice.random() < 0.2)

    async def send(self, wire: Wire, data: bytes) -> None:
        """The bytes, and perhaps our end behind them."""
        await wire.send(data)
        if self.dice.random() < 0.05:
            wire.end()

    def requests(self) -> tuple[list[Asked], bytes]:
        """Some requests and their bytes: pipelined, or one with a body, or an upgrade."""
        kind = self.dice.random()
        if kind < 0.1:
            one, data = self.request("GET", [("Connection", "upgrade"), ("Upgrade", "websocket")])
            one.upgrade = True
            return [one], data
        if kind < 0.5:
            one, data = self.request("POST", [])
            return [one], data
        n = self.dice.choice([1, 1, 2, 4])
        made = [self.request(self.dice.choice(["GET", "GET", "GET", "HEAD"]), []) for _ in range(n)]
        return [one for one, _ in made], b"".join(data for _, data in made)

    def request(self, method: str, fields: list[tuple[str, str]]) -> tuple[Asked, bytes]:
        """One request, well-formed."""
        dice = self.dice
        self.n_requests += 1
        name = f"{self.number}-{self.n_requests}"
        self.ledger.begun.add(name)
        path = dice.choice(["/r", "/r", "/r", "/r", "/narrow", "/few", "/limited", "/file.bin", "/canned"])
        version = "1.0" if dice.random() < 0.1 and not fields else "1.1"
        lines = [f"{method} {path} HTTP/{version}", "Host: soak", f"X-Name: {name}", *(f"{k}: {v}" for k, v in fields)]
        body = b""
        if method == "POST":
            body = payload(name, plan_of(self.seed, name).sent)
            if version == "1.1" and dice.random() < 0.5:
                lines.append("Transfer-Encoding: chunked")
                body = chunks(body, dice)
            else:
                lines.append(f"Content-Length: {len(body)}")
            if version == "1.1" and dice.random() < 0.1:
                lines.append("Expect: 100-continue")
        if dice.random() < 0.05:
            lines += [f"X-{i}: {'z' * dice.randrange(2000)}" for i in range(dice.randrange(20))]
        if dice.random() < 0.05:
            lines.append("Connection: close")
        return Asked(name, method), "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def answer(self, wire: Wire, asked: Asked, early: bytes) -> bytes:
        """Read and judge one answer; what came behind it. Raises EOFError when the connection ends inside."""
        reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 17)
        upgrade = [("Connection", "upgrade"), ("Upgrade", "websocket")] if asked.upgrade else []
        reader.send(h11.Request(method=asked.method, target="/", headers=[("Host", "soak"), *upgrade]))
        reader.send(h11.EndOfMessage())
        if early:
            reader.receive_data(early)
        head: h11.Response | h11.InformationalResponse | None = None
        body = bytearray()
        try:
            while not isinstance(event := reader.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    data = await wire.receive()
                    if not data and not self.ends_by_close(head):
                        self.judge(asked, head, bytes(body), whole=False)
                        raise EOFError
                    reader.receive_data(data)
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.ConnectionClosed):
                    raise EOFError
                elif event.status_code >= 200 or event.status_code == 101:
                    head = event
                    if event.status_code == 101:
                        await self.tunnel(wire, bytes(reader.trailing_data[0]))
                        raise EOFError
        except h11.RemoteProtocolError as error:
            self.ledger.fault(f"{asked}: malformed answer: {error!r} behind {head}")
            raise EOFError from None
        self.judge(asked, head, bytes(body), whole=True)
        if any(name == b"connection" and b"close" in value for name, value in head.headers if head):
            raise EOFError
        return bytes(reader.trailing_data[0])

    @staticmethod
    def ends_by_close(head: h11.Response | None) -> bool:
        """Whether the end of the connection is the end of the body."""
        return head is not None and not {b"content-length", b"transfer-encoding"} & {name for name, _ in head.headers}

    def judge(self, asked: Asked, head: h11.Response | None, body: bytes, *, whole: bool) -> None:
        """Is it the answer to this request, byte for byte, as far as it came?"""
        if head is None:
            self.ledger.outcomes["nothing"] += 1
            return
        fields = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        self.ledger.outcomes[f"{head.status_code}{'' if whole else ' cut'}"] += 1
        name = fields.get("x-name")
        if name is None:
            if fields.get("content-type") == "application/octet-stream" and not self.file_body.startswith(body):
                self.ledger.fault(f"{asked}: not the file's bytes")
            return
        plan = plan_of(self.seed, asked.name)
        if name != asked.name:
            self.ledger.fault(f"{asked}: the answer to {name}")
            return
        expected = payload(asked.name, plan.sent) if "x-echo" in fields else payload("answer/" + asked.name, plan.size)
        if asked.method == "HEAD" or head.status_code in (204, 304):
            expected = b""
        # A body that ends with the connection, the server's or ours, has no mark of its end: a cut one looks whole.
        marked = plan.framing != "close" and not self.ends_by_close(head)
        if not expected.startswith(body) or (whole and marked and len(body) != len(expected)):
            self.ledger.fault(f"{asked}: {len(body)} of {len(expected)} bytes, or others: {head}")

    async def tunnel(self, wire: Wire, early: bytes) -> None:
        """Send a little, a lot, end or leave; what comes back must be what was sent."""
        self.ledger.outcomes["tunnel"] += 1
        sent = payload(f"tunnel/{self.number}", self.dice.choice([0, 10, 5000, 300_000]))
        sending = asyncio.ensure_future(self.send_and_end(wire, sent))
        try:
            got = bytearray(early)
            while data := await wire.receive():
                got += data
                if self.dice.random() < 0.01:
                    return
            if not sent.startswith(got) and not (b"hello" + sent).startswith(got):
                self.ledger.fault(f"client {self.number}: a tunnel gave back other bytes")
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending

    @staticmethod
    async def send_and_end(wire: Wire, data: bytes) -> None:
        """The bytes, then our FIN."""
        await wire.send(data)
        wire.end()

"""Servers that answer as their plan says, mostly badly, and judge what a proxy sends them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import h11

from tests.faults.chaos import Ledger, Plan, Wire, chunks, payload, plan_of

EXTRA = b"HTTP/1.1 200 OK\r\nX-Name: nobody\r\nContent-Length: 4\r\n\r\nevil"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MALFORMED = (
    b"HTTP/1.1 2 OK\r\n\r\n",
    b"SSH-2.0-x\r\n",
    b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
)


class Request:
    """One request as it came."""

    def __init__(self, wire: Wire, reader: h11.Connection, event: h11.Request) -> None:
        self.wire = wire
        self.reader = reader
        self.method = event.method.decode()
        self.fields = {name.decode().lower(): value.decode("latin-1") for name, value in event.headers}
        self.name = self.fields.get("x-name", "")
        self.has_body = "content-length" in self.fields or "transfer-encoding" in self.fields
        self.body = bytearray()
        self.complete = False

    async def next_piece(self) -> bytes:
        """Some of the body; b"" once it is complete. Raises EOFError when it never will be."""
        while not self.complete:
            event = self.reader.next_event()
            if event is h11.NEED_DATA:
                data = await self.wire.receive()
                if not data:
                    raise EOFError
                self.reader.receive_data(data)
            elif isinstance(event, h11.Data):
                self.body += event.data
                return bytes(event.data)
            else:
                self.complete = True
        return b""

    async def read(self) -> None:
        """The whole body."""
        while await self.next_piece():
            pass


class ChaosServer:
    """Serves on a free port, in the running loop, until closed."""

    def __init__(self, seed: int, number: int, ledger: Ledger) -> None:
        self.seed = seed
        self.number = number
        self.ledger = ledger
        self.n_connections = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; its address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        wire = Wire(reader, writer, random.Random(f"{self.seed}/server/{self.number}/{self.n_connections}"))
        with suppress(OSError, EOFError, asyncio.CancelledError):
            early = b""
            while True:
                early = await self._exchange(wire, early)
                if wire.dice.random() < 0.03:
                    break  # in its sleep, so to say
        wire.leave(reset=wire.dice.random() < 0.3)

    async def _exchange(self, wire: Wire, early: bytes) -> bytes:
        """One request and its answer; what came behind it. Raises EOFError when the connection is over."""
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17)
        if early:
            reader.receive_data(early)
        try:
            while (event := reader.next_event()) is h11.NEED_DATA:
                data = await wire.receive()
                if not data:
                    raise EOFError
                reader.receive_data(data)
            assert isinstance(event, h11.Request), event
            request = Request(wire, reader, event)
            if request.name not in self.ledger.begun:
                self.ledger.fault(f"nobody has sent this: {event}")
            if request.method == "POST":
                self.ledger.posts[request.name] += 1
            await self._answer(request, plan_of(self.seed, request.name))
        except h11.RemoteProtocolError as error:
            self.ledger.fault(f"what the proxy sent is malformed: {error!r}")
            raise EOFError from None
        if request.has_body and bytes(request.body) != payload(request.name, plan_of(self.seed, request.name).sent):
            self.ledger.fault(f"body of {request.name}: {len(request.body)} bytes, or others")
        return bytes(reader.trailing_data[0])

    async def _answer(self, request: Request, plan: Plan) -> None:
        wire, dice = request.wire, request.wire.dice
        if "upgrade" in request.fields and dice.random() < 0.8:
            await self._tunnel(request)
        if plan.manner == "duplex" and request.has_body:
            await self._duplex(request)
            return
        if not plan.manner.startswith("early"):
            await request.read()
        if plan.manner == "silent":
            await wire.receive()
            raise EOFError
        if plan.manner == "interim":
            await wire.send(dice.choice([HINT, CONTINUE]) * dice.randrange(1, 18))
        if plan.manner == "slow":
            await asyncio.sleep(dice.random() / 4)
        answer = self._bytes_of(request, plan)
        if plan.manner in ("cut", "reset"):
            await wire.send(answer[: dice.randrange(len(answer))])
            wire.leave(reset=plan.manner == "reset")
            raise EOFError
        if plan.manner == "extra":
            wire.writer.write(answer)
        else:
            await wire.send(answer)
        if plan.manner == "half_close":
            wire.end()
            await wire.receive()
        if plan.manner == "late":
            await asyncio.sleep(dice.random() / 20)
        if plan.manner in ("close", "vanish", "late", "half_close", "early_close", "switch") or plan.framing == "close":
            raise EOFError
        await request.read()

    def _bytes_of(self, request: Request, plan: Plan) -> bytes:
        dice = request.wire.dice
        if plan.manner == "switch":
            return SWITCH
        if plan.manner == "malformed":
            return dice.choice(MALFORMED)
        status = 403 if plan.manner == "refuse" else dice.choice([200] * 20 + [204, 304, 404, 500])
        body = payload("answer/" + request.name, plan.size)
        lines = [f"HTTP/1.1 {status} Planned", f"X-Name: {request.name}"]
        if plan.manner == "huge_head":
            lines += [f"X-{i}: {'y' * dice.randrange(3000)}" for i in range(dice.randrange(20))]
        if plan.manner in ("close", "early_close") or plan.framing == "close":
            lines.append("Connection: close")
        if plan.manner == "smuggle":
            lines += ["Transfer-Encoding: chunked", f"Content-Length: {plan.size}"]
        if status not in (204, 304) and plan.framing != "close":
            lines.append("Transfer-Encoding: chunked" if plan.framing == "chunked" else f"Content-Length: {plan.size}")
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        if request.method == "HEAD" or status in (204, 304):
            body = b""
        elif plan.framing == "chunked" and plan.manner != "smuggle":
            body = chunks(body, dice)
        return head + body + (EXTRA if plan.manner == "extra" else b"")

    async def _duplex(self, request: Request) -> None:
        """Its answer is the request's body, as it comes."""
        head = f"HTTP/1.1 200 OK\r\nX-Name: {request.name}\r\nX-Echo: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        await request.wire.send(head.encode())
        while piece := await request.next_piece():
            await request.wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await request.wire.send(b"0\r\n\r\n")

    async def _tunnel(self, request: Request) -> None:
        """Echo, until the other side is done; then say so, or leave in some other way."""
        wire = request.wire
        await wire.send(SWITCH + (b"" if wire.dice.random() < 0.5 else b"hello"))
        data = bytes(request.reader.trailing_data[0])
        while data or (data := await wire.receive()):
            await wire.send(data)
            data = b""
            if wire.dice.random() < 0.02:
                wire.end()
        raise EOFError

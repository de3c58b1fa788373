"""One kept-alive HTTP connection that asks in JSON, on asyncio."""
from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

import h11
import msgspec

# A request that hangs longer has no answer as far as its caller is concerned.
PATIENCE_S = 60.0


class Unanswered(Exception):
    """The connection ended, or stayed silent, before the answer was whole: nobody knows whether it was done."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    fields: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read."""
        return msgspec.json.decode(self.body) if self.body else None


class Asker:
    """One at a time; connects when it must, again after any failure."""

    def __init__(self, url: str, token: str = "", *, patience_s: float = PATIENCE_S) -> None:
        self.host = url.removeprefix("http://").rstrip("/")
        self.token = token
        self.patience_s = patience_s
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._protocol = h11.Connection(h11.CLIENT)

    async def ask(self, method: str, path: str, body: object = None, **fields: str) -> Answer:
        """The answer, whatever its status. Raises Unanswered."""
        async with self._turn:
            fresh = self._streams is None
            try:
                async with asyncio.timeout(self.patience_s):
                    return await self._ask(method, path, body, fields)
            except (OSError, EOFError, TimeoutError, h11.RemoteProtocolError) as error:
                self.close()
                # A kept-alive connection may have been closed while idle: what is safe to repeat is repeated once.
                if fresh or method != "GET" or isinstance(error, TimeoutError):
                    raise Unanswered(f"{method} {path}: {error!r}") from error
            except BaseException:
                self.close()
                raise
        return await self.ask(method, path, body, **fields)

    async def _ask(self, method: str, path: str, body: object, fields: dict[str, str]) -> Answer:
        if self._streams is None:
            host, _, port = self.host.rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port))
            self._protocol = h11.Connection(h11.CLIENT)
        reader, writer = self._streams
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        head = {"Host": self.host, "Content-Length": str(len(data)), **fields}
        if body is not None:
            head.setdefault("Content-Type", "application/json")
        if self.token:
            head.setdefault("Authorization", f"Bearer {self.token}")
        request = h11.Request(method=method, target=path, headers=list(head.items()))
        writer.write(b"".join(self._protocol.send(event) or b"" for event in (
            request, h11.Data(data=data), h11.EndOfMessage())))
        answer = await self._read(reader)
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
        else:
            self.close()
        return answer

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        status, fields, pieces = 0, {}, []
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                if not data and not status:
                    raise EOFError("closed before the answer")
                self._protocol.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
                fields = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, fields, b"".join(pieces))
            elif not isinstance(event, h11.InformationalResponse):
                raise EOFError(f"closed within the answer: {event}")

    def close(self) -> None:
        """Leave the connection; the next request makes a new one."""
        if self._streams is not None:
            with suppress(OSError, RuntimeError):
                self._streams[1].close()
            self._streams = None

"""What both ends of a soak know: from a request's name follow its body, its answer and how the server misbehaves."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

# Longer than any deadline of the proxy under test, on a busy machine: it must always be the proxy that ends things.
PATIENCE_S = 60.0

# How a server answers, and how often; the rest of what it does is rolled as it goes.
MANNERS = {
    "plain": 30,
    "close": 5,  # Connection: close, and it does
    "vanish": 3,  # says nothing of it, and closes behind the answer
    "late": 4,  # closes a while after its answer
    "interim": 6,
    "early": 6,  # answers before the request's body is read
    "early_close": 4,  # and leaves
    "extra": 4,  # bytes behind the answer, in one packet with it: later ones nobody can tell from the next answer
    "cut": 5,  # ends inside its answer
    "reset": 5,
    "half_close": 4,  # its FIN behind the answer, then reads on
    "slow": 4,
    "silent": 1,  # never answers
    "malformed": 3,
    "smuggle": 2,  # length and chunks at once
    "huge_head": 2,
    "switch": 2,  # 101 that nobody asked for
    "refuse": 3,  # 403, whatever comes
    "duplex": 4,  # answers as it reads
}


def payload(name: str, size: int) -> bytes:
    """`size` bytes that no other name has."""
    block = hashlib.shake_128(name.encode()).digest(997)
    return (block * (size // 997 + 1))[:size]


@dataclass(frozen=True)
class Plan:
    """What is to happen to the request of a name."""

    manner: str
    size: int  # of the answer
    framing: str  # of the answer: length | chunked | close
    sent: int  # bytes of the request's body, if it has one


def plan_of(seed: int, name: str) -> Plan:
    """The same for everybody who asks."""
    dice = random.Random(f"{seed}/{name}")
    manner = dice.choices(list(MANNERS), MANNERS.values())[0]
    if manner == "extra":
        return Plan(manner, dice.randrange(20_000), dice.choice(["length", "chunked"]), some_size(dice))
    return Plan(manner, some_size(dice), dice.choice(["length", "length", "chunked", "close"]), some_size(dice))


def some_size(dice: random.Random) -> int:
    """Mostly small; now and then more than any buffer on the way."""
    return dice.randrange(dice.choice([1, 2, 100, 5000, 70_000, 400_000]))


@dataclass
class Ledger:
    """What was seen at both ends."""

    begun: set[str] = field(default_factory=set)  # names of requests that a client has begun to send
    posts: Counter[str] = field(default_factory=Counter)  # deliveries of requests that must not be sent twice
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note what must never happen."""
        self.faults.append(text)


class Wire:
    """One end of a connection that sends in odd pieces and may break off anywhere."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random) -> None:
        self.reader = reader
        self.writer = writer
        self.dice = dice
        self.lazy = dice.random() < 0.15  # reads little, and slowly
        self.ended = False
        self.breaks_after = dice.randrange(3000) if dice.random() < 0.1 else None

    async def receive(self) -> bytes:
        """The next bytes; b"" at the end, however it came. Raises TimeoutError after PATIENCE_S."""
        if self.lazy:
            await asyncio.sleep(self.dice.choice([0, 0, 0.001, 0.02]))
        try:
            size = self.dice.randrange(1, 5000) if self.lazy else 65536
            return await asyncio.wait_for(self.reader.read(size), PATIENCE_S)
        except TimeoutError:
            raise
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        """All of it, in pieces. Raises ConnectionError when the end comes first, whoever brought it about."""
        if self.ended:
            raise ConnectionError("ended")
        pieces = self.dice.choice([1, 1, 1, 2, 3, 9])
        cuts = sorted(self.dice.randrange(len(data) + 1) for _ in range(pieces - 1))
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if self.breaks_after is not None and self.breaks_after < stop - start:
                self.writer.write(data[start : start + self.breaks_after])
                self.leave(reset=self.dice.random() < 0.5)
                raise ConnectionError("as planned")
            if self.breaks_after is not None:
                self.breaks_after -= stop - start
            if self.writer.is_closing():
                raise ConnectionError("closed")
            self.writer.write(data[start:stop])
            await asyncio.wait_for(self.writer.drain(), PATIENCE_S)
            if pieces > 1:
                await asyncio.sleep(0)

    def end(self) -> None:
        """Half-close."""
        self.ended = True
        with suppress(OSError, RuntimeError):
            self.writer.write_eof()

    def leave(self, *, reset: bool) -> None:
        """Close, in order or not."""
        sock = self.writer.get_extra_info("socket")
        if reset:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()


def chunks(data: bytes, dice: random.Random) -> bytes:
    """A chunked body, oddly cut."""
    made = bytearray()
    at = 0
    while at < len(data):
        n = dice.choice([1, 3, 17, 1000, 40_000]) if len(data) < 20_000 else dice.randrange(1, 60_000)
        n = min(n, len(data) - at)
        extension = dice.choice([b"", b"", b";a", b';b="c d"'])
        made += dice.choice([b"%x%b\r\n", b"%X%b\r\n", b"0%x%b\r\n"]) % (n, extension)
        made += data[at : at + n] + b"\r\n"
        at += n
    return bytes(made) + dice.choice([b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nX-Trailer: t\r\n\r\n"])

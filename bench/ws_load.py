"""Load for a WebSocket echo server: every connection sends a message, waits for its echo, sends the next.

Frames are made beforehand and echoes compared as bytes, so that one process in Python keeps a fast server busy.
"""
from __future__ import annotations

import resource
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles

from .wrk import LoadError, Outcome

MASK = b"\x37\xfa\x21\x3d"
DEADLINE_S = 20.0
OPENING = ("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
# What RFC 6455 section 1.3 says of that key.
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def head(payload: bytes, *, masked: bool) -> bytes:
    """The head of a whole text frame."""
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        return bytes([0x81, bit | len(payload)])
    if len(payload) < 65536:
        return struct.pack("!BBH", 0x81, bit | 126, len(payload))
    return struct.pack("!BBQ", 0x81, bit | 127, len(payload))


def request_of(payload: bytes) -> bytes:
    """As a client sends it."""
    mask = MASK * (len(payload) // 4 + 1)
    masked = bytes(a ^ b for a, b in zip(payload, mask, strict=False))
    return head(payload, masked=True) + MASK + masked


def echo_of(payload: bytes) -> bytes:
    """As a server sends it."""
    return head(payload, masked=False) + payload


def opened(port: int) -> socket.socket:
    """A connection that has been upgraded. Raises LoadError when the server answers otherwise."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(OPENING.format(port=port).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)      # one byte at a time: nothing behind the head is taken with it
        if not piece:
            raise LoadError(f"port {port}: closed during the opening handshake")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 101 ") or ACCEPT not in answer:
        raise LoadError(f"port {port}: no upgrade: {answer!r}")
    return connection


@contextmanager
def held_open(port: int, n: int) -> Iterator[list[socket.socket]]:
    """`n` upgraded connections."""
    with ExitStack() as stack:
        yield [stack.enter_context(opened(port)) for _ in range(n)]


class Client:
    """One connection and the echo it waits for."""

    def __init__(self, connection: socket.socket, request: bytes, echo: bytes) -> None:
        self.connection = connection
        self.request = request
        self.echo = memoryview(echo)
        self.room = memoryview(bytearray(len(echo)))
        self.n = 0
        self.sent_s = 0.0

    def send(self) -> None:
        """The next message."""
        self.n = 0
        self.sent_s = time.perf_counter()
        self.connection.sendall(self.request)

    def is_answered(self) -> bool:
        """Read what is there: was it the rest of the echo? Raises LoadError for anything else."""
        n = self.connection.recv_into(self.room[self.n:])
        if n == 0:
            raise LoadError("closed instead of echoing")
        self.n += n
        if self.n < len(self.echo):
            return False
        if self.room != self.echo:
            raise LoadError("an echo is not what was sent")
        return True


def run(port: int, connections: int, seconds: float, payload: bytes) -> Outcome:
    """Load the server for `seconds`; `requests` of the outcome are echoes."""
    request, echo = request_of(payload), echo_of(payload)
    latencies_s: list[float] = []
    with held_open(port, connections) as sockets, select.epoll() as poll:
        clients = {each.fileno(): Client(each, request, echo) for each in sockets}
        for fd in clients:
            poll.register(fd, select.EPOLLIN)
        before = resource.getrusage(resource.RUSAGE_SELF)
        start_s = time.perf_counter()
        for client in clients.values():
            client.send()
        # More echoes than sockets, however late we are: quantiles need two.
        while (now_s := time.perf_counter()) < start_s + seconds or len(latencies_s) <= connections:
            ready = poll.poll(DEADLINE_S)
            if not ready:
                raise LoadError(f"no echo for {DEADLINE_S:.0f} s")
            for fd, _ in ready:
                client = clients[fd]
                if client.is_answered():
                    latencies_s.append(time.perf_counter() - client.sent_s)
                    client.send()
        after = resource.getrusage(resource.RUSAGE_SELF)
    cuts_s = quantiles(latencies_s, n=100)
    return Outcome(requests=len(latencies_s), read_bytes=float(len(echo) * len(latencies_s)), errors=0,
                   seconds=now_s - start_s, p50_ms=cuts_s[49] * 1000, p99_ms=cuts_s[98] * 1000,
                   load_cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

"""A terminal's other end, three times: bare on its PTY, by hotpath's protocol, by plain messages."""
from __future__ import annotations

import base64
import fcntl
import os
import pty
import signal
import socket
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from .harness import BenchmarkError

PATIENCE_S = 60.0
COLS, ROWS = 80, 24
ATTACH, INPUT, ACK = 1, 2, 4
OUTPUT, EXIT = 130, 131
COLD = (1 << 64) - 1
BINARY, CLOSE, PONG = 2, 8, 10
ACK_BYTES = 32 * 1024       # as the page does
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": "/tmp"}


class End(Protocol):
    """What all three can."""

    def write(self, data: bytes) -> None:
        """Type."""

    def read(self) -> bytes:
        """Some output; empty at its end."""

    def close(self) -> None:
        """Leave, and let the program end."""


class Bare:
    """A program on a PTY, and nobody between."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], list(argv), ENV)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
        self.buffer = bytearray(65536)

    def write(self, data: bytes) -> None:
        """Type."""
        os.write(self.fd, data)

    def read(self) -> bytes:
        """Some output; empty at its end."""
        try:
            return os.read(self.fd, 65536)
        except OSError:
            return b""

    def count(self) -> int:
        """As `read`, only how much: nothing that is cheaper reads a PTY from Python."""
        try:
            return os.readv(self.fd, [self.buffer])
        except OSError:
            return 0

    def close(self) -> None:
        """Leave, and let the program end."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


class Socket:
    """A websocket of a client that trusts its server."""

    def __init__(self, port: int, path: str, fields: Mapping[str, str]) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **fields}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.data = bytearray()
        while (end := self.data.find(b"\r\n\r\n")) < 0:
            self.fill()
        if not self.data.startswith(b"HTTP/1.1 101"):
            raise BenchmarkError(f"no websocket at {path}: {bytes(self.data[:200])!r}")
        del self.data[:end + 4]
        self.at = 0

    def fill(self) -> None:
        """Receive more. BenchmarkError at the end."""
        more = self.sock.recv(262144)
        if not more:
            raise BenchmarkError("the server closed the connection")
        self.data += more

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """One message, masked by zeros: as legal as any mask."""
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else struct.pack(">BH", 0xFE, size)
        self.sock.sendall(bytes((0x80 | opcode,)) + length + bytes(4) + payload)

    def frame(self) -> tuple[int, bytes]:
        """The next: opcode and payload."""
        while True:
            have = len(self.data) - self.at
            if have >= 2:
                size, head = self.data[self.at + 1], 2
                if size == 126 and have >= 4:
                    size, head = int.from_bytes(self.data[self.at + 2:self.at + 4], "big"), 4
                elif size == 127 and have >= 10:
                    size, head = int.from_bytes(self.data[self.at + 2:self.at + 10], "big"), 10
                elif size >= 126:
                    size = 1 << 62
                if have >= head + size:
                    start = self.at + head
                    opcode, payload = self.data[self.at] & 15, bytes(memoryview(self.data)[start:start + size])
                    self.at = start + size
                    return opcode, payload
            if self.at:
                del self.data[:self.at]
                self.at = 0
            self.fill()

    def message(self) -> bytes:
        """The next message; empty when the server closes."""
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                return b""
            if opcode < CLOSE:
                return payload
            if opcode == 9:
                self.send(payload, PONG)

    def close(self) -> None:
        """At once."""
        self.sock.close()


class Plain:
    """A server that sends output as messages and takes them as input."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = Socket(port, path, {})

    def write(self, data: bytes) -> None:
        """Type."""
        self.socket.send(data)

    def read(self) -> bytes:
        """Some output; empty at its end."""
        return self.socket.message()

    def close(self) -> None:
        """Leave, and let the program end."""
        self.socket.close()


class Term:
    """hotpath.term.v1, attached, with all that it gets said to be shown as soon as the next is asked for."""

    def __init__(self, port: int, path: str, fields: Mapping[str, str]) -> None:
        self.socket = Socket(port, path, {**fields, "Sec-WebSocket-Protocol": "hotpath.term.v1"})
        self.socket.send(struct.pack(">BQHH", ATTACH, COLD, COLS, ROWS))
        self.offset = self.acked = 0

    def write(self, data: bytes) -> None:
        """Type."""
        self.socket.send(bytes((INPUT,)) + data)

    def read(self) -> bytes:
        """Some output; empty at its end."""
        if self.offset - self.acked >= ACK_BYTES:
            self.acked = self.offset
            self.socket.send(struct.pack(">BQ", ACK, self.acked))
        while True:
            message = self.socket.message()
            if not message or message[0] == EXIT:
                return b""
            if message[0] == OUTPUT:
                self.offset = int.from_bytes(message[1:9], "big") + len(message) - 9
                return message[9:]

    def close(self) -> None:
        """Leave."""
        self.socket.close()


def until(end: End, text: bytes, *, bytes_per_s: float = 0) -> int:
    """Read until it says `text`, as a screen that shows so many bytes a second, or all at once; how many came."""
    seen, total, due_s = b"", 0, time.perf_counter()
    while text not in seen:
        data = end.read()
        if not data:
            raise BenchmarkError(f"it ended before {text!r}: {seen[-200:]!r}")
        total += len(data)
        seen = seen[-len(text):] + data
        if bytes_per_s:
            due_s = max(due_s + len(data) / bytes_per_s, time.perf_counter() - 0.01)
            time.sleep(max(0.0, due_s - time.perf_counter()))
    return total


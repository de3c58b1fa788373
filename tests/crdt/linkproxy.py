"""One directed link between two replicas as a TCP proxy: it can be cut, made one-way, slowed, and say things twice.

A link from a to b carries the requests of a and the answers of b. In a network whose packets go from a to b only,
the link from a to b is DEAF (requests arrive, answers do not) and the one from b to a is MUTE.
"""
from __future__ import annotations

import re
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from enum import Enum, auto

PIECE = 65536
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
KEPT = 16                       # requests that can be said again


class State(Enum):
    """What becomes of bytes."""

    OPEN = auto()
    CUT = auto()                # connections are reset, new ones too
    MUTE = auto()               # requests vanish; nobody is told
    DEAF = auto()               # requests arrive, answers vanish


class Link:
    """Listens on `port` and forwards to `target_port` of 127.0.0.1, as its state allows."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.delay_s = 0.0
        self.swallowed = 0              # bytes that reached nobody
        self._state = State.OPEN
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._said: deque[bytes] = deque(maxlen=KEPT)
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """For good."""
        self._ended.set()
        self.set(State.CUT)
        # Wakes accept(), which close() alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def state(self) -> State:
        """As it was set last."""
        return self._state

    def set(self, state: State) -> None:
        """From now on; CUT ends what is open, and so does what comes after MUTE and DEAF: those streams have holes."""
        with self._changed:
            before, self._state = self._state, state
            doomed = list(self._open) if state is State.CUT or before is not state else []
            self._changed.notify_all()
        for sock in doomed:
            reset(sock)

    def say_again(self) -> int:
        """Send every kept request once more, each on a connection of its own; how many arrived."""
        arrived = 0
        for request in list(self._said):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.target_port), timeout=2) as sock:
                sock.sendall(request)
                arrived += bool(sock.recv(PIECE))
        return arrived

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._state is State.CUT:
                reset(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), timeout=2)
            except OSError:
                reset(near)
                continue
            far.settimeout(None)
            with self._changed:
                self._open |= {near, far}
            for source, sink, vanishes in ((near, far, State.MUTE), (far, near, State.DEAF)):
                threading.Thread(target=self._pump, args=(source, sink, vanishes), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, vanishes: State) -> None:
        heard = bytearray()
        try:
            while piece := source.recv(PIECE):
                if self.delay_s:
                    with self._changed:
                        self._changed.wait(self.delay_s)
                if self._state is State.CUT:
                    break
                if vanishes is State.MUTE:
                    heard += piece
                    self._keep(heard)
                if self._state is vanishes:
                    self.swallowed += len(piece)
                else:
                    sink.sendall(piece)
        except OSError:
            pass
        finally:
            with self._changed:
                self._open -= {source, sink}
            reset(source)
            reset(sink)

    def _keep(self, heard: bytearray) -> None:
        """Move whole requests out of `heard` to those that can be said again."""
        while (end := heard.find(b"\r\n\r\n")) >= 0:
            length = CONTENT_LENGTH.search(heard, 0, end + 2)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(heard) < size:
                return
            self._said.append(bytes(heard[:size]))
            del heard[:size]


def reset(sock: socket.socket) -> None:
    """End it at once, and wake whoever reads it."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()

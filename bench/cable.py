"""A cable between two servers as a TCP proxy: it counts what passes, and can be pulled and put back."""
from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

PIECE = 256 * 1024


class Cable:
    """Listens on `port` and forwards to `target_port` of 127.0.0.1 while it is whole."""

    def __init__(self, target_port: int) -> None:
        """Whole at first."""
        self.target_port = target_port
        self._lock = threading.Lock()
        self._pulled = False
        self._passed = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def passed(self) -> int:
        """Bytes so far, both ways."""
        with self._lock:
            return self._passed

    def pull(self) -> None:
        """Connections are reset, new ones too."""
        with self._lock:
            self._pulled = True
            doomed, self._open = self._open, set()
        for sock in doomed:
            reset(sock)

    def mend(self) -> None:
        """New connections pass."""
        with self._lock:
            self._pulled = False

    def close(self) -> None:
        """For good."""
        self.pull()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)       # wakes accept(), which close() alone does not
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                reset(near)
                continue
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                whole = not self._pulled
                if whole:
                    self._open |= {near, far}
            if not whole:
                reset(near)
                reset(far)
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                with self._lock:
                    self._passed += len(piece)
                sink.sendall(piece)
        with self._lock:
            self._open -= {source, sink}
        reset(source)
        reset(sink)


def reset(sock: socket.socket) -> None:
    """End it at once, and wake whoever reads it."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()

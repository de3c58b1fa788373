"""A TCP line to a server, cut at the words a test chooses."""
from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Line:
    """Listens on `port`, and passes bytes on to `to`, a port of 127.0.0.1."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._word: bytes | None = None
        self._delivers = False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, word: bytes, *, delivers: bool) -> None:
        """Once `word` comes from a client: the line is dead behind it if it `delivers`, else before it."""
        self._delivers = delivers
        self._word = word

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):         # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pass_back, args=(server, client), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self._word is not None and self._word in data:
                    self._word = None
                    self.cuts += 1
                    if self._delivers:
                        # The client goes first, so that no answer reaches it; the server reads to the end.
                        client.shutdown(socket.SHUT_RDWR)
                        server.sendall(data)
                        server.shutdown(socket.SHUT_WR)
                        while server.recv(1 << 16):
                            pass
                    break
                server.sendall(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

"""Lines to a server that break when a test wants it: before some bytes arrive, or behind them."""
from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

Cut = Literal["before", "behind"]


class Relay:
    """Passes bytes on, both ways, between who comes to `listener` and what `connect` opens for him.

    `cut_of` is asked about all that a client sends: where its line breaks, or None.
    """

    def __init__(self, listener: socket.socket, connect: Callable[[], socket.socket],
                 cut_of: Callable[[bytes], Cut | None]) -> None:
        self.cuts = 0
        self._listener = listener
        self._connect = connect
        self._cut_of = cut_of
        _start(self._accept)

    def close(self) -> None:
        """No new lines."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):         # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = self._connect()
                except OSError:
                    client.close()
                    continue
                _start(lambda client=client, server=server: self._forth(client, server))
                _start(lambda client=client, server=server: self._back(client, server))

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                cut = self._cut_of(data)
                if cut is not None:
                    self.cuts += 1
                if cut == "behind":
                    # The client's end goes first, so that no answer reaches it; the server gets all.
                    client.shutdown(socket.SHUT_RDWR)
                    server.sendall(data)
                    server.shutdown(socket.SHUT_WR)
                    while server.recv(1 << 16):
                        pass
                if cut is not None:
                    break
                server.sendall(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


class Line(Relay):
    """Listens on `port`, and passes bytes on to `to`, a port of 127.0.0.1."""

    def __init__(self, to: int) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self._word: bytes | None = None
        self._cut: Cut = "before"
        super().__init__(listener, lambda: socket.create_connection(("127.0.0.1", to)), self._at_word)

    def cut_at(self, word: bytes, *, delivers: bool) -> None:
        """Once `word` comes from a client: the line is dead behind it if it `delivers`, else before it."""
        self._cut = "behind" if delivers else "before"
        self._word = word

    def _at_word(self, data: bytes) -> Cut | None:
        if self._word is None or self._word not in data:
            return None
        self._word = None
        return self._cut


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()

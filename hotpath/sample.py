"""A small HTTP server to stand behind the proxy: which of us answered?

`python -m hotpath.sample --fd N --name NAME` serves the listening socket it inherits as file descriptor N.
"""
from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

# Enough to see a body come back; a sample must not be a way to fill memory.
MAX_BODY_BYTES = 1024 * 1024


class SampleServer(ThreadingHTTPServer):
    """Serves a socket that somebody else bound, so that a restart refuses nobody."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        super().__init__(sock.getsockname(), SampleHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.name = name
        self.numbers = itertools.count(1)       # next() is atomic, += is not
        self.started_s = time.monotonic()

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that goes away in the middle is everyday life, not a traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)       # type: ignore[arg-type]  # socketserver's own union


class SampleHandler(BaseHTTPRequestHandler):
    """`/whoami` says who answers, `/echo` says what arrived, `/healthz` says that we can."""

    server: SampleServer            # pyright: ignore[reportIncompatibleVariableOverride]  # socketserver knows only its base
    protocol_version = "HTTP/1.1"
    wbufsize = -1                   # head and body leave in one segment; two would wait for the peer's delayed ACK
    timeout = 75                    # s; longer than the proxy keeps an idle connection, so that it closes first
    METHODS: ClassVar = {"/healthz": ("GET", "HEAD"), "/whoami": ("GET", "HEAD"),
                         "/echo": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")}

    def answer_request(self) -> None:
        """Read the body, look up the path, answer JSON."""
        body = self.read_body()
        if body is None:
            return
        path = self.path.partition("?")[0]
        allowed = self.METHODS.get(path)
        if allowed is None:
            self.problem(404, f"{path} is not here; there are /whoami and /echo")
        elif self.command not in allowed:
            self.problem(405, f"{path} does not know {self.command}", allow=", ".join(allowed))
        elif path == "/healthz":
            self.answer(200, {"status": "ok"})
        elif path == "/whoami":
            self.answer(200, {"name": self.server.name, "pid": os.getpid(), "answer": next(self.server.numbers),
                              "uptime_s": round(time.monotonic() - self.server.started_s, 1)})
        else:
            self.answer(200, {"name": self.server.name, "method": self.command, "target": self.path,
                              "headers": self.headers.items(), "body_bytes": len(body)})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer_request

    def read_body(self) -> bytes | None:
        """The whole body; None when it was refused and answered."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers:
            self.problem(411, "a sample wants to know a body's length beforehand", close=True)
        elif not (length.isascii() and length.isdigit()):
            self.problem(400, "content-length is not a number", close=True)
        elif len(length) > 12 or int(length) > MAX_BODY_BYTES:
            self.problem(413, f"a sample takes up to {MAX_BODY_BYTES} bytes", close=True)
        else:
            return self.rfile.read(int(length))
        return None

    def answer(self, status: int, value: object, content_type: str = "application/json", allow: str = "") -> None:
        """Send `value` as JSON."""
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if allow:
            self.send_header("Allow", allow)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def problem(self, status: int, detail: str, *, allow: str = "", close: bool = False) -> None:
        """Send an RFC 9457 problem."""
        self.close_connection = self.close_connection or close
        self.answer(status, {"status": status, "title": self.responses[status][0], "detail": detail},
                    "application/problem+json", allow)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the proxy in front has written its line."""


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="python -m hotpath.sample", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fd", type=int, required=True, help="a listening socket we inherited")
    parser.add_argument("--name", required=True, help="what to answer with")
    options = parser.parse_args(argv)
    with SampleServer(socket.socket(fileno=options.fd), options.name) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

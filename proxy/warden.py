"""The warden: one process per generation that answers for all workers. It serves the admin address.

    GET /healthz    200 as soon as this generation serves
    GET /metrics    Prometheus text, summed over workers and over what came before a reload
"""
from __future__ import annotations

import hmac
import json
import logging
import signal
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hotpath.core.worker import WorkerContext

log = logging.getLogger(__name__)

# An admin client that sends nothing for so long is cut.
SILENCE_S = 10
# How soon a drain stops the accepting.
POLL_S = 0.05


class AdminServer(ThreadingHTTPServer):
    """HTTP on sockets that are listening already."""

    daemon_threads = True
    token: str | None = None
    metrics: Callable[[], str]

    def __init__(self, listener: socket.socket, metrics: Callable[[], str], token: str | None) -> None:
        """`token`: what `Authorization: Bearer` must say; None: nothing."""
        super().__init__(("", 0), AdminHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = ("", 0)
        self.metrics = metrics
        self.token = token
        self.busy = 0                       # requests being answered
        self.idle = threading.Condition()

    def drain(self) -> None:
        """Accept no more; wait for the answers under way."""
        self.shutdown()
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0, SILENCE_S)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept; a unix socket's peer has no address."""
        connection, address = self.socket.accept()
        connection.setblocking(True)
        return connection, address if isinstance(address, tuple) else ("unix", 0)


class AdminHandler(BaseHTTPRequestHandler):
    """One admin connection."""

    protocol_version = "HTTP/1.1"
    timeout = SILENCE_S
    server: AdminServer

    def handle_one_request(self) -> None:
        """Count what is being answered, from its first byte."""
        if not self.rfile.peek(1):
            self.close_connection = True
            return
        with self.server.idle:
            self.server.busy += 1
        try:
            super().handle_one_request()
        finally:
            with self.server.idle:
                self.server.busy -= 1
                self.server.idle.notify_all()

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path not in ("/healthz", "/metrics"):
            self.problem(HTTPStatus.NOT_FOUND, "there is /healthz and /metrics")
        elif not self.is_allowed():
            self.problem(HTTPStatus.UNAUTHORIZED, "Authorization: Bearer TOKEN is needed", ("WWW-Authenticate", "Bearer"))
        elif path == "/healthz":
            self.reply(HTTPStatus.OK, "application/json", json.dumps({"status": "ok"}))
        else:
            self.reply(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", self.server.metrics())

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Nothing here changes."""
        self.problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET", ("Allow", "GET, HEAD"))
        self.close_connection = True

    do_PUT = do_PATCH = do_DELETE = do_POST

    def is_allowed(self) -> bool:
        """Whether the token is right, compared in constant time."""
        if self.server.token is None:
            return True
        given = self.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode())

    def problem(self, status: HTTPStatus, detail: str, *fields: tuple[str, str]) -> None:
        """RFC 9457."""
        body = json.dumps({"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail})
        self.reply(status, "application/problem+json", body, *fields)

    def reply(self, status: HTTPStatus, kind: str, text: str, *fields: tuple[str, str]) -> None:
        """A whole answer."""
        body = text.encode()
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *fields):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests for metrics every few seconds are not news."""


def run(context: WorkerContext, listeners: list[socket.socket], metrics: Callable[[], str], token_file: str | None) -> None:
    """Serve until told to drain; helpers have nothing worth waiting for."""
    token = Path(token_file).read_text().strip() if token_file is not None else None
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: ended.set())
    signal.signal(signal.SIGUSR1, lambda _number, _frame: reopen_log())
    context.ready()
    servers = [AdminServer(listener, metrics, token) for listener in listeners]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_S}, daemon=True).start()
    ended.wait()
    for server in servers:
        server.drain()


def reopen_log() -> None:
    """USR1 for the error log of this process."""
    for handler in logging.getLogger().handlers:
        reopen = getattr(handler, "reopen", None)
        if reopen is not None:
            reopen()


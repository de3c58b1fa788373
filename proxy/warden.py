"""The warden: one process per generation that answers for all workers. It serves the admin address.

    GET /healthz    200 as soon as this generation serves
    GET /metrics    Prometheus text, summed over workers and over what came before a reload
"""
from __future__ import annotations

import hmac
import json
import logging
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hotpath.core.worker import DRAIN_SIGNALS, WorkerContext

log = logging.getLogger(__name__)

# An admin client that sends nothing for so long is cut.
SILENCE_S = 10
# One thread each; a scraper and a few operators need no more. The next one is closed unheard.
MAX_CLIENTS = 64


class AdminServer(ThreadingHTTPServer):
    """HTTP on one socket that is listening already. The caller says when somebody waits there."""

    daemon_threads = True
    timeout = 0.0       # of handle_request: another warden may have taken who waited

    def __init__(self, listener: socket.socket, metrics: Callable[[], str], token: str | None) -> None:
        """`token`: what `Authorization: Bearer` must say; None: nothing."""
        super().__init__(("", 0), AdminHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.metrics = metrics
        self.token = token
        self.n_clients = 0
        self.n_busy = 0     # requests being answered
        self.changed = threading.Condition()

    def drain(self) -> None:
        """Wait for the answers under way."""
        with self.changed:
            self.changed.wait_for(lambda: self.n_busy == 0, SILENCE_S)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept; a unix socket's peer has no address."""
        connection, address = self.socket.accept()
        connection.setblocking(True)
        return connection, address if isinstance(address, tuple) else ("unix", 0)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether one more client may stay."""
        return self.n_clients < MAX_CLIENTS

    @contextmanager
    def counted(self, what: str) -> Iterator[None]:
        """One more of `what` (n_clients, n_busy) while the block runs."""
        self._count(what, 1)
        try:
            yield
        finally:
            self._count(what, -1)

    def _count(self, what: str, n: int) -> None:
        with self.changed:
            setattr(self, what, getattr(self, what) + n)
            self.changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is nobody's fault; anything else that is being handled here is ours."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            log.error("admin request failed", exc_info=error)


class AdminHandler(BaseHTTPRequestHandler):
    """One admin connection."""

    protocol_version = "HTTP/1.1"
    server_version = "hotpath"
    sys_version = ""
    timeout = SILENCE_S
    server: AdminServer             # pyright: ignore[reportIncompatibleVariableOverride]  # socketserver knows only its base

    def handle(self) -> None:
        """Serve the connection to its end."""
        with self.server.counted("n_clients"):
            super().handle()

    def parse_request(self) -> bool:
        """As the library; the body of a request is never read, so it ends the connection."""
        whole = super().parse_request()
        if whole and ("Content-Length" in self.headers or "Transfer-Encoding" in self.headers):
            self.close_connection = True
        return whole

    def do_GET(self) -> None:
        """Answer."""
        with self.server.counted("n_busy"):
            self.answer(self.path.partition("?")[0])

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Nothing here changes."""
        self.problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET", ("Allow", "GET, HEAD"))

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def answer(self, path: str) -> None:
        """The page at `path`, or why not."""
        if path not in ("/healthz", "/metrics"):
            self.problem(HTTPStatus.NOT_FOUND, "there is /healthz and /metrics")
        elif not self.is_allowed():
            detail = "Authorization: Bearer TOKEN is needed"
            self.problem(HTTPStatus.UNAUTHORIZED, detail, ("WWW-Authenticate", "Bearer"))
        elif path == "/healthz":
            self.reply(HTTPStatus.OK, "application/json", json.dumps({"status": "ok"}))
        else:
            self.reply(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", self.server.metrics())

    def is_allowed(self) -> bool:
        """Whether the token is right, compared in constant time."""
        if self.server.token is None:
            return True
        given = str(self.headers.get("Authorization", ""))
        return hmac.compare_digest(given.encode(errors="replace"), f"Bearer {self.server.token}".encode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses by itself: a malformed request, an unknown method."""
        self.close_connection = True
        self.problem(HTTPStatus(code), message or HTTPStatus(code).description)

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
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests for metrics every few seconds are not news."""


def run(
    context: WorkerContext, listeners: Sequence[socket.socket], metrics: Callable[[], str], token: str | None
) -> None:
    """Serve until told to drain."""
    servers = [AdminServer(listener, metrics, token) for listener in listeners]
    noted, note = socket.socketpair()
    note.setblocking(False)
    # Python's own handler writes the number of each signal to `note`; the loop below acts.
    signal.set_wakeup_fd(note.fileno())
    for number in (*DRAIN_SIGNALS, signal.SIGUSR1):
        signal.signal(number, lambda _number, _frame: None)
    context.ready()
    with selectors.DefaultSelector() as waiting:
        waiting.register(noted, selectors.EVENT_READ)
        for server in servers:
            waiting.register(server.socket, selectors.EVENT_READ, server)
        while serve_turn(waiting, noted):
            pass
    for server in servers:
        server.drain()


def serve_turn(waiting: selectors.BaseSelector, noted: socket.socket) -> bool:
    """Wait, and act on what came. False: it is time to drain."""
    goes_on = True
    for key, _events in waiting.select():
        if key.fileobj is not noted:
            key.data.handle_request()
            continue
        for number in noted.recv(4096):
            if number == signal.SIGUSR1:
                reopen_error_log()
            elif number in DRAIN_SIGNALS:
                goes_on = False
    return goes_on


def reopen_error_log() -> None:
    """USR1 for the error log of this process: a worker's or the warden's."""
    for handler in logging.getLogger().handlers:
        reopen = getattr(handler, "reopen", None)
        if reopen is not None:
            try:
                reopen()
            except OSError as error:
                log.error("error log not reopened cause=%s", error)

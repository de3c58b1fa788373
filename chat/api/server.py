"""The API as a process: gevent's WSGI server on a listening socket, until it is told to stop."""
from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

import gevent
from gevent import pywsgi
from gevent.event import Event
from gevent.pool import Pool
from gevent.socket import socket as GeventSocket

from hotpath.chat.config import ChatConfig
from hotpath.chat.store import Unavailable
from hotpath.core.config import Address
from hotpath.core.errors import HotpathError
from hotpath.core.listen import Listeners, name_of
from hotpath.core.solo import die
from hotpath.core.telemetry import LogFile, start_logging

from . import make_app
from .access import AccessWriter
from .conversation import Conversation
from .service import Service

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
# Threads of ours compute and wait beside the hub's: how long each may keep the interpreter once another asks for it.
# The default of 5 ms would be added at each statement of the writer while the hub is busy.
SWITCH_S = 0.0005
# Their words beside ours: a line for each connection, and a traceback for each that broke, which `Unavailable` told.
QUIET = {"mysql.connector": logging.WARNING, "sqlalchemy.pool": logging.CRITICAL}
# How long an address that is in use is waited for: whoever restarts us behind a `kill -9` need not.
PATIENCE_S = 1.0
# Behind the last request, for what is still queued.
CLOSE_S = 10.0


class Server(pywsgi.WSGIServer):
    """gevent's, with conversations of ours."""

    handler_class = Conversation    # type: ignore[assignment]  # all that is asked of one is handle()

    def __init__(self, listener: GeventSocket, service: Service, access: AccessWriter | None) -> None:
        config = service.config
        limit = config.limits.connections
        super().__init__(listener, make_app(service), log=None, error_log=None,
                         spawn=Pool(limit) if limit else "default",
                         environ={"wsgi.multiprocess": config.workers > 1})
        self.timeouts = config.timeouts
        self.limits = config.limits
        self.draining = False
        self.conversations: set[Conversation] = set()
        self._service = service
        self._access = access
        self.update_environ()
        self.base = dict(self.environ)
        service.metrics.busy.append(lambda: sum(not one.is_idle for one in self.conversations))

    def update_environ(self) -> None:
        """Without a reverse look-up of our own name, which may take seconds."""
        host, port = self.address[:2] if isinstance(self.address, tuple) else ("localhost", 0)
        self.environ["SERVER_NAME"], self.environ["SERVER_PORT"] = str(host), str(port)

    def finished(self, conversation: Conversation, status: int, n_bytes: int, took_s: float) -> None:
        """Count an answer, and log it."""
        request = conversation.request
        method = "-" if request is None else request.method.decode("latin-1")
        self._service.metrics.count(method, status, took_s)
        if self._access is not None:
            fields = {} if request is None else dict(request.headers)
            self._access.add(
                address=conversation.address, method=method,
                target="-" if request is None else request.target.decode("latin-1"),
                version="1.1" if request is None else request.http_version.decode("latin-1"), status=status,
                n_bytes=n_bytes, took_s=took_s, referer=fields.get(b"referer", b"").decode("latin-1"),
                agent=fields.get(b"user-agent", b"").decode("latin-1"))

    def drain(self) -> None:
        """Take no more connections; end those between two requests, and the others behind their answer."""
        self.draining = True
        self.close()
        for conversation in list(self.conversations):
            conversation.interrupt()


def run(config: ChatConfig, *, listen: socket.socket | Address | None = None, new_epoch: bool = False) -> int:
    """Serve until SIGTERM; the process's exit status. Main thread only.

    `listen`: a socket that listens already, or where to instead of the configuration's address. `new_epoch`: the
    database is another history than it was. Raises ConfigError or ListenError.
    """
    sys.setswitchinterval(SWITCH_S)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    logs = start_logging(config.log.error.path, level=config.log.error.level, format=config.log.error.format)
    listeners = Listeners()
    bound = [listen] if isinstance(listen, socket.socket) else _bind(listeners, listen or config.listen[0])
    for one in bound:
        if one.family in (socket.AF_INET, socket.AF_INET6):
            # Accepted sockets inherit it. An answer is one send, and must not wait for the acknowledgement of the last.
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        access = AccessWriter(config.log.access) if config.log.access is not None else None
        service = Service(config, name_of(bound[0]), new_epoch=new_epoch)
    except (Unavailable, OSError) as error:
        log.error("not started cause=%s", error)
        return 1
    servers = [Server(GeventSocket(fileno=os.dup(one.fileno())), service, access) for one in bound]
    try:
        _serve(servers, service, logs, access, bound)
    finally:
        # A thread that hangs in its database: what was answered is stored, and nothing else was promised.
        watchdog = threading.Timer(CLOSE_S, die, ("not closed within seconds=%g", CLOSE_S))
        watchdog.daemon = True
        watchdog.start()
        service.close()
        watchdog.cancel()
        if access is not None:
            access.stop()
        listeners.close()
    log.info("stopped")
    return 0


def _serve(
    servers: list[Server], service: Service, logs: LogFile, access: AccessWriter | None, bound: list[socket.socket]
) -> None:
    stop = Event()
    hub = gevent.get_hub()
    watchers = []
    for number in STOP_SIGNALS:
        watcher = hub.loop.signal(number)
        watcher.start(stop.set)
        watchers.append(watcher)
    reopen = hub.loop.signal(signal.SIGUSR1)
    reopen.start(lambda: _reopen(logs, access))
    watchers.append(reopen)
    for server in servers:
        server.start()
    # One write: threads log to the same place. Whoever read our stderr may be gone.
    with suppress(OSError):
        print(f"ready: pid {os.getpid()}, {', '.join(map(name_of, bound))}\n", end="", file=sys.stderr, flush=True)
    stop.wait()
    log.info("stopping")
    stop.clear()
    service.is_draining = True
    for server in servers:
        server.drain()
    deadline_s = time.monotonic() + service.config.timeouts.drain
    while any(server.conversations for server in servers) and time.monotonic() < deadline_s and not stop.is_set():
        stop.wait(0.02)
    for watcher in watchers:
        watcher.stop()


def _reopen(logs: LogFile, access: AccessWriter | None) -> None:
    try:
        logs.reopen()
        if access is not None:
            access.reopen()
    except OSError as error:
        log.error("log not reopened cause=%s", error)


def _bind(listeners: Listeners, address: Address) -> list[socket.socket]:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return list(listeners.bind([address])[0])
        except HotpathError:
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(0.01)

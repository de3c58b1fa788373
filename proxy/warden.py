"""The warden: one process per generation for what must happen once, not once per worker.

It serves the admin API, checks servers, asks for their names again, and takes out those that have drained.
"""
from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

from hotpath.core.serve import ServeConfig
from hotpath.core.serve.config import Limits, Timeouts
from hotpath.core.serve.exchange import Server as AdminServer
from hotpath.core.serve.service import Shared
from hotpath.core.serve.worker import Worker
from hotpath.core.tasks import sleep
from hotpath.core.worker import WorkerContext

from .admin import Admin, Proxy
from .checks import Checks
from .resolver import Resolver

log = logging.getLogger(__name__)

# A scraper and a few operators. Those beyond wait until one of these has gone, or was silent for 10 s.
MAX_CLIENTS = 64
ADMIN = ServeConfig(workers=1, limits=Limits(connections=MAX_CLIENTS), timeouts=Timeouts(head=10, idle=10, body=10))

# A server that was removed may go once nothing is under way on it: how often that is looked at.
SWEEP_S = 1.0


class Warden:
    """What one warden does, as tasks of one loop: the roster needs no lock."""

    def __init__(self, proxy: Proxy, token: str | None) -> None:
        """`token`: of the admin API."""
        self._proxy = proxy
        self._resolver = Resolver(proxy.state.roster, proxy.config.resolve)
        admin = proxy.config.admin
        self.app = Admin(proxy).router(token, pages_reach_it=admin is not None and not admin.address.is_unix)
        self.app.at_worker(self._attach)
        self.app.at_start(self._tend)
        self.app.at_start(self._resolver.run)
        self.app.at_drain(self._stop)

    def _attach(self, server: AdminServer) -> None:
        self._checks = Checks(self._proxy.state.roster, self._proxy.config, server.loop)
        self._draining = False

    def _tend(self) -> None:
        """In a task, for ever."""
        while not self._draining:
            try:
                for upstream, address in self._proxy.state.sweep():
                    log.info("server gone upstream=%s server=%s", upstream, address)
                self._checks.follow()
            except Exception:
                log.exception("servers not looked after")      # now; without this task nobody would be checked any more
            sleep(SWEEP_S)

    def _stop(self) -> None:
        # The next generation's warden checks already, and this one's roster takes no new requests.
        self._draining = True
        self._checks.stop()


def run(context: WorkerContext, listeners: Sequence[socket.socket], proxy: Proxy, token: str | None) -> None:
    """Be the warden until told to drain."""
    app = Warden(proxy, token).app
    table = app.table()
    shared = Shared([route.pattern for route in table.routes], 1)
    Worker(ADMIN, table, shared, 0, listeners, None, app, [reopen_error_log]).run(context)
    shared.close()


def reopen_error_log() -> None:
    """USR1 for the error log of this process: a worker's or the warden's."""
    for handler in logging.getLogger().handlers:
        reopen = getattr(handler, "reopen", None)
        if reopen is not None:
            try:
                reopen()
            except OSError as error:
                log.error("error log not reopened cause=%s", error)

"""A gateway as a process: what is opened and ended, and in which order.

A task that fails ends it: `up` starts it anew, and clients resume. Nothing in here is kept anywhere else.
"""
from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import msgspec

from hotpath.chat.auth import Ticket, secret
from hotpath.chat.config import ChatConfig
from hotpath.chat.store import Database, Reader
from hotpath.core.listen import VARIABLE, Listeners, name_of
from hotpath.core.net.loop import Loop
from hotpath.core.scalars import Address
from hotpath.core.serve import Request, Router, push, service
from hotpath.core.serve.exchange import Server
from hotpath.core.solo import die
from hotpath.core.tasks import spawn, use_threads
from hotpath.core.telemetry import Exposition

from .beacon import urls_of
from .door import Door
from .hall import Hall
from .patience import patiently
from .session import Session

log = logging.getLogger(__name__)

# Reads of the database at the same time: each of the tasks that read has one, and the rest are to spare.
THREADS = 6
PATH = "/ws"


class Gateway:
    """The application of one gateway."""

    def __init__(self, config: ChatConfig, id: str, listening: str, origins: Collection[str]) -> None:
        """`listening`: HOST:PORT in fact bound. Raises ConfigError for a secret that is none."""
        self._config, self._id, self._listening, self._origins = config, id, listening, origins
        self._boot = secrets.token_hex(8)
        self._door = Door(secret(config.folder), id, self._boot)
        self._database: Database | None = None
        self._loop: Loop | None = None
        self._pusher: push.Pusher | None = None
        self._hall: Hall | None = None

    def app(self) -> Router:
        """Its routes and hooks."""
        app = Router()
        public = urlsplit(urls_of(self._config, self._id, self._listening)[0]).path
        for path in {PATH, public or "/"}:
            app.websocket(path, origins=self._origins, authorize=self._door)(self._opened)
        app.ready = lambda: "draining" if self._door.draining else None
        app.exposed = self._exposed
        app.at_worker(self._attach)
        app.at_open(self._open)
        app.at_drain(self._drain)
        app.at_stop(self._stop)
        return app

    def _attach(self, server: Server) -> None:
        limits = self._config.limits
        self._loop = server.loop
        self._pusher = push.attach(server, Session, push.PushOptions(
            limits.frame, queue_soft=limits.queue_soft, queue_hard=limits.queue_hard, queue_age_s=limits.queue_age,
            ping_s=self._config.gateways.ping, deflate=self._config.gateways.deflate))

    def _open(self) -> None:
        assert self._loop is not None
        use_threads(THREADS)
        # Its tables are made by the API; both may have been started together.
        self._database = patiently(Database.open, self._config, create=False)
        self._hall = hall = Hall(
            self._config, self._id, self._boot, self._listening, loop=self._loop, reader=Reader(self._database),
            door=self._door, redis_url=lambda: self._config.redis.url,
            on_drained=lambda: os.kill(os.getpid(), signal.SIGTERM))
        hall.heads.open()
        # What was loaded so far stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        for task in hall.tasks():
            spawn(_or_die, task)

    def _opened(self, request: Request, session: Session) -> None:
        assert self._hall is not None
        assert isinstance(request.state, Ticket)
        self._hall.opened(session, request.state)

    def _drain(self) -> None:
        self._door.draining = True
        if self._hall is not None:
            self._hall.end()

    def _stop(self) -> None:
        if self._database is not None:
            self._database.close()

    def _exposed(self) -> str:
        hall, pusher = self._hall, self._pusher
        if hall is None or pusher is None:
            return ""
        counters = (
            ("events", "Events delivered to their channel.", hall.fanout.n_events),
            ("events_stale", "Events that came again, or late.", hall.fanout.n_stale),
            ("events_early", "Events held because an earlier one was missing.", hall.fanout.n_early),
            ("deliveries", "Events queued, each once for each socket.", hall.fanout.n_deliveries),
            ("sends", "System calls that sent something.", pusher.sends),
            ("frames", "Frames queued to sockets.", pusher.frames),
            ("transients_dropped", "Typing and presence that slow clients did not get.", pusher.dropped),
            ("slow_closes", "Sockets closed with 4008.", pusher.slow),
            ("gaps", "Holes in what came from Redis.", hall.feeds.n_gaps),
            ("fills", "Events read from the database because Redis did not bring them.", hall.feeds.n_filled),
            ("fill_reads", "Reads for that.", hall.feeds.n_reads),
            ("backlog_reads", "Reads for clients that resume.", hall.backlog.n_reads),
            ("head_checks", "Looks at the heads of all open channels.", hall.heads.n_looks),
            ("tickets_refused", "Upgrades answered 401.", self._door.n_refused),
        )
        gauges = (
            ("sockets", "Open sockets.", hall.n_sockets),
            ("users", "Users with a socket.", len(hall.roster)),
            ("channels", "Open channels.", len(hall.fanout)),
            ("starting", "Sockets that wait for ready.", len(hall.starts)),
            ("catching", "Channels of sockets whose backlog is being read.", len(hall.backlog)),
            ("redis_up", "Whether everything wanted of Redis is subscribed.", int(hall.subscription.is_whole)),
        )
        exposition = Exposition()
        for name, help, value in counters:
            exposition.counter(f"chat_gateway_{name}_total", help, [({}, value)])
        for name, help, value in gauges:
            exposition.gauge(f"chat_gateway_{name}", help, [({}, value)])
        return exposition.text()


def _or_die(task: Callable[[], object]) -> None:
    try:
        task()
    except Exception:
        log.exception("task failed")
        die("gateway cannot go on")


def run(config: ChatConfig, id: str, listen: Address | None = None, *, origins: Collection[str] = ()) -> int:
    """Serve as gateway `id` until told to stop; the process's exit status. Main thread only.

    `config.redis.url` says where Redis is. `listen`: instead of the configuration's first. `origins`: whose pages may
    connect. Raises ConfigError or ListenError.
    """
    address = listen or config.gateways.listen_of(0)
    listening = str(address) if address.port else _chosen(address)
    own = msgspec.structs.replace(config, listen=(address,), workers=1)
    gateway = Gateway(own, id, listening, origins)
    return service.run(lambda _config: gateway.app(), config=own, alone=True)


def _chosen(address: Address) -> str:
    """HOST:PORT, for port 0: we must know it before we tell the API where we are.

    The socket is left to the server, which takes it over as it would from a process before it.
    """
    listeners = Listeners.inherited(os.environ)
    (sockets,) = listeners.bind([address])
    os.environ[VARIABLE], _ = listeners.handover()
    listening = name_of(sockets[0])
    for one in sockets:
        one.detach()
    return listening

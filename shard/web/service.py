"""One router as an application: what each of its workers opens, starts and stops, and in which order."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from logging import getLogger
from typing import TYPE_CHECKING

from hotpath.core.net.loop import Loop
from hotpath.core.serve import Router
from hotpath.core.serve.door import guard
from hotpath.core.serve.exchange import Server
from hotpath.core.tasks import offload, sleep, use_threads
from hotpath.shard.config import ShardConfig
from hotpath.shard.schema import Table

from . import data, pages
from .admin import Administration
from .events import Feed
from .lanes import Lanes, threads_for
from .metrics import Meter
from .status import Status
from .tally import Tally

if TYPE_CHECKING:
    from hotpath.shard.node import Node

log = getLogger(__name__)

# How often a worker tells the others what its pools are like.
TELL_S = 1.0


class Service:
    """One router: in the master a plan, in each worker a Node, its threads and what watches it."""

    def __init__(self, config: ShardConfig, tally: Tally, *, token: str | None,
                 opened: Callable[[Meter], Node]) -> None:
        """`opened` answers, in a thread of a worker, its Node, started; it and its house are closed by us."""
        self._config = config
        self._schema: Mapping[str, Table] = config.schema
        self._token = token
        self._opened = opened
        self._meter = Meter(tally)

    def app(self) -> Router:
        """Its routes and hooks."""
        app = Router()
        data.add_routes(app, self._schema, lambda table: data.Rows(
            table, self._config.limits, lambda: self._node, lambda: self._lanes, self._meter))
        Administration(self._config, self._schema, lambda: self._node, lambda: self._lanes,
                       lambda: self._status).routes(app)
        self._feed = Feed(lambda: self._status)
        self._feed.routes(app)
        app.guard = guard(self._token, pages.routes(app), realm="hotpath-shard")
        app.exposed = self._exposed
        app.at_worker(self._attach)
        app.at_open(self._open)
        app.at_start(self._tell)
        app.at_drain(self._feed.close)
        app.at_stop(self._stop)
        return app

    def _attach(self, server: Server) -> None:
        self._loop: Loop = server.loop

    def _open(self) -> None:
        pool = self._config.pool
        use_threads(threads_for(pool.max))
        self._lanes = Lanes(self._loop, connections=pool.max, wait_s=pool.wait, waited=self._meter.waited)
        self._node = offload(self._opened, self._meter)
        self._status = Status(self._node.status, self._lanes)

    def _tell(self) -> None:
        while True:
            try:
                offload(self._tell_once)
            except Exception:
                log.exception("metrics not told")
            sleep(TELL_S)

    def _tell_once(self) -> None:
        """What is counted elsewhere, for whoever asks any worker."""
        node, meter = self._node, self._meter
        counts = node.directory.counts
        meter.rising("epoch_retries_total", counts.epoch_retries)
        meter.rising("fallback_reads_total", counts.fallback_reads)
        meter.rising("pulls_total", counts.pulls)
        for (source, target), rows in list(node.moved.items()):
            meter.rising("move_rows_total", rows, source, target)
        for name, shard in list(node.directory.shards.items()):
            stats = shard.stats()
            meter.connections(name, in_use=stats.in_use, idle=stats.size - stats.in_use,
                              waiting=stats.waiting + self._lanes.waiting(name))

    def _exposed(self) -> str:
        return offload(self._text)

    def _text(self) -> str:
        self._tell_once()
        return self._meter.text({name: len(slots) for name, slots in self._node.topology.slots.items()})

    def _stop(self) -> None:
        self._node.close()
        self._node.house.close()

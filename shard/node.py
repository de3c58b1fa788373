"""What one process holds of a cluster: the map, the shards' connections, the tables, and its part of the work.

A started node is a router: it says each second that it lives, keeps its map fresh, and carries on any reshard that
nobody else does. One that is not started only looks: a command. It is made after a fork, never before.
"""
from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hotpath.core.errors import HotpathError, UnknownTable

from .config import ShardConfig
from .directory import Directory
from .meta import Meta
from .mover import Admin, Mover
from .rows.ids import Ids
from .rows.values import json_key
from .scatter import Lanes, Scatter
from .schema import Key, Table, hash_of
from .status import Status
from .store import Store
from .topology import Topology

if TYPE_CHECKING:
    from .bringup import House

log = logging.getLogger(__name__)

BEAT_S = 1.0


class Identity:
    """Who we are among the routers, and the ids that only we make; both are had when first asked for."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._lock = threading.Lock()
        self._ids: Ids | None = None
        self._former: Ids | None = None     # of when we were taken for dead
        self.id = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def next(self) -> int:
        """An id that no other process makes. Raises ShardUnavailable."""
        ids = self._ids
        return (self.join(0) if ids is None else ids).next()

    def at_hand(self) -> int | None:
        """The same, if nobody needs to be asked for it."""
        ids = self._ids
        return None if ids is None else ids.next()

    def join(self, version: int) -> Ids:
        """Be a router, if we are none yet; `version` is that of our map."""
        with self._lock:
            if self._ids is None:
                self._ids = Ids(self._meta.join(self.id, version), behind=self._former)
            return self._ids

    def beat(self, version: int) -> None:
        """We live. Whoever was taken for dead is another from now on: its number may be another's."""
        if not self._meta.beat(self.id, version):
            with self._lock:
                self._former = self._ids or self._former
                self._ids = None
                self.id = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
            self.join(version)

    def leave(self) -> None:
        """No router any more. The number is not given to another in the same millisecond."""
        with self._lock:
            joined, self._ids = self._ids, None
        if joined is not None:
            self._meta.leave(self.id)


class Node:
    """One process's part. Any thread may use it."""

    def __init__(self, config: ShardConfig, house: House, *, p99: Callable[[], float | None] | None = None) -> None:
        """Read the map. `p99`: how long requests take lately, in seconds. Raises ShardUnavailable.

        The house stays its maker's to close.
        """
        self.config = config
        self.house = house
        self.meta: Meta = house.meta
        self.schema: Mapping[str, Table] = config.schema
        self.directory = Directory(house.meta, config.pool)
        self.identity = Identity(house.meta)
        self.lanes = Lanes(config.pool.max, config.pool.wait)
        # A transition waits for the writers of before, and a row of theirs may be locked by others.
        wait_s = config.pool.wait + config.pool.statement
        self.stores = {name: Store(table, self.directory, self.identity, fenced=config.fence, wait_s=wait_s)
                       for name, table in self.schema.items()}
        self.scatter = {name: Scatter(table, self.directory, self.lanes, self.stores[name], self.identity.next, wait_s)
                        for name, table in self.schema.items()}
        self.admin = Admin(self.directory, house, config)
        self._mover = Mover(self.directory, config, self.identity.id, backend=house.backend, p99=p99)
        self._status = Status(self)
        self._stopping = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heart", daemon=True)

    def start(self) -> None:
        """Be a router. Raises ShardUnavailable."""
        self.identity.join(self.topology.version)
        self._heart.start()
        self._mover.start()

    def close(self) -> None:
        """End what was started, and let go of all connections but the house's."""
        self._stopping.set()
        if self._heart.is_alive():
            self._mover.close()
            self._heart.join()
        try:
            self.identity.leave()
        except HotpathError as error:
            # It is forgotten by itself, a little later.
            log.info("could not say goodbye cause=%s", error)
        self._status.close()
        self.lanes.close()
        self.directory.close()

    @property
    def topology(self) -> Topology:
        """The map as we know it."""
        return self.directory.topology

    @property
    def moved(self) -> Mapping[tuple[str, str], int]:
        """How many rows this process has moved, by source and target."""
        return self._mover.moved

    def table(self, name: str) -> Table:
        """As declared. Raises UnknownTable."""
        try:
            return self.schema[name]
        except KeyError:
            raise UnknownTable(f"{name!r} is no table; allowed: {', '.join(self.schema)}") from None

    def status(self) -> dict[str, Any]:
        """The whole cluster, as `GET /v1/cluster` answers it."""
        return self._status.document()

    def owner(self, table: str, key: Key) -> dict[str, Any]:
        """Where a key belongs, as `GET /v1/cluster/owner` answers it. Raises UnknownTable."""
        declared = self.table(table)
        place = hash_of(key)
        route = self.topology.routes[place >> 48]
        return {"key": json_key(declared, key), "hash": f"{place:016x}", "slot": place >> 48, "owner": route.shard,
                "source": route.source}

    def _beat(self) -> None:
        was_away = False
        while not self._stopping.wait(BEAT_S):
            try:
                self.identity.beat(self.topology.version)
                self.directory.glance()
                self.lanes.keep({member.name for member in self.topology.members})
                was_away = False
            except HotpathError as error:
                # Requests go on: who meets a foreign epoch asks for himself.
                if not was_away:
                    log.warning("meta away cause=%s", error)
                was_away = True
            except Exception:
                log.exception("heart: beat failed")

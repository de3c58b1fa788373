"""The cluster as one document: who its shards and routers are, what stands on them, and what moves."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hotpath.core.errors import ShardUnavailable

from .endpoint import Endpoint
from .engine import PoolStats, Statement
from .glimpses import Glimpse, Glimpses
from .mover.reshard import OVER
from .schema import SLOTS, quoted
from .topology import Member, Topology

if TYPE_CHECKING:
    from .node import Node

Document = dict[str, Any]

# For all that may be dead: a status is of use while something is.
WITHIN_S = 0.7

# Of a shard that was never asked, or has just left.
NO_POOL = PoolStats(size=0, in_use=0, waiting=0, max=0, up=True)


class Status:
    """Of one process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._counts = {name: Statement(f"SELECT COUNT(*) FROM {quoted(name)}") for name in node.schema}
        self._shards: Glimpses[Document] = Glimpses()
        self._meta: Glimpses[Document] = Glimpses()

    def document(self) -> Document:
        """As `GET /v1/cluster` answers it, within about a second whatever is dead.

        Raises ShardUnavailable if the meta database never answered.
        """
        # First, as it may find a newer map.
        meta = self._meta.look({"meta": self._agreed}, within_s=WITHIN_S)["meta"]
        topology = self._node.topology
        questions: dict[str, Callable[[], Document]] = {
            member.name: partial(self._census, member.name) for member in topology.members}
        shards = self._shards.look(questions, within_s=WITHIN_S)
        self._shards.keep(questions)
        if meta.value is None:
            raise ShardUnavailable("meta", "it does not answer")
        config = self._node.config
        reshard = meta.value["reshard"]
        return {
            "cluster": config.cluster, "version": topology.version, "backend": config.backend, "fence": config.fence,
            "state": "moving" if topology.moves or reshard else "stable",
            "shards": [self._shard(topology, member, shards[member.name]) for member in topology.members],
            "reshard": reshard, "routers": meta.value["routers"]}

    def close(self) -> None:
        """Ask no more."""
        self._shards.close()
        self._meta.close()

    def _shard(self, topology: Topology, member: Member, seen: Glimpse[Document]) -> Document:
        found: Mapping[str, Any] = seen.value or {"rows": {}, "server": None, "pid": None}
        slots = len(topology.slots[member.name])
        shard = self._node.directory.shards.get(member.name)
        stats = NO_POOL if shard is None else shard.stats()
        return {
            "name": member.name, "state": member.state, "weight": member.weight, "slots": slots,
            "share": slots / SLOTS, "epoch": topology.epochs[member.name], "up": seen.ok and stats.up,
            "address": Endpoint.parse(member.endpoint).address, "server": found["server"], "pid": found["pid"],
            "rows": found["rows"],
            "pool": {"size": stats.size, "in_use": stats.in_use, "waiting": stats.waiting,
                     "max": self._node.config.pool.max}}

    def _census(self, name: str) -> Document:
        """What stands on one shard, its own rows or not."""
        server = self._node.house.backend.server(name)
        try:
            with self._node.directory.shard(name).reading() as session:
                rows = {table: session.rows(count)[0][0] for table, count in self._counts.items()}
        except KeyError:
            raise ShardUnavailable(name, "no member any more") from None
        return {"rows": rows, "server": server.server, "pid": server.pid}

    def _agreed(self) -> Document:
        """What the meta database knows beside the map."""
        reshard = self._node.admin.document()
        # Another router's reshard may be over already, and the map of ours not read since.
        self._node.directory.glance()
        return {
            "reshard": None if reshard is None or reshard["state"] in OVER else reshard,
            "routers": [{"id": one.id, "host": one.host, "pid": one.pid, "version": one.version}
                        for one in self._node.meta.routers()]}

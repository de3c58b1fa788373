"""The map that this process goes by: swapped by one assignment, read anew when a shard says that it is old."""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from hotpath.core.errors import HotpathError, PoolTimeout, ShardUnavailable

from . import steps
from .config import PoolConfig
from .endpoint import Endpoint
from .engine import Session, Shard, Statement
from .engine.opening import open_shard
from .meta import Meta
from .topology import Topology
from .transitions import Intent

log = logging.getLogger(__name__)

# Connections of movers and fences beside those of requests: neither can starve the other.
ASIDE = 2
# How often the map is looked at while a transition is under way, and how long its maker is left alone with it. Most
# take some 20 ms; whoever helps at once only queues for the same locks.
LOOK_S = 0.003
PATIENCE_S = 0.05
# A fence waits for one writer after the other. The lock of a stripe is asked for again until then.
FENCE_S = 30.0

EPOCHS = Statement("SELECT MIN(epoch), MAX(epoch) FROM _hp_fence")
RAISE = {
    # In the order of stripes, so that two who raise do not deadlock; ORDER BY says so to the server.
    "mysql": Statement("UPDATE _hp_fence SET epoch = GREATEST(epoch, ?) ORDER BY stripe"),
    "sqlite": Statement("UPDATE _hp_fence SET epoch = max(epoch, ?)"),
}


class Superseded(HotpathError):
    """The map is another by now: what was about to be done must be thought over."""


class NotMember(HotpathError, KeyError):
    """A shard that the map does not have any more."""

    def __init__(self, shard: str) -> None:
        """Keep its name."""
        super().__init__(f"{shard} is no member")
        self.shard = shard


class Counts:
    """What this process met; any thread adds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.epoch_retries = 0      # a shard was in another epoch than the map says
        self.fallback_reads = 0     # the new shard had no mark, and the old one was asked
        self.pulls = 0              # a write brought its row along

    def add(self, name: str) -> None:
        """One more."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)


class Directory:
    """Topology and shards of one process. Any thread may use it."""

    def __init__(self, meta: Meta, pool: PoolConfig) -> None:
        """Read the map. Raises ShardUnavailable."""
        self.meta = meta
        self.counts = Counts()
        self._pool = pool
        # Told of each use of a shard's connections that had to wait, and for how many seconds.
        self.waited: Callable[[str, float], None] | None = None
        # By name. Requests look here first: it is a third of the way through `shard`.
        self.shards: dict[str, Shard] = {}
        self._asides: dict[str, Shard] = {}
        self._opening = threading.Lock()
        self._refreshing = threading.Lock()
        self._glancing = threading.Lock()
        self._glanced_s = 0.0
        self.topology: Topology = meta.read().topology

    def close(self) -> None:
        """Let go of all connections but meta's."""
        for shard in (*self.shards.values(), *self._asides.values()):
            shard.close()

    # ---- shards

    def shard(self, name: str) -> Shard:
        """For requests. Raises NotMember."""
        return self.shards.get(name) or self._opened(name, self.shards, None)

    def aside(self, name: str) -> Shard:
        """For whoever moves rows or raises fences: connections of its own."""
        return self._asides.get(name) or self._opened(name, self._asides, ASIDE)

    def _opened(self, name: str, known: dict[str, Shard], limit: int | None) -> Shard:
        with self._opening:
            shard = known.get(name)
            if shard is None:
                try:
                    endpoint = Endpoint.parse(self.topology.member(name).endpoint)
                except KeyError:
                    raise NotMember(name) from None
                on_wait = None if self.waited is None or limit is not None else partial(self.waited, name)
                known[name] = shard = open_shard(name, endpoint, self._pool, max=limit, on_wait=on_wait)
            return shard

    # ---- the map

    def refresh(self) -> Topology:
        """Read it; the newest known. Raises ShardUnavailable."""
        state = self.meta.read()
        self._adopt(state.topology)
        return self.topology

    def glance(self) -> None:
        """Read the map if it is a newer one. Raises ShardUnavailable."""
        if self.meta.version() > self.topology.version:
            self.refresh()

    def is_replaced(self, seen: Topology) -> bool:
        """Whether the map is another than `seen` by now. Ask when a shard cannot be reached: it may have left for good.

        Many that ask at once are told what one finds; while meta cannot be asked either, it is not.
        """
        asked_s = time.monotonic()
        with self._glancing:
            if self.topology is seen and self._glanced_s < asked_s:
                self._glanced_s = time.monotonic()
                with suppress(ShardUnavailable):
                    self.glance()
        return self.topology is not seen

    def _adopt(self, topology: Topology) -> None:
        topology.routes     # noqa: B018    # made before a request needs them
        with self._opening:
            if topology.version <= self.topology.version:
                return
            self.topology = topology
            endpoints = {member.name: member.endpoint for member in topology.members}
            closing = [known.pop(name) for known in (self.shards, self._asides)
                       for name, shard in list(known.items()) if endpoints.get(name) != str(shard.endpoint)]
        for shard in closing:
            shard.close()
        log.info("map version=%d moves=%d", topology.version, len(topology.moves))

    def stale(self, seen: Topology, shard: str, deadline_s: float) -> None:
        """Whoever went by `seen` found `shard` in another epoch: return once the map is another.

        A transition that takes long is finished from here. `deadline_s` is on the monotonic clock. Raises
        ShardUnavailable when the map does not change until then.
        """
        self.counts.add("epoch_retries")
        patient_until_s = time.monotonic() + PATIENCE_S
        # One thread looks, and the others find what it found.
        if not self._refreshing.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise PoolTimeout(shard, "its epoch is another, and the map could not be read in time")
        try:
            while self.topology is seen:
                state = self.meta.read()
                if state.topology.version > seen.version:
                    self._adopt(state.topology)
                    return
                now_s = time.monotonic()
                if state.intent is not None and now_s >= patient_until_s:
                    self.finish(state.intent, deadline_s=deadline_s)
                    return
                if now_s >= deadline_s:
                    raise ShardUnavailable(shard, "its epoch is another than the map says: a transition is stuck, or "
                                                  "the database was restored from a copy")
                time.sleep(LOOK_S)
        finally:
            self._refreshing.release()

    def apply(self, intent: Intent) -> Topology:
        """Make a transition; the map then. Superseded: somebody made another first. Raises ShardUnavailable.

        Whatever happens to us, once proposed it will be finished: by whoever meets it.
        """
        for name, _ in intent.fences:
            # One that is dead now would keep its neighbours fenced until it is back.
            with self._fenced(name, intent) as shard:
                fence_of(shard)
        if not self.meta.propose(intent):
            state = self.meta.read()
            if state.intent is not None:
                self.finish(state.intent)
            else:
                self._adopt(state.topology)
            raise Superseded(f"version {intent.next.version} was not made by us")
        steps.reached("transition: proposed")
        return self.finish(intent)

    def finish(self, intent: Intent, *, deadline_s: float | None = None) -> Topology:
        """Raise its fences in their order, and publish it; may be done by many at once, and again."""
        for name, epoch in intent.fences:
            with self._fenced(name, intent) as shard:
                if not is_fenced(shard, epoch):
                    wait_s = FENCE_S if deadline_s is None else max(0.001, deadline_s - time.monotonic())
                    raise_fence(shard, epoch, wait_s=wait_s)
            steps.reached(f"transition: {name} fenced")
        self.meta.publish(intent)
        steps.reached("transition: published")
        # Not what we published: somebody may have gone further.
        return self.refresh()

    @contextmanager
    def _fenced(self, name: str, intent: Intent) -> Iterator[Shard]:
        """A member of the intent's map, which the published one need not have."""
        if any(member.name == name for member in self.topology.members):
            yield self.aside(name)
            return
        joining = open_shard(name, Endpoint.parse(intent.next.member(name).endpoint), self._pool, max=1)
        try:
            yield joining
        finally:
            joining.close()


def is_fenced(shard: Shard, epoch: int) -> bool:
    """Whether all its stripes are in `epoch` or a later one."""
    return fence_of(shard)[0] >= epoch


def raise_fence(shard: Shard, epoch: int, *, wait_s: float = FENCE_S) -> None:
    """Let nobody of an earlier epoch in, and wait for those who are in. It never falls."""
    def turn(session: Session) -> None:
        session.run(RAISE[shard.dialect], (epoch,))

    shard.write(turn, wait_s=wait_s)


def fence_of(session: Session | Shard) -> tuple[int, int]:
    """The lowest and the highest epoch of a shard's stripes, as `session` sees them."""
    low, high = session.rows(EPOCHS)[0]
    assert isinstance(low, int)
    assert isinstance(high, int)
    return low, high

"""What all routers, movers and commands of a cluster agree on: small rows, changed by compare-and-set."""
from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar, cast

import msgspec

from hotpath.core.errors import ShardUnavailable
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Session, Shard, Statement, Value
from hotpath.shard.engine.errors import Duplicate, NoSuchTable
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.topology import Topology, dumped, loaded
from hotpath.shard.transitions import Intent, dumped_intent, loaded_intent

from . import statements as sql

T = TypeVar("T")

NAME = "meta"
CONNECTIONS = 2
# Ids of routers: 10 bits of each generated key.
NODES = 1024
# A router that was not heard of for so long is gone, and its node number free.
SILENT_S = 5.0
FORGOTTEN_S = 3600.0
# A lease that ends later than this many times its length was given under a clock that ran ahead: nobody holds it.
PLAUSIBLE = 2.0


class Facts(msgspec.Struct, frozen=True):
    """What never changes after the first `up`, and which tables were made."""

    cluster: str
    backend: str
    vnodes: int
    fence: bool
    tables: dict[str, object]       # as `ddl` describes them


# Made once, at import: msgspec crashes when two threads are the first to decode a type at the same time.
_FACTS = msgspec.json.Decoder(Facts)


@dataclass(frozen=True, slots=True)
class State:
    """The map, and the intent that waits to be finished."""

    topology: Topology
    intent: Intent | None


@dataclass(frozen=True, slots=True)
class RouterSeen:
    """A process that serves the cluster's keys."""

    id: str
    host: str
    pid: int
    version: int        # of its map
    seen_s: float       # seconds ago


class Meta:
    """A handle on the database. Any thread may use it; every method raises ShardUnavailable."""

    def __init__(self, shard: Shard) -> None:
        """On an open one."""
        self.shard = shard

    @classmethod
    def open(cls, endpoint: Endpoint, pool: PoolConfig) -> Self:
        """Connects when first asked."""
        return cls(open_shard(NAME, endpoint, pool, max=CONNECTIONS))

    def close(self) -> None:
        """Let go of its connections."""
        self.shard.close()

    # ---- the map

    def exists(self) -> bool:
        """Whether the first `up` was finished."""
        try:
            return bool(self.shard.rows(sql.VERSION))
        except NoSuchTable:
            return False

    def create(self, topology: Topology, facts: Facts) -> None:
        """At the first `up`, once every shard is ready. Nothing changes if it was created meanwhile."""
        for statement in sql.create_tables(self.shard.dialect):
            self.shard.run(statement)

        def fill(session: Session) -> None:
            session.run(sql.NO_RESHARD)
            session.run(sql.CREATE, (topology.version, dumped(topology), msgspec.json.encode(facts)))

        with suppress(Duplicate):
            self.shard.write(fill)

    def facts(self) -> Facts:
        """As the last `up` left them."""
        return _FACTS.decode(_bytes(self._one(sql.FACTS)[0]))

    def set_facts(self, facts: Facts) -> None:
        """New tables were made."""
        self.shard.run(sql.SET_FACTS, (msgspec.json.encode(facts),))

    def read(self) -> State:
        """Everything."""
        _, topology, intent = self._one(sql.READ)
        return State(loaded(_bytes(topology)), None if intent is None else loaded_intent(_bytes(intent)))

    def version(self) -> int:
        """Of the map."""
        return cast(int, self._one(sql.VERSION)[0])

    def propose(self, intent: Intent) -> bool:
        """Write down what is about to happen; False: the map is another by now, or another intent waits."""
        return self.shard.run(sql.PROPOSE, (dumped_intent(intent), intent.next.version - 1)) == 1

    def publish(self, intent: Intent) -> bool:
        """Make it the map, its fences being raised; False: somebody did so already."""
        version = intent.next.version
        return self.shard.run(sql.PUBLISH, (version, dumped(intent.next), version - 1)) == 1

    # ---- the reshard

    def reshard(self) -> bytes | None:
        """The running one, or the last, as the mover wrote it."""
        rows = self.shard.rows(sql.RESHARD)
        return _bytes(rows[0][0]) if rows and rows[0][0] is not None else None

    def change_reshard(self, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Read it, and write what `change` makes of it, as one; what is stored then. None of `change`: it stays.

        What `change`, which may be called again, raises leaves it as it was.
        """
        def turn(session: Session) -> bytes | None:
            found = session.rows(sql.RESHARD_LOCKED[self.shard.dialect])[0][0]
            old = None if found is None else _bytes(found)
            new = change(old)
            if new is None:
                return old
            session.run(sql.SAVE_RESHARD, (new,))
            return new

        return self.shard.write(turn)

    # ---- who is about

    def take_lease(self, name: str, holder: str, ttl_s: float) -> bool:
        """Take or renew it. It saves work that would be done twice, and nothing rests on it."""
        def take(session: Session) -> bool:
            now_s = self._now_s(session)
            rows = session.rows(sql.LEASE, (name,))
            if not rows:
                return session.run(sql.ADD_LEASE, (name, holder, now_s + ttl_s)) == 1
            held, until = rows[0][0], cast(float, rows[0][1])
            if held != holder and now_s < until < now_s + PLAUSIBLE * ttl_s:
                return False
            return session.run(sql.TAKE_LEASE, (holder, now_s + ttl_s, name, held, until)) == 1

        try:
            return self.shard.write(take)
        except Duplicate:
            return False

    def drop_lease(self, name: str, holder: str) -> None:
        """Let others have it at once."""
        self.shard.run(sql.DROP_LEASE, (name, holder))

    def join(self, id: str, version: int) -> int:
        """A router begins; the number of 0 to 1023 that it alone has."""
        def add(session: Session) -> int:
            now_s = self._now_s(session)
            session.run(sql.DROP_SILENT, (now_s - FORGOTTEN_S, now_s + FORGOTTEN_S))
            taken = {row[1] for row in session.rows(sql.ROUTERS)}
            node = next((n for n in range(NODES) if n not in taken), None)
            if node is None:
                raise ShardUnavailable(NAME, f"{NODES} routers are known; allowed: {NODES}")
            session.run(sql.ADD_ROUTER, (id, node, socket.gethostname(), os.getpid(), version, now_s))
            return node

        return self._again_if_taken(lambda: self.shard.write(add))

    def beat(self, id: str, version: int) -> bool:
        """A router lives, and has this map; False: it was taken for dead, and must join again."""
        def beat(session: Session) -> bool:
            return session.run(sql.BEAT, (version, self._now_s(session), id)) == 1

        return self.shard.write(beat)

    def leave(self, id: str) -> None:
        """A router ends."""
        self.shard.run(sql.DROP_ROUTER, (id,))

    def routers(self) -> list[RouterSeen]:
        """Those that live."""
        with self.shard.reading() as session:
            now_s = self._now_s(session)
            rows = session.rows(sql.ROUTERS)
        seen = [RouterSeen(str(id), str(host), cast(int, pid), cast(int, version), now_s - cast(float, at))
                for id, _node, host, pid, version, at in rows]
        return [one for one in seen if abs(one.seen_s) < SILENT_S]

    # ---- beneath

    def _one(self, statement: Statement) -> tuple[Value, ...]:
        rows = self.shard.rows(statement)
        if not rows:
            raise ShardUnavailable(NAME, "the cluster was not set up; `hotpath-shard up` does that")
        return rows[0]

    def _now_s(self, session: Session) -> float:
        # The database's clock, where it has one: routers may stand on several hosts.
        statement = sql.NOW[self.shard.dialect]
        return time.time() if statement is None else cast(float, session.rows(statement)[0][0])

    def _again_if_taken(self, attempt: Callable[[], T]) -> T:
        for _ in range(NODES):
            try:
                return attempt()
            except Duplicate:       # two joined at once
                continue
        return attempt()


def _bytes(value: Value) -> bytes:
    assert isinstance(value, bytes)
    return value

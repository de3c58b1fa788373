"""From where a shard is, to the shard."""
from __future__ import annotations

from collections.abc import Callable

from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint

from . import Shard


def open_shard(name: str, endpoint: Endpoint, pool: PoolConfig, *, max: int | None = None,
               on_wait: Callable[[float], None] | None = None) -> Shard:
    """A shard that connects when it is first used, so that this raises nothing. `max` goes before `pool.max`.

    `on_wait` hears, for each use that found all connections taken, how many seconds it waited for one.
    """
    # Each brings a library that the other does without.
    if endpoint.kind == "sqlite":
        from .sqlite import SqliteShard
        return SqliteShard(name, endpoint, pool, max=max, on_wait=on_wait)
    from .mysql import MySqlShard
    return MySqlShard(name, endpoint, pool, max=max, on_wait=on_wait)

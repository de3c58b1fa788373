"""What does it cost to take a connection out of the pool and to give it back, beside mysql.connector's own pool?"""
from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import mysql.connector.pooling

from hotpath.shard.bringup import bring_up
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine.mysql import MySqlShard

from .harness import Spread, interleave
from .paired import Cost, at_most, timed
from .shard_house import house

COLUMNS = ("contender", "CPU µs each", "ratio to hotpath (min-max)", "round trips each", "goal")
TIMES = {"hotpath": 100_000, "mysql.connector.pooling": 2_000}
GOAL_US = 2.0


def settings(endpoint: Endpoint) -> dict[str, Any]:
    """How the driver is told where the server is."""
    where = {"unix_socket": endpoint.socket} if endpoint.socket else {"host": endpoint.host, "port": endpoint.port}
    return {"user": endpoint.user, "password": endpoint.password, "database": endpoint.database,
            "autocommit": True, **where}


def questions(endpoint: Endpoint) -> int:
    """Statements and commands that the server was asked so far, by anyone."""
    with closing(mysql.connector.connect(**settings(endpoint))) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Com_admin_commands')")
        return sum(int(value) for _, value in cursor.fetchall())


def run(folder: Path, *, rounds: int) -> list[tuple[str, ...]]:
    """One thread, one connection that is idle for no time."""
    with house(folder / "pool", shards=1) as place:
        opened = bring_up(place.config, start=False)
        endpoint = Endpoint.parse(opened.meta.read().topology.members[0].endpoint)
        opened.close()
        with closing(MySqlShard("s0", endpoint, PoolConfig())) as shard:
            pool = shard._pool      # what stands around every statement
            theirs = mysql.connector.pooling.MySQLConnectionPool(pool_name="bench", pool_size=16, **settings(endpoint))

            def ours(n: int) -> None:
                lease, release = pool.lease, pool.release
                for _ in range(n):
                    release(lease())

            def rival(n: int) -> None:
                take = theirs.get_connection
                for _ in range(n):
                    take().close()

            contenders: dict[str, Callable[[int], None]] = {"hotpath": ours, "mysql.connector.pooling": rival}
            trips = {}
            for name, work in contenders.items():
                work(10)
                before = questions(endpoint)
                between = questions(endpoint)       # what asking costs by itself
                work(1000)
                trips[name] = (questions(endpoint) - between - (between - before)) / 1000

            taken = interleave({name: lambda name=name, work=work: timed(lambda: work(TIMES[name]), TIMES[name])
                                for name, work in contenders.items()}, rounds=rounds, title="pool")
    return rows(taken, trips)


def rows(taken: dict[str, list[Cost]], trips: dict[str, float]) -> list[tuple[str, ...]]:
    """The table."""
    found = []
    ours = taken["hotpath"]
    for name, costs in taken.items():
        each_us = Spread.of([cost.each_s * 1e6 for cost in costs])
        ratio = Spread.of([a.each_s / b.each_s for a, b in zip(costs, ours, strict=True)])
        found.append((name, f"{each_us.middle:.2f}", "1" if name == "hotpath" else str(ratio), f"{trips[name]:.1f}",
                      f"{at_most(each_us.middle, GOAL_US)}; round trips {at_most(trips[name], 0)}"
                      if name == "hotpath" else ""))
    return found

"""Moves and accidents at random, for as long as one likes, under a crowd on three routers:

    PYTHONPATH=. .venv/bin/python -P -m tests.faults.shard_storm --seconds 600 --engine mariadb --seed 1

Each round is a fresh cluster: shards are added, removed, added and taken back, while routers are killed, stopped and
woken, movers die at random steps and, with --engine mariadb, servers are killed or silent. It ends with status 1 at the
first wrong answer, stray row or fallen epoch, and says which round; the same seed makes the same plan.
"""
from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from hotpath.core.errors import ShardUnavailable
from hotpath.shard import Cluster
from hotpath.shard.topology import Topology
from tests.faults.shard_faults import Outside, Place, Router, carrier, heard, opened, placed, router, state_of, strays
from tests.shard.crowd import Crowd, by_http, by_python
from tests.shard.linear import anomalies
from tests.shard.servers import Mysqls, running_mysqls
from tests.waiting import wait_for

T = TypeVar("T")
LEASE_S = 0.5
ROUND_S = 120.0


def quietly(ask: Callable[[], T]) -> T | None:
    """Its answer; None: the map's server is down."""
    try:
        return ask()
    except ShardUnavailable:
        return None


class Round:
    """One cluster, from its making to its judgement."""

    def __init__(self, folder: Path, servers: Mysqls | None, rng: random.Random) -> None:
        self.folder, self.servers, self.rng = folder, servers, rng
        self.done: list[str] = []

    def run(self) -> list[str]:
        """What was wrong."""
        endpoints = None if self.servers is None else self.servers.databases(7)
        place = placed(self.folder, rows=1000, endpoints=endpoints, move={"chunk": 50, "rate": 5000},
                       pool={"wait": "3s", "connect": "1s", "statement": "3s"})
        with contextlib.ExitStack() as stack:
            first, second = (stack.enter_context(router(place.file, lease=LEASE_S)) for _ in range(2))
            mortal = stack.enter_context(router(place.file, lease=LEASE_S, does="die", once=self.folder / "died"))
            cluster = stack.enter_context(opened(place.file))
            outside = stack.enter_context(Outside(cluster))
            ways = [by_python(cluster), *(by_http("127.0.0.1", one.port) for one in (first, second, mortal))]
            crowd = stack.enter_context(Crowd(ways, pause_s=0.005))
            over = threading.Event()
            accidents: list[Callable[[], object]] = [
                lambda: self._sleep(first), lambda: self._sleep(second), lambda: self._carrier(place.file)]
            if self.servers is not None:
                accidents += [lambda: self._server("kill"), lambda: self._server("silent")]
            hand = threading.Thread(target=self._accidents, args=(accidents, over), daemon=True)
            hand.start()
            try:
                for what in ("add", "cancel", "remove", "add", "remove"):
                    self._reshard(cluster, place, what)
            finally:
                over.set()
                hand.join()
            crowd.wait_for(200)
            crowd.stop()
            said = [*map(str, anomalies(crowd.ops)), *crowd.unordered, *map(repr, crowd.broken)]
            print(f"    {len(crowd.ops)} answers, {len(crowd.failures)} refusals, {outside.looks} looks: "
                  f"{' '.join(self.done)}")
            return said + strays(cluster) + outside.wrong

    def _reshard(self, cluster: Cluster, place: Place, what: str) -> None:
        self.done.append(what)
        if what == "remove":
            topology = self._topology(cluster)
            name = self.rng.choice([one.name for one in topology.members if one.name != "s0"])
            keep = self.rng.random() < 0.3
            heard(lambda: cluster.remove_shard(name, keep_source=keep, keep_server=True), ROUND_S)
        else:
            dsn = place.dsn()
            heard(lambda: cluster.add_shard(f"n{len(self.done)}", hold=what == "cancel", **dsn), ROUND_S)
        if what == "cancel":
            wait_for(lambda: self._state(cluster) in ("copying", "verifying", "verified"), "a move", ROUND_S)
            time.sleep(self.rng.random())
            heard(lambda: cluster.node.admin.cancel(), ROUND_S)
        wait_for(lambda: self._state(cluster) in ("done", "cancelled"), f"the end of {what}", ROUND_S)

    def _topology(self, cluster: Cluster) -> Topology:
        return wait_for(lambda: quietly(cluster.node.directory.refresh), "a map", ROUND_S)

    def _state(self, cluster: Cluster) -> str | None:
        state = quietly(lambda: state_of(cluster))
        if state is not None and "paused" in state:
            raise AssertionError(cluster.node.admin.document())
        return state

    # ---- accidents

    def _accidents(self, accidents: list[Callable[[], object]], over: threading.Event) -> None:
        while not over.wait(self.rng.random()):
            self.rng.choice(accidents)()

    def _sleep(self, one: Router) -> None:
        self.done.append("sleep")
        one.stop()
        time.sleep(self.rng.random() * 2)
        one.wake()

    def _carrier(self, file: Path) -> None:
        self.done.append("mover")
        with carrier(file, word="carriers", does="die", once=self.folder / f"died{len(self.done)}", lease=LEASE_S):
            time.sleep(self.rng.random() * 3)

    def _server(self, fault: str) -> None:
        assert self.servers is not None
        name = self.rng.choice(self.servers.names)
        self.done.append(f"{fault}-{name}")
        if fault == "kill":
            self.servers.kill(name)
            time.sleep(self.rng.random())
            self.servers.start(name)
        else:
            with self.servers.silent(name):
                time.sleep(self.rng.random() * 2)


@contextlib.contextmanager
def servers_of(engine: str) -> Iterator[Mysqls | None]:
    """Those of MariaDB."""
    if engine == "sqlite":
        yield None
    else:
        with running_mysqls(4) as servers:
            yield servers


def main() -> int:
    """Rounds until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--engine", choices=["sqlite", "mariadb"], default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    until_s, seed = time.monotonic() + given.seconds, given.seed
    with servers_of(given.engine) as servers:
        while time.monotonic() < until_s:
            print(f"round {seed}", flush=True)
            with tempfile.TemporaryDirectory(prefix="storm") as folder:
                if wrong := Round(Path(folder), servers, random.Random(seed)).run():
                    print(f"round {seed} is wrong:", *wrong[:10], sep="\n")
                    return 1
            seed += 1
    print("nothing wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())

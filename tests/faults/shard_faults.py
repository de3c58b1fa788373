"""A cluster under a crowd: its shards, routers that are processes of their own, and what holds from outside."""
from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from hotpath.core.errors import ReshardConflict, ShardUnavailable
from hotpath.shard import Cluster
from hotpath.shard.backend.docker import Containers
from hotpath.shard.bringup import bring_up
from hotpath.shard.config import ShardConfig
from hotpath.shard.engine import Statement
from hotpath.shard.engine.errors import NoSuchTable
from hotpath.shard.loading import load_config
from hotpath.shard.node import Node
from hotpath.shard.schema import slot_of
from hotpath.shard.topology import Move
from tests.shard.crowd import TABLE, TABLES, filler
from tests.waiting import DEADLINE_S, Process, free_port, running, wait_for

ENGINES = ("sqlite", "mariadb")
PATIENT = {"wait": "20s"}       # a shared machine stalls for seconds; for where no request may fail
ROOT = Path(__file__).parents[2]
LAUNCHER = (sys.executable, "-P", "-m", "tests.faults.shard_launcher")


@dataclass
class Place:
    """A cluster's configuration in a file, and the servers that shards still to come may have."""

    file: Path
    spare: list[str] = field(default_factory=list)      # DSNs; empty: the backend makes servers

    def dsn(self) -> dict[str, Any]:
        """What `add_shard` is told of the new one's server."""
        return {"dsn": self.spare.pop(0)} if self.spare else {}


def placed(folder: Path, *, rows: int = 0, endpoints: list[Any] | None = None, n: int = 3, **more: Any) -> Place:
    """A cluster that is up: on SQLite files below `folder`, or in `n` of these empty databases; with `rows` in it."""
    # An access log would fill the pipe that nobody reads. A mover that is polite to the crowd would be so to the
    # neighbours' load too.
    config: dict[str, Any] = {"data": str(folder / "data"), "tables": TABLES, "vnodes": 64, "log": {"access": "off"},
                              **more, "move": {"latency": 1000, **more.get("move", {})}}
    spare: list[str] = []
    if endpoints is None:
        config["shards"] = n
    else:
        config |= {"cluster": endpoints[0].database.replace("_", "-"), "backend": "dsn",
                   "shards": [{"name": f"s{i}", "dsn": str(one)} for i, one in enumerate(endpoints[:n])]}
        spare = [str(one) for one in endpoints[n:]]
    file = folder / "shard.yaml"
    file.write_text(yaml.safe_dump(config))
    with opened(file) as cluster:
        if rows:
            assert cluster.table(TABLE).insert_many(filler(rows)).inserted == rows
    return Place(file, spare)


def place_on(engine: str, request: pytest.FixtureRequest, folder: Path, **more: Any) -> Place:
    """On one of ENGINES, or in containers."""
    if engine == "sqlite":
        return placed(folder, **more)
    if engine == "docker":
        request.getfixturevalue("docker_engine")
        cluster = f"t{secrets.token_hex(4)}"
        # Before the first of them is there.
        request.addfinalizer(partial(containers_gone, cluster, folder / "data"))
        return placed(folder, cluster=cluster, backend="docker", docker={"memory": "256m"}, **more)
    return placed(folder, endpoints=request.getfixturevalue("mysqls").databases(6), **more)


def containers_gone(cluster: str, data: Path) -> None:
    """Members or not: with their data."""
    backend = Containers(ShardConfig(cluster=cluster, backend="docker", data=str(data)))
    for name in backend.all():
        backend.purge(name)


@contextmanager
def opened(file: Path, *, moves: bool = False) -> Iterator[Cluster]:
    """A cluster as a library has it. Without `moves` this process does none of the move's work."""
    with closing(bring_up(load_config(file))) as house:
        node = Node(house.config, house)
        if moves:
            node.start()
        try:
            yield Cluster(node)
        finally:
            node.close()


# ---- routers and movers that are processes

@dataclass
class Router:
    """A process that serves."""

    process: Process
    port: int

    def api(self, method: str, path: str, body: object = None) -> Any:
        """An answer's JSON."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def stop(self) -> None:
        """The whole of it, workers too."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """It goes on."""
        os.killpg(self.process.pid, signal.SIGCONT)


@contextmanager
def router(file: Path, **launch: Any) -> Iterator[Router]:
    """`hotpath-shard serve`, ready."""
    port = free_port()
    with running([*LAUNCHER, "serve", "--config", str(file), "--listen", f"127.0.0.1:{port}", "--no-up"],
                 env(**launch)) as process:
        wait_for(lambda: _is_ready(port) or process.popen.poll() is not None, "a router that is ready")
        assert process.popen.poll() is None, process.read()
        yield Router(process, port)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def carrier(file: Path, *, word: str = "carrier", besides: Mapping[str, str] | None = None, **launch: Any
            ) -> Iterator[Process]:
    """A process that moves rows and serves nobody; it ends when there is nothing to do. `carriers`: one by one."""
    with running([*LAUNCHER, word, str(file)], env(**launch) | dict(besides or {})) as process:
        yield process


def env(**launch: Any) -> dict[str, str]:
    """What `shard_launcher` is told: `at`, `does`, `once`, `mutant`."""
    told = {f"HOTPATH_SHARD_{name.upper()}": str(value) for name, value in launch.items()}
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"} | told


# ---- from outside

class Outside:
    """What must hold of the shards, whoever asks; looked at all the time while the block runs."""

    def __init__(self, cluster: Cluster) -> None:
        self.wrong: list[str] = []
        self.looks = 0
        self._directory = cluster.node.directory
        self._stopping = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="outside")
        self._epochs: dict[tuple[str, int], int] = {}
        self._marks: dict[str, tuple[tuple[Move, ...], set[Any]]] = {}
        self._frozen: dict[str, Counter[Any]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            known = self._directory.topology
            try:
                self.look()
            except (ShardUnavailable, KeyError):
                continue            # a shard that is down, or has left
            except NoSuchTable as error:
                if not self._directory.is_replaced(known):      # only an old map names a shard that has left
                    self.wrong.append(repr(error))
                    raise
            except BaseException as error:
                self.wrong.append(repr(error))
                raise

    def wait_for(self, n: int) -> None:
        """Return once it has seen moves that two shards serve `n` times more."""
        wanted = self.looks + n
        wait_for(lambda: self.looks >= wanted or self.wrong, f"{n} more looks at moves")

    def look(self) -> None:
        """Epochs never fall; while a move is served by two shards its marks only grow, and the source is frozen."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        low: list[str] = []
        before = self._directory.topology
        dual = [move for move in before.moves if move.state.value == "dual"]
        found = {move.id: (frozenset(self.marks(move)), self.rows_in(move)) for move in dual}
        for member in before.members:
            for stripe, epoch in self._rows(member.name, "SELECT stripe, epoch FROM _hp_fence"):
                key = member.name + member.endpoint, stripe
                if epoch < self._epochs.get(key, 0):
                    self.wrong.append(f"the epoch of {member.name}, stripe {stripe}, fell to {epoch}")
                elif epoch < before.epochs[member.name]:
                    # Maps are published when their fences are raised: it fell, though perhaps between two looks.
                    low.append(f"the epoch of {member.name}, stripe {stripe}, fell to {epoch} below the map's")
                self._epochs[key] = epoch
        self._directory.glance()
        if self._directory.topology.version != before.version:
            return                  # what we read may be of another state
        self.wrong += low
        for name, (marks, rows) in found.items():
            old_marks, old_rows = self._marks.setdefault(name, (marks, rows))
            if not old_marks <= marks:
                self.wrong.append(f"marks of {name} went: {sorted(old_marks - marks)[:5]}")
            if old_rows != rows:
                self.wrong.append(f"frozen rows of {name} changed: {sorted(map(str, old_rows ^ rows))[:5]}")
            self._marks[name] = marks, rows
            self.looks += 1

    def marks(self, move: Move) -> set[Any]:
        """Those that the move's target has."""
        return {(slot, k) for slot, k in self._rows(move.target, "SELECT slot, k FROM _hp_moved")
                if slot in move.slots}

    def rows_in(self, move: Move) -> frozenset[Any]:
        """Those that stand on the move's source."""
        return frozenset(row for row in self._rows(move.source, f"SELECT id, value, n, _hp_slot FROM {TABLE}")
                         if row[3] in move.slots)

    def _rows(self, shard: str, sql: str) -> list[tuple[Any, ...]]:
        return self._directory.shard(shard).rows(Statement(sql))


def strays(cluster: Cluster) -> list[str]:
    """What is not as it must be where nothing moves: each row on its owner, once, and nothing else left."""
    directory = cluster.node.directory
    topology = directory.refresh()
    wrong = [f"{move.id} is {move.state}" for move in topology.moves]
    seen: Counter[int] = Counter()
    for member in topology.members:
        shard = directory.shard(member.name)
        for key, slot in shard.rows(Statement(f"SELECT id, _hp_slot FROM {TABLE}")):
            seen[key] += 1
            if slot != slot_of(key):
                wrong.append(f"{key} on {member.name} says slot {slot}")
            if topology.owner(slot_of(key)) != member.name:
                wrong.append(f"{key} is on {member.name}, its owner is {topology.owner(slot_of(key))}")
        wrong += [f"{member.name} has {n} rows in {table}" for table in ("_hp_moved", "_hp_cursor")
                  for (n,) in shard.rows(Statement(f"SELECT COUNT(*) FROM {table}")) if n]
        epochs = {epoch for (epoch,) in shard.rows(Statement("SELECT epoch FROM _hp_fence"))}
        if epochs != {topology.epochs[member.name]}:
            wrong.append(f"{member.name} is in {epochs}, the map says {topology.epochs[member.name]}")
    wrong += [f"{key} stands {n} times" for key, n in seen.items() if n > 1]
    try:
        verified = cluster.verify()
    except ShardUnavailable as error:
        return [*wrong, f"verify: {error}"]
    return wrong if verified["ok"] else [*wrong, f"verify: {verified}"]


def state_of(cluster: Cluster) -> str:
    """Of the reshard."""
    document: Mapping[str, Any] | None = cluster.node.admin.document()
    return "none" if document is None else str(document["state"]) + (" paused" if document["paused"] else "")


def wait_for_state(cluster: Cluster, *states: str, within_s: float = 200.0) -> str:
    """Return once the reshard is in one of `states`."""
    def reached() -> str | None:
        now = state_of(cluster)
        return now if now in states or "paused" in now else None

    try:
        state = wait_for(reached, f"a reshard in {states}", within_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: {cluster.node.admin.document()}") from None
    assert state in states, cluster.node.admin.document()
    return state


def heard(wish: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    """Until it was heard. If the answer to one was lost, the next is told that it is so already."""
    def is_heard() -> bool:
        try:
            wish()
        except ShardUnavailable:
            return False
        except ReshardConflict:
            return True
        return True

    wait_for(is_heard, "the map's server", within_s)


__all__ = ["ENGINES", "PATIENT", "Outside", "Place", "Router", "carrier", "heard", "opened", "place_on", "placed",
           "router", "state_of", "strays", "wait_for_state"]

"""What each system does all day: how to start it, how to load it, and what one unit of its work is.

The loads are those of the benchmarks. A system that is a library does its work in this very process.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import quantiles

from hotpath.core.data import Ring
from hotpath.locking import engine as locking_engine
from hotpath.shard.bringup import bring_up
from hotpath.shard.cli.bench.load import load as load_shard
from hotpath.shard.cli.bench.mixes import MIXES
from hotpath.shard.cli.bench.ours import Ours

from . import (
    chat_drivers,
    chat_fanout,
    chat_gate,
    chat_house,
    chat_posts,
    crdt_served,
    ide_house,
    keydriver,
    locking_units,
    served,
    shard_house,
    websocket,
    wrk,
    ws_load,
)
from .core_data import BATCH, NODES
from .crdt_library import Data, ours_of
from .ide_sockets import until
from .idle import allow_fds
from .processes import free_ports
from .stage import stage
from .work import Work, here, outcome, proxied, repeated


@dataclass(frozen=True, slots=True)
class Places:
    """Folders that are gone afterwards."""

    scratch: Path           # in memory
    disk: Path              # on a disk, where syncing costs


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work of a system."""

    name: str                                                       # of its picture's file, behind the system's
    words: str                                                      # what is started, what loads it, what a unit is
    opened: Callable[[Places], AbstractContextManager[Work]]        # runs while the block does
    python: bool = False                                            # much of it is Python, worth a look of its own


@contextmanager
def proxy_request(places: Places) -> Iterator[Work]:
    """A small body."""
    with stage(["hotpath"]) as on:
        yield proxied(on, "hotpath", "64", wrk.Load())


@contextmanager
def echo_request(places: Places, name: str) -> Iterator[Work]:
    """Hello."""
    with served.running(served.HTTP, [name]) as servers:
        server = servers[name]
        yield Work("request", server.pid, lambda seconds: wrk.run(
            f"http://127.0.0.1:{server.port}/", wrk.Load(seconds=seconds), scratch=places.scratch))


@contextmanager
def echo_message(places: Places, name: str) -> Iterator[Work]:
    """A message there and back."""
    with served.running(served.WEBSOCKET, [name]) as servers:
        server = servers[name]
        yield Work("message", server.pid, lambda seconds: ws_load.run(
            server.port, 32, seconds, websocket.PAYLOADS["128 B"]))


@contextmanager
def ring_owner(places: Places) -> Iterator[Work]:
    """Whose is a key?"""
    ring = Ring(NODES)

    def some() -> int:
        ring.owners(BATCH)
        return len(BATCH)

    yield here("key", repeated(some))


@contextmanager
def crdt_request(places: Places, kind: str) -> Iterator[Work]:
    """A put or a get."""
    port, = free_ports(1)
    with crdt_served.replica(places.disk, port) as server:
        crdt_served.await_healthy(port)
        crdt_served.fill(port)
        program = keydriver.built(places.scratch)
        yield Work("write" if kind == "put" else "read", server.pid, lambda seconds: keydriver.run(
            program, port, kind, connections=64, seconds=seconds, keys=crdt_served.READ_KEYS,
            value_bytes=crdt_served.VALUE_BYTES))


@contextmanager
def crdt_merge(places: Places) -> Iterator[Work]:
    """Cells that came before: nothing of the merge but finding and comparing them."""
    table = ours_of(Data.of(100_000))
    delta = table.delta()
    cells = len(table)

    def some() -> int:
        table.merge(delta)
        return cells

    yield here("cell", repeated(some))


@contextmanager
def chat_delivery(places: Places, window: int) -> Iterator[Work]:
    """One event to a thousand sockets."""
    sockets = 1000
    allow_fds(sockets)
    own, others = chat_gate.two_sides()
    with ExitStack() as stack:
        redis = stack.enter_context(chat_house.redis_server(places.scratch, cpus=others))
        gate = stack.enter_context(chat_gate.ours(places.scratch / "hotpath", chat_fanout.plan_of(sockets),
                                                  redis_port=redis.port, cpus=own, others=others))
        driver = stack.enter_context(chat_fanout.opened(
            chat_drivers.built(places.scratch, "chat_fanout"), places.scratch, gate, range(sockets),
            redis_port=redis.port, cpus=others))
        yield Work("delivery", gate.pid, lambda seconds: chat_fanout.drive(driver, sockets, window, seconds, []))


@contextmanager
def chat_post(places: Places) -> Iterator[Work]:
    """A durable message."""
    senders = chat_posts.SENDERS
    with (chat_house.redis_server(places.scratch) as redis,
          chat_house.house(places.disk / "chat", chat_posts.one_channel(senders), redis_port=redis.port) as found):
        post = chat_posts.Post(chat_drivers.built(places.scratch, "chat_posts"), places.scratch, senders, 0)

        def load(seconds: float) -> wrk.Outcome:
            posted = post.run(found.server, found.people.channels[0], found.people.tokens, seconds)
            return outcome(posted.posts, posted.seconds, p50_ms=posted.p50_ms, p99_ms=posted.p99_ms)

        yield Work("post", found.server.pid, load)


@contextmanager
def shard_operation(places: Places, backend: str, mix: str) -> Iterator[Work]:
    """By key, through the Python API in this process."""
    threads = 16
    with ExitStack() as stack:
        place = stack.enter_context(shard_house.house(places.disk / backend, backend=backend, shards=3))
        opened = stack.enter_context(closing(bring_up(place.config, start=False)))
        ours = Ours(opened, place.config, threads=threads)
        stack.enter_context(ours.table())
        numbers = count()

        def load(seconds: float) -> wrk.Outcome:
            taken = load_shard(ours, MIXES[mix], threads=threads, seconds=seconds, round_=next(numbers))
            return outcome(len(taken.latencies_s), taken.seconds, p50_ms=taken.quantile_ms(0.5),
                           p99_ms=taken.quantile_ms(0.99))

        yield here("operation", load)


@contextmanager
def ide_key(places: Places) -> Iterator[Work]:
    """From a key to its echo, by the terminal itself; a program that did not read would soon stop the echo."""
    with (ide_house.ide("process") as server,
          closing(server.run(server.project("profile"), "stty -icanon; echo on; exec cat > /dev/null")) as end):
        until(end, b"on\r\n")

        def load(seconds: float) -> wrk.Outcome:
            took_s: list[float] = []
            began_s = now_s = time.perf_counter()
            while now_s < began_s + seconds:
                time.sleep(0.001)       # as nobody types; else what is seen is a busy machine
                before_s, key = time.perf_counter(), b"%c" % (97 + len(took_s) % 26)
                end.write(key)
                until(end, key)
                now_s = time.perf_counter()
                took_s.append(now_s - before_s)
            cuts_s = quantiles(took_s, n=100)
            return outcome(len(took_s), now_s - began_s, p50_ms=cuts_s[49] * 1e3, p99_ms=cuts_s[98] * 1e3)

        yield Work("keystroke", server.pid, load, alone=True)


@contextmanager
def locking_unit(places: Places) -> Iterator[Work]:
    """`run`, uncontended."""
    engine = locking_engine(f"sqlite:///{places.scratch / 'locking.db'}")
    try:
        run = locking_units.prepared(engine)[locking_units.OURS]

        def some() -> int:
            run(100)
            return 100

        yield here("unit of work", repeated(some))
    finally:
        engine.dispose()


SYSTEMS: Mapping[str, Sequence[Kind]] = {
    "proxy": (
        Kind("request", "one worker, 64-byte bodies, 64 kept-alive connections of wrk", proxy_request),
    ),
    "core": (
        Kind("raw", "hotpath-echo --raw: requests are answered in C; 64 connections of wrk",
             partial(echo_request, name="hotpath --raw")),
        Kind("handler", "hotpath-echo: a handler in Python, in a greenlet; 64 connections of wrk",
             partial(echo_request, name="hotpath")),
        Kind("websocket", "hotpath-echo --ws: masked messages of 128 bytes, echoed by a handler in Python; 32 sockets",
             partial(echo_message, name="hotpath")),
        Kind("ring", "Ring.owners: 100,000 integers on 16 nodes of 256 points", ring_owner),
    ),
    "crdt": (
        Kind("put", "hotpath-crdt serve: PUT of 100 bytes, durable when answered; 64 connections",
             partial(crdt_request, kind="put"), python=True),
        Kind("get", "hotpath-crdt serve: GET of 100 bytes; 64 connections", partial(crdt_request, kind="get"),
             python=True),
        Kind("merge", "LWWDict.merge: a delta of 100,000 cells that are there already", crdt_merge),
    ),
    "chat": (
        Kind("delivery", "a gateway: one event to 1,000 sockets, the next when all have it",
             partial(chat_delivery, window=1)),
        Kind("deliveries", "a gateway: 16 events at once to 1,000 sockets", partial(chat_delivery, window=16)),
        Kind("post", "hotpath-chat up: messages that are durable when answered; 64 clients", chat_post, python=True),
    ),
    "shard": (
        Kind("read", "the Python API: rows by key from three MariaDB servers, with the fence; 16 threads",
             partial(shard_operation, backend="process", mix="read"), python=True),
        Kind("insert", "the Python API: durable inserts into three SQLite files; 16 threads",
             partial(shard_operation, backend="embedded", mix="write"), python=True),
    ),
    "ide": (
        Kind("keystroke", "hotpath-ide, sandbox process: a key and its echo on a terminal, a millisecond, the next",
             ide_key, python=True),
    ),
    "locking": (
        Kind("unit", "locking.run: read a row, raise it, commit; SQLite in memory, nobody in the way", locking_unit,
             python=True),
    ),
}

"""What do clients notice while shards come and go, and how fast do rows move beside a dump into another server?"""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hotpath.shard import Cluster
from hotpath.shard.cli.documents import ReshardDoc, read
from hotpath.shard.cli.opening import node_of
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.following import Following
from hotpath.shard.node import Node

from .harness import BenchmarkError
from .paired import at_most, verdict
from .processes import StartError
from .rivals import WrongAnswer
from .shard_crowd import TABLE, Crowd
from .shard_house import House, house

NOTICED = ("meanwhile", "seconds", "operations", "p50 ms", "p99 ms", "p99.9 ms", "longest ms", "failed", "wrong",
           "goal")
MOVED = ("figure", "hotpath", "rival", "goal")
DEADLINE_S = 300.0
OVER = ("done", "cancelled")
# What a state is to whoever waits for an answer.
STRETCHES = {"opening": "sources are fenced", "completing": "targets are fenced"}
COPIES = ("copying", "verifying")
TURNS = ("sources are fenced", "targets are fenced")


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time."""

    name: str
    began_s: float
    ended_s: float


def quantile_ms(took_s: Sequence[float], q: float) -> float:
    """Of ascending seconds."""
    return took_s[min(len(took_s) - 1, int(q * len(took_s)))] * 1e3


def wait_until(check: Callable[[], object], what: str) -> None:
    """Return once it is so. Raises BenchmarkError."""
    until_s = time.monotonic() + DEADLINE_S
    while not check():
        if time.monotonic() > until_s:
            raise BenchmarkError(f"{what}: not after {DEADLINE_S:.0f} s")
        time.sleep(0.02)


def state_of(reshard: Following) -> str:
    """Where it is. Raises BenchmarkError when somebody would have to look at it."""
    document = reshard.progress()
    if document["paused"]:
        raise BenchmarkError(f"the reshard is paused: {document['error']}")
    return str(document["state"])


def noticed(folder: Path, *, rows: int, rate: float, seconds: float) -> list[tuple[str, ...]]:
    """Add, remove, and an add that is cancelled, under clients that know each answer."""
    with house(folder / "grow") as place, Cluster.open(place.file) as cluster:
        crowd = Crowd(cluster, keys=rows, rate=rate)
        crowd.fill()
        with crowd.busy():
            time.sleep(1.0)
            phases = [quiet(seconds)]
            phases += staged("add s2", cluster.add_shard("s2"))
            phases += staged("remove s2", cluster.remove_shard("s2"))
            held = cluster.add_shard("s3", hold=True)
            phases += staged("add s3", held)
            held.cancel()
            phases += staged("cancel s3", held)
        differences, verified = crowd.differences(), cluster.verify()
        if crowd.wrong() or differences or not verified["ok"]:
            raise WrongAnswer(f"{[*crowd.wrong(), *differences][:5]} {verified}")
    return noticed_rows(crowd, phases)


def quiet(seconds: float) -> Phase:
    """Clients alone."""
    began_s = time.monotonic()
    time.sleep(seconds)
    return Phase("nothing", began_s, time.monotonic())


def staged(name: str, reshard: Following) -> list[Phase]:
    """The stretches of a reshard, until it is over or held."""
    found: list[Phase] = []
    began_s, state = time.monotonic(), state_of(reshard)
    held = bool(reshard.progress()["hold"])

    def ended() -> bool:
        nonlocal began_s, state
        now = state_of(reshard)
        if now != state:
            found.append(Phase(f"{name}: {STRETCHES.get(state, state)}", began_s, time.monotonic()))
            began_s, state = time.monotonic(), now
        return now in OVER or (held and now == "verified")

    wait_until(ended, name)
    return found


def noticed_rows(crowd: Crowd, phases: Sequence[Phase]) -> list[tuple[str, ...]]:
    """The table: each stretch of time, and what it may cost."""
    found = []
    before_ms = quantile_ms(crowd.took_s(phases[0].began_s, phases[0].ended_s), 0.99)
    for one in phases:
        took_s = crowd.took_s(one.began_s, one.ended_s)
        if not took_s:
            continue                # shorter than the clients' pace
        p99, p999 = quantile_ms(took_s, 0.99), quantile_ms(took_s, 0.999)
        stretch = one.name.partition(": ")[2]
        goal = (f"p99 over that before {at_most(p99 / before_ms, 1.5)}" if stretch in COPIES else
                f"p99.9 {at_most(p999, 50)}" if stretch in TURNS else "")
        found.append((one.name, f"{one.ended_s - one.began_s:.1f}", f"{len(took_s):,}",
                      f"{quantile_ms(took_s, 0.5):.2f}", f"{p99:.2f}", f"{p999:.2f}", f"{took_s[-1] * 1e3:.1f}", "", "",
                      goal))
    failed, wrong = len(crowd.failed()), len(crowd.wrong())
    whole = crowd.took_s(0.0, float("inf"))
    found.append(("all of it", "", f"{len(whole):,}", "", "", "", "", str(failed), str(wrong),
                  f"failed {at_most(failed, 0)}; lost, doubled, stale {at_most(wrong, 0)}"))
    return found


def moved(folder: Path, *, rows: int, rate: float) -> list[tuple[str, ...]]:
    """Rows per second copied while clients are served, beside a dump of as many; verification; the takeover."""
    with house(folder / "copy") as place:
        with Cluster.open(place.file) as cluster:
            crowd = Crowd(cluster, keys=rows, rate=rate)
            crowd.fill()
            with crowd.busy():
                copied, per_s = copy_rate(cluster)
                dump_per_s = dump_rate(place, cluster, copied)
            if crowd.wrong() or crowd.failed():
                raise WrongAnswer(f"{[*crowd.wrong(), *crowd.failed()][:5]}")
            began_s = time.perf_counter()
            document = cluster.verify()
            verify_per_s = int(document["rows"]) / (time.perf_counter() - began_s)
            if not document["ok"]:
                raise WrongAnswer(f"verify: {document}")
        gap_s = takeover(place)
    dump = f"{dump_per_s:,.0f}" if dump_per_s else "no mariadb-dump"
    return [
        (f"rows/s copied, {copied:,} rows, clients at {rate:,.0f}/s", f"{per_s:,.0f}",
         f"mariadb-dump | mariadb: {dump}", verdict(per_s / dump_per_s, 0.5) if dump_per_s else ""),
        (f"rows/s verified, {rows:,} rows", f"{verify_per_s:,.0f}", "", verdict(verify_per_s, 200_000)),
        ("seconds until the move goes on after kill -9 of its router", f"{gap_s:.1f}", "", at_most(gap_s, 5)),
    ]


def copy_rate(cluster: Cluster) -> tuple[int, float]:
    """Rows that an add without a cap copied, and how many a second."""
    reshard = cluster.add_shard("s2", rate=0)
    wait_until(lambda: state_of(reshard) != "preparing", "s2 prepared")
    began_s, at_first = time.perf_counter(), reshard.progress()["rows"]
    wait_until(lambda: state_of(reshard) not in ("opening", "copying"), "s2 copied")
    seconds, at_last = time.perf_counter() - began_s, reshard.progress()["rows"]
    reshard.wait(DEADLINE_S)
    copied = at_last["copied"] - at_first["copied"]
    return copied, copied / seconds


def dump_rate(place: House, cluster: Cluster, rows: int) -> float | None:
    """The same number of rows of the first shard through MySQL's own tools into the second; None: they are missing."""
    database = Endpoint.parse(cluster.node.topology.member("s0").endpoint).database
    other = "hotpath_bench_dump"

    def sql(text: str) -> str:
        return subprocess.run(["mariadb", place.login("s1"), "-N", "-e", text], check=True, capture_output=True,
                              text=True).stdout

    sql(f"CREATE OR REPLACE DATABASE {other}")
    began_s = time.perf_counter()
    try:
        dump = subprocess.Popen(["mariadb-dump", place.login("s0"), "--single-transaction", f"--where=1 LIMIT {rows}",
                                 database, TABLE], stdout=subprocess.PIPE)
    except FileNotFoundError:
        return None
    try:
        subprocess.run(["mariadb", place.login("s1"), other], stdin=dump.stdout, check=True)
        if dump.wait() != 0:
            raise StartError("mariadb-dump failed")
        seconds = time.perf_counter() - began_s
        return int(sql(f"SELECT COUNT(*) FROM {other}.{TABLE}")) / seconds
    finally:
        dump.kill()
        sql(f"DROP DATABASE {other}")


def takeover(place: House) -> float:
    """Seconds without a row after the router that moves them was killed, another one being there."""
    first = place.start("serve", "--no-up", "--listen", "127.0.0.1:0")
    second = None
    try:
        with node_of(place.config) as node:
            wait_until(lambda: len(node.meta.routers()) == 1, "a router")
            # Slow, so that it lasts; begun while the first alone is there to move rows.
            place.run("remove", "s2", "--rate", "500", "--detach")
            wait_until(lambda: copied(node) > 0, "rows copied")
            second = place.start("serve", "--no-up", "--listen", "127.0.0.1:0")
            wait_until(lambda: len(node.meta.routers()) == 2, "another router")
            os.killpg(first.pid, signal.SIGKILL)        # its master, too, which would start it again
            killed_s, rows = time.monotonic(), copied(node)
            wait_until(lambda: copied(node) > rows, "the move goes on")
            return time.monotonic() - killed_s
    finally:
        for process in (first, second):
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def copied(node: Node) -> int:
    """Rows of the reshard that are copied. Raises BenchmarkError when it stands still."""
    document = node.admin.document()
    if document is None:
        return 0
    reshard = read(document, ReshardDoc)
    if reshard.is_stuck or reshard.is_over:
        raise BenchmarkError(f"{reshard.title} is {reshard.state}: {reshard.error}")
    return reshard.rows.copied

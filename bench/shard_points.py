"""What does a single-key operation cost over the bare driver's, with the fence and without?"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from hotpath.shard.bringup import bring_up
from hotpath.shard.cli.bench.bare import BareMysql, BareSqlite
from hotpath.shard.cli.bench.load import Contender, Taken, load
from hotpath.shard.cli.bench.mixes import MIXES
from hotpath.shard.cli.bench.ours import Ours
from hotpath.shard.endpoint import Endpoint

from .harness import Spread, interleave
from .paired import at_most, verdict
from .rivals import WrongAnswer
from .shard_house import House, house

COLUMNS = ("operations", "contender", "threads", "operations/s", "ratio to the bare driver (min-max)", "p50 ms",
           "p99 ms", "CPU µs each", "above the driver's", "server CPU µs each", "goal")
WARM_S = 0.5
# Beside one connection of sqlite3; the others beside one for each thread of mysql.connector.
DURABLE_GOAL = 2.0
CPU_GOAL_US = 15.0


@dataclass(frozen=True, slots=True)
class Round:
    """One contender, one round."""

    taken: Taken
    server_cpu_s: float

    @property
    def server_us(self) -> float:
        """CPU microseconds of the database servers per operation."""
        return self.server_cpu_s / max(1, len(self.taken.latencies_s)) * 1e6


def check(contender: Contender) -> None:
    """It finds what it wrote, and nothing else."""
    with contender.client() as client:
        client.insert(-1)
        found = client.get(-1)
        client.update(-1, 7)
        changed = client.get(-1)
        client.delete(-1)
        values = [list(row.values()) if isinstance(row, dict) else list(row) for row in (found, changed)
                  if isinstance(row, dict | tuple)]
        if [row[-1] for row in values] != [0, 7] or client.get(-1) is not None or client.page(100) != 50:
            raise WrongAnswer(f"{contender.name}: {found} {changed}")


def measured(place: House, mixes: Sequence[str], *, threads: int, seconds: float, rounds: int
             ) -> Mapping[str, Mapping[str, list[Round]]]:
    """Of each mix, the rounds of ours and of the rival, in turns."""
    opened = bring_up(place.config, start=False)
    with ExitStack() as stack:
        stack.callback(opened.close)
        endpoints = [Endpoint.parse(member.endpoint) for member in opened.meta.read().topology.members]
        ours = Ours(opened, place.config, threads=threads)
        rival = (BareSqlite(Path(place.config.data)) if place.config.backend == "embedded"
                 else BareMysql(endpoints))
        stack.enter_context(ours.table())
        stack.enter_context(rival.table())
        numbers = count()

        def one(contender: Contender, mix: str, lasting_s: float) -> Round:
            before_s = place.cpu_s()
            taken = load(contender, MIXES[mix], threads=threads, seconds=lasting_s, round_=next(numbers))
            return Round(taken, place.cpu_s() - before_s)

        found = {}
        for mix in mixes:
            contenders: dict[str, Callable[[], Round]] = {}
            for contender in (ours, rival):
                check(contender)
                one(contender, mix, WARM_S)
                contenders[contender.name] = lambda contender=contender, mix=mix: one(contender, mix, seconds)
            found[mix] = interleave(contenders, rounds=rounds, title=f"{mix}, {threads} threads")
    return found


def rows(what: str, taken: Mapping[str, Sequence[Round]], *, threads: int, least: float) -> list[tuple[str, ...]]:
    """The table's rows of one question; ours first."""
    (_, ours), (_, theirs) = taken.items()
    faster = Spread.of([a.taken.per_s / b.taken.per_s for a, b in zip(ours, theirs, strict=True)])
    above_us = median(a.taken.cpu_us - b.taken.cpu_us for a, b in zip(ours, theirs, strict=True))
    found = []
    for name, rounds in taken.items():
        is_ours = rounds is ours
        found.append((
            what, name, str(threads), f"{median(one.taken.per_s for one in rounds):,.0f}",
            str(faster) if is_ours else "1",
            f"{median(one.taken.quantile_ms(0.5) for one in rounds):.2f}",
            f"{median(one.taken.quantile_ms(0.99) for one in rounds):.2f}",
            f"{median(one.taken.cpu_us for one in rounds):.1f}", f"{above_us:+.1f}" if is_ours else "",
            f"{median(one.server_us for one in rounds):.1f}",
            f"{verdict(faster.middle, least)}; CPU {at_most(above_us, CPU_GOAL_US)}" if is_ours else ""))
    return found


def points(folder: Path, *, threads: Sequence[int], seconds: float, rounds: int) -> list[tuple[str, ...]]:
    """On MariaDB, by key: without the fence and with it."""
    found = []
    for fence, least in ((False, 0.95), (True, 0.85)):
        with house(folder / f"fence-{fence}", fence=fence) as place:
            for n in threads:
                for mix, taken in measured(place, ["read", "crud"], threads=n, seconds=seconds, rounds=rounds).items():
                    found += rows(f"{mix}, {'the fence' if fence else 'no fence'}", taken, threads=n, least=least)
    return found


def durable(folder: Path, *, threads: int, seconds: float, rounds: int) -> list[tuple[str, ...]]:
    """On SQLite: durable inserts."""
    with house(folder / "embedded", backend="embedded", shards=3) as place:
        taken = measured(place, ["write"], threads=threads, seconds=seconds, rounds=rounds)["write"]
        return [(*row[:-1], row[-1].partition(";")[0]) for row in
                rows("durable inserts, SQLite", taken, threads=threads, least=DURABLE_GOAL)]

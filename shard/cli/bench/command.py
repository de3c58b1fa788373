"""The command `bench`: both in turns, a table of both, and the ratio."""
from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import mysql.connector
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hotpath.core.errors import HotpathError, ReshardConflict
from hotpath.shard.bringup import House, bring_up
from hotpath.shard.cli.figures import count, plural
from hotpath.shard.cli.status import console
from hotpath.shard.config import ShardConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.loading import load_config

from .bare import BareMysql, BareSqlite
from .load import Contender, Summary, Taken, load, paired
from .mixes import MIXES
from .ours import TABLE, Ours

# One after the other, so that a noisy second is both's.
ROUND_S = 1.0
WARM_S = 0.3
# Rounds of the warm-up have keys of their own, too.
WARM_ROUND = 900


class BenchFailed(HotpathError):
    """The operator must act: the measure could not be taken; the message says why."""


def run(given: argparse.Namespace) -> int:
    """Measure, and show."""
    config = load_config(given.config)
    shown = console(stderr=True)
    house = bring_up(config, start=False)
    try:
        with shown.status("making rows") as status:
            taken = measure(house, config, mix=given.mix, threads=given.threads, seconds=given.seconds,
                            step=lambda name: status.update(f"{given.mix}: {name}"))
    finally:
        house.close()
    document = summary(taken, mix=given.mix, threads=given.threads, backend=config.backend)
    if given.json:
        print(json.dumps(document))
    else:
        console().print(table(document))
    return 0


def measure(
    house: House, config: ShardConfig, *, mix: str, threads: int, seconds: float,
    step: Callable[[str], None] = lambda name: None
) -> dict[str, list[Taken]]:
    """The rounds of both, ours first. Raises ReshardConflict while a shard is being added or removed."""
    if TABLE in config.tables:
        raise BenchFailed(f"the table {TABLE} is yours; bench makes and drops one of this name")
    topology = house.meta.read().topology
    if topology.moves:
        raise ReshardConflict("a reshard runs, and a measure beside it would mean nothing; wait until it is done")
    endpoints = [Endpoint.parse(member.endpoint) for member in topology.members]
    ours = Ours(house, config, threads=threads)
    rival = BareSqlite(Path(config.data)) if config.backend == "embedded" else BareMysql(endpoints)
    contenders: Sequence[Contender] = (ours, rival)
    try:
        with ours.table(), rival.table():
            for contender in contenders:
                load(contender, MIXES[mix], threads=threads, seconds=WARM_S, round_=WARM_ROUND)
            rounds = max(2, round(seconds / ROUND_S))
            return paired(contenders, MIXES[mix], threads=threads, seconds=seconds, rounds=rounds, step=step)
    except (mysql.connector.Error, sqlite3.Error) as error:
        raise BenchFailed(f"{rival.name}: {error}") from None


def summary(taken: Mapping[str, Sequence[Taken]], *, mix: str, threads: int, backend: str) -> dict[str, object]:
    """What `--json` prints: medians over the rounds; the ratio is taken within each of them."""
    ours, theirs = taken.values()
    ratios = [a.per_s / b.per_s for a, b in zip(ours, theirs, strict=True)]
    above_us = [a.cpu_us - b.cpu_us for a, b in zip(ours, theirs, strict=True)]
    return {
        "mix": mix, "backend": backend, "threads": threads, "rounds": len(ours), "ratio": median(ratios),
        "ratio_min": min(ratios), "ratio_max": max(ratios), "cpu_us_above": median(above_us),
        "contenders": [{"name": name, **asdict(Summary.of(rounds))} for name, rounds in taken.items()],
    }


def table(document: Mapping[str, object]) -> RenderableType:
    """The same for a person."""
    contenders = document["contenders"]
    assert isinstance(contenders, list)
    drawn = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    drawn.add_column("")
    for name in ("operations/s", "p50 ms", "p99 ms", "CPU µs each"):
        drawn.add_column(name, justify="right")
    for one in contenders:
        drawn.add_row(one["name"], count(round(one["ops_s"])), f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}",
                      f"{one['cpu_us']:.1f}")
    return Group(
        Text(f"{document['mix']}, {document['backend']}, {plural(int(str(document['threads'])), 'thread')}, "
             f"{document['rounds']} rounds in turns", "bold"),
        drawn,
        Text(f"{document['ratio']:.2f} × as fast as the bare driver (rounds: {document['ratio_min']:.2f} to "
             f"{document['ratio_max']:.2f}), {document['cpu_us_above']:+.1f} µs CPU each"))

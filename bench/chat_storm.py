"""10,000 sockets, and a gateway is killed: is anything lost or doubled, and how long until all are back?"""
from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import chat_drivers, chat_house
from .chat_drivers import Driver
from .chat_house import House, Plan
from .chat_posts import TEXT_BYTES, database_of, kept
from .idle import allow_fds
from .paired import at_most
from .rivals import WrongAnswer

COLUMNS = ("figure", "measured", "goal")
MEMBERS = 100           # of each channel
RATE = 50               # messages a second over all channels: 5,000 deliveries a second
SENDERS = 16
CALM_S = 3.0            # of sending before the kill, and after all are back
KILLED = "g1"


@dataclass(frozen=True, slots=True)
class Storm:
    """What chat_storm counted; times in milliseconds."""

    live_s: float               # until all were connected at first
    back_s: float               # from the kill until all lived again
    cut: int                    # sockets that ended with the gateway
    acked: int
    wrong: int
    deliveries: int
    lost: int
    doubled: int
    resets: int
    failed: int                 # openings that had to be tried again
    calm_ms: tuple[float, float, float]         # p50, p99 and most of a post's answer
    outage_ms: tuple[float, float, float]       # the same between the kill and the last socket's return


def plan_of(sockets: int) -> Plan:
    """One channel for each hundred."""
    channels = max(1, sockets // MEMBERS)
    return Plan(sockets, channels, lambda i: (i % channels,))


def weather(found: House, driver: Driver, *, calm_s: float) -> Storm:
    """Send, kill, and wait until all are back. Raises LoadError."""
    live_s, = chat_drivers.numbers(driver.line().removeprefix("live "), 1)
    driver.say("send")
    time.sleep(calm_s)
    pid, _ = found.gateway(KILLED)
    os.kill(pid, signal.SIGKILL)
    back_s, cut = chat_drivers.numbers(driver.ask("mark").removeprefix("back "), 2)
    time.sleep(calm_s)
    counts = chat_drivers.numbers(driver.ask("stop"), 14)
    acked, wrong, deliveries, lost, doubled, resets, failed = map(int, counts[:7])
    calm, outage = ((counts[i] / 1000, counts[i + 1] / 1000, counts[i + 2] / 1000) for i in (7, 10))
    return Storm(live_s, back_s, int(cut), acked, wrong, deliveries, lost, doubled, resets, failed, calm, outage)


def one_storm(scratch: Path, disk: Path, sockets: int, *, calm_s: float = CALM_S) -> Storm:
    """A house of its own. Raises WrongAnswer when what is kept is not what was acknowledged."""
    n = allow_fds(sockets)
    plan = plan_of(n)
    folder = disk / f"storm-{time.monotonic_ns()}"
    with ExitStack() as stack:
        redis = stack.enter_context(chat_house.redis_server(scratch))
        found = stack.enter_context(chat_house.house(folder, plan, redis_port=redis.port, gateways=2))
        people = found.people
        tokens, channels = scratch / "storm.tokens", scratch / "storm.channels"
        tokens.write_text("\n".join(people.tokens) + "\n")
        channels.write_text("\n".join(str(people.channels[plan.channels_of(i)[0]]) for i in range(n)) + "\n")
        program = chat_drivers.built(scratch, "chat_storm")
        driver = stack.enter_context(Driver(program, (found.api_port, tokens, channels, n, RATE, SENDERS, TEXT_BYTES)))
        storm = weather(found, driver, calm_s=calm_s)
        if kept(database_of(found)) != storm.acked:
            raise WrongAnswer(f"{storm.acked} acknowledged, {kept(database_of(found))} kept")
    return storm


def rows(storms: Sequence[Storm], sockets: int) -> list[tuple[str, ...]]:
    """The table: counts are sums over the storms, times the worst of them."""
    def total(name: str) -> int:
        return sum(getattr(storm, name) for storm in storms)

    back_s = max(storm.back_s for storm in storms)
    p99_ms = max(storm.outage_ms[1] for storm in storms)
    return [
        ("storms", str(len(storms)), ""),
        ("sockets", f"{sockets:,}", ""),
        ("of which the killed gateway held", f"{total('cut') // len(storms):,}", ""),
        ("messages acknowledged", f"{total('acked'):,}", ""),
        ("answers that were no 201", f"{total('wrong'):,}", at_most(total("wrong"), 0)),
        ("deliveries", f"{total('deliveries'):,}", ""),
        ("lost", str(total("lost")), at_most(total("lost"), 0)),
        ("doubled", str(total("doubled")), at_most(total("doubled"), 0)),
        ("resets", str(total("resets")), ""),
        ("all connected at first after, s", f"{max(storm.live_s for storm in storms):.1f}", ""),
        ("all back after, s", f"{back_s:.1f}", at_most(back_s, 15)),
        ("openings that were tried again", f"{total('failed'):,}", ""),
        ("POST to 201 outside, p50 / p99 / most, ms",
         " / ".join(f"{max(storm.calm_ms[i] for storm in storms):.1f}" for i in range(3)), ""),
        ("POST to 201 within, p50 / p99 / most, ms",
         " / ".join(f"{max(storm.outage_ms[i] for storm in storms):.1f}" for i in range(3)),
         f"p99 {at_most(p99_ms, 1000)}"),
    ]

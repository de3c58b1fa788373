"""One event to 1,000 sockets: how many deliveries does each gateway make with a CPU-second?"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from . import chat_drivers, chat_gate, chat_house
from .chat_drivers import Driver
from .chat_gate import OURS, Gate
from .chat_house import Plan
from .harness import Sample, Spread, interleave, measure, middle
from .idle import allow_fds
from .paired import verdict
from .wrk import LoadError, Outcome

COLUMNS = ("senders", "gateway", "deliveries per CPU-second", "hotpath over it (min-max)", "CPU µs each", "user", "sys",
           "events per read", "deliveries/s", "p50 ms", "p99 ms", "others' CPU", "goal")
MEASURED = (OURS, "picows", "picows, joined", "websockets", "socketify", chat_gate.NPM_WS, chat_gate.FLOOR)
WINDOWS = {"1": 1, "16 at once": 16}
# (senders, rival) -> how many times its deliveries per CPU-second ours should make.
GOALS = {("1", "picows"): 1.25, ("1", "websockets"): 2.0, ("1", "socketify"): 1.0, ("16 at once", "picows"): 5.0}
# What follows the seq in a message's event: 300 bytes and some, as a line of chat makes them.
TAIL = (',"kind":"message","at":1790000000000,"actor":{user},"data":{{"id":{channel}000001,"channel":{channel},"seq":1,'
        '"user":{user},"text":"Is anybody looking at the build on main?","at":1790000000000,"client_msg_id":'
        '"7f3c1a52-0b6e","root":null,"edited_at":null,"deleted":false,"reactions":{{}},"replies":0,"mentions":[]}}}}')


def plan_of(sockets: int) -> Plan:
    """All in one channel."""
    return Plan(sockets, 1, lambda _: (0,))


def opened(program: Path, folder: Path, gate: Gate, users: Sequence[int], *, redis_port: int,
           cpus: set[int] | None = None) -> Driver:
    """The load program with a socket of each user open and ready. Raises LoadError."""
    channel = gate.channels[0]
    paths, tail = folder / f"{gate.port}.paths", folder / f"{gate.port}.tail"
    paths.write_text("\n".join(gate.targets(users)) + "\n")
    tail.write_text(TAIL.format(user=1, channel=channel) + "\n")
    driver = Driver(program, (gate.port, paths, len(users), gate.start, redis_port, gate.topic(channel), channel, tail),
                    cpus=cpus)
    try:
        if not (line := driver.line()).startswith("ready "):
            raise LoadError(f"{gate.name}: {line}")
    except BaseException:
        driver.__exit__()
        raise
    return driver


@dataclass(frozen=True, slots=True)
class Fan:
    """One gateway, one round."""

    sample: Sample              # its requests are deliveries
    events_per_read: float      # what a socket found whenever it looked: how many left the gateway together


def drive(driver: Driver, sockets: int, window: int, seconds: float, reads: list[float]) -> Outcome:
    """Publish for so long. Raises LoadError, also when a socket did not get each event once, in order and unchanged."""
    published, delivered, took_s, p50_us, p99_us, cpu_s, n_reads = chat_drivers.numbers(
        driver.ask(f"run {window} {int(seconds * 1000)}"), 7)
    reads.append(n_reads)
    if delivered != published * sockets:
        raise LoadError(f"{published:.0f} events made {delivered:.0f} deliveries to {sockets} sockets")
    return Outcome(int(delivered), 0.0, 0, took_s, p50_us / 1000, p99_us / 1000, cpu_s)


def measured(scratch: Path, names: Sequence[str], *, sockets: int, rounds: int,
             seconds: float) -> list[tuple[str, ...]]:
    """The rows: each gateway has the first CPU to itself, its sockets' program and Redis have the others."""
    allow_fds(sockets)
    here, others = chat_gate.two_sides()
    found: list[tuple[str, ...]] = []
    with ExitStack() as stack:
        program = chat_drivers.built(scratch, "chat_fanout")
        redis = stack.enter_context(chat_house.redis_server(scratch, cpus=others))
        drivers: dict[str, tuple[Gate, Driver]] = {}
        for name in names:
            gate = stack.enter_context(chat_gate.gate_of(name, scratch, plan_of(sockets), redis_port=redis.port,
                                                         cpus=here, others=others))
            driver = opened(program, scratch, gate, range(sockets), redis_port=redis.port, cpus=others)
            drivers[name] = gate, stack.enter_context(driver)
        for senders, window in WINDOWS.items():
            def load(name: str, seconds: float, window: int = window) -> Fan:
                gate, driver = drivers[name]
                reads: list[float] = []
                sample = measure(gate.pid, lambda: drive(driver, sockets, window, seconds, reads), beside=[redis.pid])
                return Fan(sample, sample.load.requests / reads[0])

            for name in names:
                load(name, min(0.5, seconds))       # warm, and every answer compared
            taken = interleave({name: partial(load, name, seconds) for name in names}, rounds=rounds,
                               title=f"fan-out, {senders}")
            found += rows(senders, taken)
    return found


def rows(senders: str, taken: Mapping[str, Sequence[Fan]]) -> list[tuple[str, ...]]:
    """The table's rows of one number of senders."""
    found = []
    for name, fans in taken.items():
        samples = [fan.sample for fan in fans]
        # Deliveries per CPU-second, ours over theirs: the inverse of what each costs.
        # A short run may cost less than the clock of a process can say.
        cpu_us = middle(samples, lambda s: s.cpu_us)
        ratio = Spread.of([b.cpu_us / a.sample.cpu_us for a, b in zip(taken[OURS], samples, strict=True)]) \
            if OURS in taken and all(fan.sample.cpu_us for fan in taken[OURS]) else None
        goal = GOALS.get((senders, name))
        found.append((
            senders, name, f"{1e6 / cpu_us:,.0f}" if cpu_us else "–",
            "1" if name == OURS else "" if ratio is None else str(ratio),
            f"{cpu_us:.2f}", f"{middle(samples, lambda s: s.user_us):.2f}",
            f"{middle(samples, lambda s: s.cpu_us - s.user_us):.2f}",
            f"{median(fan.events_per_read for fan in fans):.1f}",
            f"{middle(samples, lambda s: s.load.per_s):,.0f}", f"{middle(samples, lambda s: s.load.p50_ms):.2f}",
            f"{middle(samples, lambda s: s.load.p99_ms):.2f}", f"{max(s.others_share for s in samples):.2f}",
            "" if goal is None or ratio is None else verdict(ratio.middle, goal)))
    return found

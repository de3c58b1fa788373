"""Messages posted to the API: how long until each is durable, how many a second, and when do they arrive elsewhere?"""
from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from . import chat_drivers, chat_gate, chat_house
from .chat_gate import OURS, Gate
from .chat_house import House, Plan
from .harness import Spread, interleave
from .idle import allow_fds
from .paired import at_most, verdict
from .processes import Server, cpu, free_ports
from .rivals import WrongAnswer
from .wrk import LoadError

WATCHED = (OURS, "picows")
FLASK = "Flask + one commit"
TEXT_BYTES = 120
SENDERS = 64
SLOW_SYNC_MS = 20
RATE = 200              # messages a second where latency is measured
PACED_SENDERS = 16
WATCHERS = 50

ALONE = ("server", "p50 ms", "p99 ms", "hotpath's p50 over its (min-max)", "posts/s", "CPU µs each", "goal")
MANY = ("sync", "group commit", "messages/s", "over max_batch 1 (min-max)", "p50 ms", "p99 ms", "CPU µs each", "goal")
ELSEWHERE = ("gateway", "201 to delivered, p50 ms", "p99 ms", "POST to delivered, p50 ms", "p99 ms",
             "POST to 201, p50 ms", "p99 ms", "deliveries", "goal")


@dataclass(frozen=True, slots=True)
class Posted:
    """What chat_posts said of one run, and the server's CPU."""

    posts: int
    seconds: float
    p50_ms: float
    p99_ms: float
    deliveries: int
    from_post_ms: tuple[float, float]       # p50 and p99 from a post to its delivery
    from_answer_ms: tuple[float, float]     # the same from the answer; negative when the event was there first
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Answered messages."""
        return self.posts / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU of all processes of the server for each."""
        return self.cpu_s / self.posts * 1e6


@dataclass(frozen=True, slots=True)
class Post:
    """How to put load on an API. rate 0: each sender posts again as soon as it is answered."""

    program: Path
    folder: Path                # for the files that the program reads
    senders: int
    rate: int

    def run(self, server: Server, channel: int, tokens: Sequence[str], seconds: float, gate: Gate | None = None,
            watchers: Sequence[int] = ()) -> Posted:
        """Post for so long, with `watchers` (users) on a gateway. Raises LoadError and WrongAnswer."""
        file = self.folder / "tokens"
        file.write_text("\n".join(tokens[:self.senders]) + "\n")
        argv: list[object] = [self.program, server.port, channel, file, self.senders, self.rate, int(seconds * 1000),
                              TEXT_BYTES]
        if gate is not None:
            paths = self.folder / "paths"
            paths.write_text("\n".join(gate.targets(watchers)) + "\n")
            argv += [gate.port, paths, len(watchers), gate.start]
        before = cpu(server.pid)
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False)
        spent = cpu(server.pid) - before
        if done.returncode != 0:
            raise LoadError(f"chat_posts: {done.stderr[-1000:]}")
        posts, wrong, took_s, p50, p99, _own, deliveries, *times = chat_drivers.numbers(done.stdout, 11)
        if wrong:
            raise WrongAnswer(f"{wrong:.0f} of {posts:.0f} posts were not answered with 201: {done.stderr[-500:]}")
        from_post, from_answer = ((times[i] / 1000, times[i + 1] / 1000) for i in (0, 2))
        return Posted(int(posts), took_s, p50 / 1000, p99 / 1000, int(deliveries), from_post, from_answer,
                      spent.total_s)


def kept(path: Path) -> int:
    """Messages in a database."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM messages").fetchone()[0])


def counted(path: Path, run: partial[Posted]) -> Posted:
    """Run it, and compare what was acknowledged with what is kept. Raises WrongAnswer."""
    before = kept(path)
    posted = run()
    if kept(path) - before != posted.posts:
        raise WrongAnswer(f"{posted.posts} acknowledged, {kept(path) - before} kept in {path}")
    return posted


def database_of(house: House) -> Path:
    """The file."""
    return house.folder / "data" / "chat.db"


def one_channel(users: int) -> Plan:
    """All in it."""
    return Plan(users, 1, lambda _: (0,))


# --- one client ------------------------------------------------------------------------------------------------------

def alone(scratch: Path, disk: Path, *, rounds: int, seconds: float) -> list[tuple[str, ...]]:
    """POST to 201 of one kept-alive client."""
    script = str(Path(__file__).with_name("chat_flask.py"))
    with ExitStack() as stack:
        post = Post(chat_drivers.built(scratch, "chat_posts"), scratch, 1, 0)
        redis = stack.enter_context(chat_house.redis_server(scratch))
        found = stack.enter_context(chat_house.house(disk / "alone", one_channel(2), redis_port=redis.port))
        port, = free_ports(1)
        flask = [sys.executable, "-P", script, str(port), str(disk / "flask.db")]
        bare = stack.enter_context(Server(FLASK, flask, port, scratch / "flask.out"))
        contenders = {
            OURS: partial(counted, database_of(found),
                          partial(post.run, found.server, found.people.channels[0], found.people.tokens, seconds)),
            FLASK: partial(counted, disk / "flask.db", partial(post.run, bare, 1, ["none"], seconds))}
        for run in contenders.values():
            run()
        taken = interleave(contenders, rounds=rounds, title="one client")
    ratio = Spread.of([a.p50_ms / b.p50_ms for a, b in zip(taken[OURS], taken[FLASK], strict=True)])
    return [(name, f"{median(each.p50_ms for each in runs):.2f}", f"{median(each.p99_ms for each in runs):.2f}",
             "1" if name == OURS else str(ratio), f"{median(each.per_s for each in runs):,.0f}",
             f"{median(each.cpu_us for each in runs):.0f}", "" if name == OURS else at_most(ratio.middle, 2))
            for name, runs in taken.items()]


# --- many clients ----------------------------------------------------------------------------------------------------

def many(scratch: Path, disk: Path, *, rounds: int, seconds: float,
         slower_ms: Sequence[int] = (0, SLOW_SYNC_MS)) -> list[tuple[str, ...]]:
    """Messages a second of 64 senders, with group commit and with a commit for each message, on slower disks too."""
    found: list[tuple[str, ...]] = []
    with ExitStack() as outer:
        post = Post(chat_drivers.built(scratch, "chat_posts"), scratch, SENDERS, 0)
        redis = outer.enter_context(chat_house.redis_server(scratch))
        library = str(chat_drivers.slow_sync(scratch))
        for slower in slower_ms:
            environment = {"LD_PRELOAD": library, "CHAT_SYNC_MS": str(slower)} if slower else {}
            sync = f"{slower} ms longer" if slower else "this disk's"
            with ExitStack() as stack:
                contenders = {}
                for batch in (256, 1):
                    folder = disk / f"batch-{batch}-{len(found)}"
                    each = stack.enter_context(chat_house.house(
                        folder, one_channel(SENDERS), redis_port=redis.port, max_batch=batch, environment=environment))
                    run = partial(post.run, each.server, each.people.channels[0], each.people.tokens, seconds)
                    contenders[f"max_batch {batch}"] = partial(counted, database_of(each), run)
                for run_once in contenders.values():
                    run_once()
                taken = interleave(contenders, rounds=rounds, title=f"{SENDERS} senders, {sync}")
                found += many_rows(sync, taken, slow=slower > 0)
    return found


def many_rows(sync: str, taken: Mapping[str, Sequence[Posted]], *, slow: bool) -> list[tuple[str, ...]]:
    """The rows of one kind of disk."""
    grouped, single = taken.values()
    ratio = Spread.of([a.per_s / b.per_s for a, b in zip(grouped, single, strict=True)])
    per_s = median(each.per_s for each in grouped)
    goal = verdict(ratio.middle, 10) if slow else f"{verdict(per_s, 3000)} /s; {verdict(ratio.middle, 1.3)} ×"
    return [(sync, name, f"{median(each.per_s for each in runs):,.0f}", str(ratio) if runs is grouped else "1",
             f"{median(each.p50_ms for each in runs):.1f}", f"{median(each.p99_ms for each in runs):.1f}",
             f"{median(each.cpu_us for each in runs):.0f}", goal if runs is grouped else "")
            for name, runs in taken.items()]


# --- on the other gateway --------------------------------------------------------------------------------------------

@contextmanager
def two_gateways(scratch: Path, disk: Path, names: Sequence[str]) -> Iterator[tuple[House, dict[str, Gate]]]:
    """One chat, whose events our second gateway and the rivals' deliver."""
    plan = one_channel(max(WATCHERS, PACED_SENDERS))
    with ExitStack() as stack:
        redis = stack.enter_context(chat_house.redis_server(scratch))
        found = stack.enter_context(chat_house.house(disk / "delivery", plan, redis_port=redis.port, gateways=2))
        gates = {}
        for name in names:
            gates[name] = chat_gate.of_house(found, "g2") if name == OURS else stack.enter_context(chat_gate.rival(
                name, scratch, plan, redis_port=redis.port, prefix=found.prefix, channels=found.people.channels))
        yield found, gates


def elsewhere(scratch: Path, disk: Path, names: Sequence[str], *, rounds: int, seconds: float) -> list[tuple[str, ...]]:
    """From the answer to the delivery, at RATE messages a second."""
    allow_fds(4 * WATCHERS)
    with two_gateways(scratch, disk, names) as (found, gates):
        post = Post(chat_drivers.built(scratch, "chat_posts"), scratch, PACED_SENDERS, RATE)

        def run(name: str, seconds: float) -> Posted:
            posted = counted(database_of(found), partial(
                post.run, found.server, found.people.channels[0], found.people.tokens, seconds, gates[name],
                range(WATCHERS)))
            if posted.deliveries != posted.posts * WATCHERS:
                raise WrongAnswer(f"{name}: {posted.posts} messages, {posted.deliveries} deliveries to {WATCHERS}")
            return posted

        for name in names:
            run(name, min(1.0, seconds))
        taken = interleave({name: partial(run, name, seconds) for name in names}, rounds=rounds,
                           title=f"{RATE} messages/s")
    return elsewhere_rows(taken)


def elsewhere_rows(taken: Mapping[str, Sequence[Posted]]) -> list[tuple[str, ...]]:
    """The rows; p99 of ours is compared with the rival's within each round."""
    found = []
    for name, runs in taken.items():
        p50, p99 = (median(each.from_answer_ms[i] for each in runs) for i in (0, 1))
        goal = ""
        if name == OURS:
            goal = f"p50 {at_most(p50, 1)}; p99 {at_most(p99, 10)}"
        elif OURS in taken:
            # Times may be negative, so a difference, not a ratio.
            over = median(a.from_answer_ms[1] - b.from_answer_ms[1] for a, b in zip(taken[OURS], runs, strict=True))
            goal = f"ours above its p99 by {at_most(over, 0)} ({over:+.2f})"
        found.append((name, f"{p50:.2f}", f"{p99:.2f}",
                      *(f"{median(each.from_post_ms[i] for each in runs):.2f}" for i in (0, 1)),
                      f"{median(each.p50_ms for each in runs):.2f}", f"{median(each.p99_ms for each in runs):.2f}",
                      f"{sum(each.deliveries for each in runs):,}", goal))
    return found

"""A whole chat for a measurement: its people and channels are made beforehand, then `hotpath-chat up` runs it."""
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import redis as redis_client

from hotpath.chat import auth, topics
from hotpath.chat.config import ChatConfig
from hotpath.chat.store import (
    CreateChannel,
    CreateSession,
    CreateUser,
    Database,
    Event,
    Join,
    Notice,
    Operation,
    Writer,
)
from hotpath.core.config import loads

from .processes import Server, StartError, free_ports

CHAT = str(Path(sys.executable).with_name("hotpath-chat"))
START_DEADLINE_S = 30.0
QUEUED = 2000           # operations at a time: the writer's queue is bounded
SESSION_MS = 24 * 3600 * 1000
START = '{"type":"start","epoch":null,"since":{}}'      # what a socket says first
# A number that no measurement reaches, where a limit is not what is measured.
NEVER = "1000000/s"

HEAD_CHECK = "2s"       # as it is without a word
# Events that only Redis has: a gateway that looked would find that the log went back, and be right.
NO_HEAD_CHECK = "1h"

CONFIG = """
data: {folder}/data
listen: 127.0.0.1:{port}
redis: {{url: "redis://127.0.0.1:{redis_port}/0", prefix: "{prefix}"}}
database: {{group_commit: {{max_batch: {max_batch}}}}}
gateways: {{count: {gateways}, head_check: {head_check}}}
limits: {{send: {never}, login: {never}, connect: {never}}}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is there. `channels_of(i)` are the channels of user i, by their numbers from 0."""

    users: int
    channels: int
    channels_of: Callable[[int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class People:
    """Users and their sessions, and the channels by the plan's numbers: ids of the database."""

    users: list[int]
    sessions: list[int]
    tokens: list[str]
    channels: list[int]


@dataclass(frozen=True, slots=True)
class House:
    """A chat that runs."""

    folder: Path
    prefix: str
    redis_port: int
    server: Server              # `hotpath-chat up`
    people: People

    def run_file(self) -> dict[str, Any]:
        """run.json as it is now."""
        found: dict[str, Any] = json.loads((self.folder / "data" / "run.json").read_text())
        return found

    @property
    def api_port(self) -> int:
        """Where messages are posted."""
        return self.server.port

    def gateway(self, name: str) -> tuple[int, int]:
        """(pid, port)."""
        for each in self.run_file()["gateways"]:
            if each["id"] == name:
                return int(each["pid"]), int(each["url"].rpartition(":")[2].partition("/")[0])
        raise StartError(f"no gateway {name} in run.json")

    def targets(self, name: str, users: Sequence[int]) -> list[str]:
        """What a socket asks gateway `name` for, with a ticket for each of `users` (places in `people`)."""
        with redis_client.Redis(port=self.redis_port) as client:
            report = client.get(topics.registry_key(self.prefix, name))
        if report is None:
            raise StartError(f"gateway {name} does not report")
        boot = json.loads(report)["boot"]       # type: ignore[arg-type]
        secret = auth.secret(self.folder / "data")
        return [f"/ws?ticket={auth.sign_ticket(secret, self.ticket(i, name, boot))}" for i in users]

    def ticket(self, i: int, name: str, boot: str) -> auth.Ticket:
        """Of user i, good for half a minute."""
        return auth.new_ticket(self.people.users[i], self.people.sessions[i], name, boot, now_s=time.time())


def move_in(config: ChatConfig, plan: Plan) -> People:
    """Make the database, with the people of the plan in it. Nothing runs yet, so nobody is told."""
    database = Database.open(config)

    def published(made: list[Event | Notice]) -> None:
        # As if Redis had it: otherwise the relay would publish all of it once the house runs.
        writer.marks.published([(each.channel, each.seq) for each in made if isinstance(each, Event)])

    writer = Writer(database, publish=published)
    writer.start()
    try:
        names = [f"user{i}" for i in range(plan.users)]
        users = [each["id"] for each in written(writer, [CreateUser(name, name, "none") for name in names])]
        tokens, hashes = zip(*(auth.new_token() for _ in users), strict=True)
        expires_at = int(time.time() * 1000) + SESSION_MS
        sessions = written(writer, [CreateSession(user, each, expires_at)
                                    for user, each in zip(users, hashes, strict=True)])
        channels = [each["id"] for each in written(
            writer, [CreateChannel(users[0], "public", f"channel{i}") for i in range(plan.channels)])]
        written(writer, [Join(users[i], channels[channel], users[i]) for i in range(plan.users)
                         for channel in plan.channels_of(i) if i != 0])
        await_marked(database)
        return People(users, sessions, list(tokens), channels)
    finally:
        writer.stop()
        database.close()


def await_marked(database: Database) -> None:
    """Return once the database knows that all was published. Raises StartError."""
    until = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < until:
        if database.read(lambda rows: rows.one("SELECT 1 FROM channels WHERE published_seq < last_seq")) is None:
            return
        time.sleep(0.02)
    raise StartError("the writer does not note what was published")


def written(writer: Writer, operations: Sequence[Operation]) -> list[Any]:
    """The results, in the order of the operations. Raises what one of them was refused with."""
    found: list[Any] = []
    answers: SimpleQueue[Any] = SimpleQueue()
    for start in range(0, len(operations), QUEUED):
        batch = operations[start:start + QUEUED]
        for operation in batch:
            writer.submit(operation, answers.put)
        for _ in batch:
            try:
                answer = answers.get(timeout=60)
            except Empty:
                raise StartError("the writer does not answer") from None
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
    return found


@contextmanager
def house(folder: Path, plan: Plan, *, redis_port: int, gateways: int = 1, max_batch: int = 256,
          head_check: str = HEAD_CHECK, cpus: set[int] | None = None,
          environment: Mapping[str, str] | None = None) -> Iterator[House]:
    """A chat in `folder`, which is made, on a Redis that runs; it ends with the context. Raises StartError."""
    folder.mkdir()
    prefix, (port,) = f"{folder.name}:", free_ports(1)
    text = CONFIG.format(folder=folder, port=port, redis_port=redis_port, prefix=prefix, gateways=gateways,
                         max_batch=max_batch, head_check=head_check, never=NEVER)
    (folder / "chat.yaml").write_text(text)
    people = move_in(loads(text, ChatConfig), plan)
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    argv = ["env", *variables, CHAT, "up", "--config", str(folder / "chat.yaml")]
    with Server("hotpath-chat", argv, port, folder / "out", cpus) as server:
        found = House(folder, prefix, redis_port, server, people)
        until = time.monotonic() + START_DEADLINE_S
        while not (folder / "data" / "run.json").exists():
            if server.process is None or server.process.poll() is not None or time.monotonic() > until:
                raise StartError(f"hotpath-chat up: {(folder / 'out').read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        for name in (each["id"] for each in found.run_file()["gateways"]):
            await_reported(found, name, until)
        yield found


def await_reported(found: House, name: str, until: float) -> None:
    """Return once gateway `name` says in Redis that it lives. Raises StartError."""
    while time.monotonic() < until:
        with suppress(StartError):
            found.targets(name, ())
            return
        time.sleep(0.02)
    raise StartError(f"gateway {name} has not reported to Redis")


def redis_server(folder: Path, *, cpus: set[int] | None = None) -> Server:
    """The Redis that all gateways of a measurement read."""
    port, = free_ports(1)
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    return Server("redis", argv, port, folder / "redis.out", cpus)


def pin(pid: int, cpus: set[int]) -> None:
    """Let all threads of a process that runs already run only on `cpus`."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            os.sched_setaffinity(int(task.name), cpus)

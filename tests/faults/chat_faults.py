"""What can happen to a running chat, each as a coroutine that ends when the fault is over."""
from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from urllib.parse import unquote, urlsplit

import mysql.connector
import redis

from tests.chat.crowd import Crowd
from tests.chat.house import PREFIX, House, OwnRedis
from tests.waiting import wait_for

in_thread = asyncio.to_thread


class Faults:
    """All of them, for one house and its crowd. `own_redis`: it is not `up` that starts Redis again, but we."""

    def __init__(self, home: House, crowd: Crowd, *, seed: int, own_redis: OwnRedis | None = None,
                 kill_database: Callable[[], object] | None = None) -> None:
        self.home, self.crowd = home, crowd
        self.random = random.Random(seed)
        self.own_redis, self.kill_database = own_redis, kill_database
        self.done: list[str] = []
        self.all: dict[str, Callable[[], Awaitable[None]]] = {
            name: getattr(self, name) for name in (
                "kill_api", "kill_a_gateway", "kill_all_gateways", "kill_redis", "kill_redis_and_a_gateway",
                "cut_the_subscriptions", "pause_redis", "stop_a_gateway", "crash_behind_the_commit", "double_and_swap",
                "lock_the_database", "slow_syncs", "cut_clients", "drain_a_gateway", "kick_somebody", "stall_readers",
                "log_somebody_out")}
        if kill_database is not None:
            self.all["kill_the_database"] = self.kill_the_database

    async def happen(self, name: str) -> None:
        """That one."""
        self.done.append(name)
        await self.all[name]()

    def gateway(self) -> str:
        """Any."""
        return str(self.random.choice(self.home.run["gateways"])["id"])

    async def some_sends(self, n: int) -> None:
        """Time, in messages: so many more are answered."""
        for _ in range(n):
            await self.crowd.admin.send(self.random.choice(self.crowd.channels), self.crowd.text())

    async def kill_api(self) -> None:
        """SIGKILL, with requests under way."""
        await in_thread(self.home.kill_and_wait, "api")

    async def kill_a_gateway(self) -> None:
        """SIGKILL; its clients resume elsewhere."""
        await in_thread(self.home.kill_and_wait, self.gateway())

    async def kill_all_gateways(self) -> None:
        """At once."""
        names = [row["id"] for row in self.home.run["gateways"]]
        old = [(name, self.home.kill(name)) for name in names]
        for name, pid in old:
            await in_thread(self.home.back, name, pid)

    async def kill_redis(self) -> None:
        """It comes back empty; messages are taken meanwhile."""
        if self.own_redis is None:
            old = self.home.kill("redis")
            await self.some_sends(5)
            await in_thread(self.home.back, "redis", old)
            return
        self.own_redis.kill()
        await self.some_sends(5)
        await in_thread(self.own_redis.start)

    async def kill_redis_and_a_gateway(self) -> None:
        """Together."""
        await asyncio.gather(self.kill_redis(), self.kill_a_gateway())

    async def cut_the_subscriptions(self) -> None:
        """What Redis does to a subscriber that is too slow."""
        with suppress(redis.RedisError), closing(self.home.redis()) as client:
            await in_thread(client.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
        await self.some_sends(3)

    async def pause_redis(self) -> None:
        """It accepts and does not answer."""
        with suppress(redis.RedisError), closing(self.home.redis()) as client:
            await in_thread(client.execute_command, "CLIENT", "PAUSE", "700", "ALL")
        await self.some_sends(10)

    async def stop_a_gateway(self) -> None:
        """It hangs, then goes on where it was: with a subscription that has overflowed or not."""
        pid = self.home.signal(self.gateway(), signal.SIGSTOP)
        try:
            await self.some_sends(30)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def crash_behind_the_commit(self) -> None:
        """The writer has committed, nobody was answered, nothing was published."""
        stops = self.home.stops
        stops.arm("committed")
        if await in_thread(self._is_held):
            old = self.home.kill("api")
            stops.release("committed")
            await in_thread(self.home.back, "api", old)
        stops.release("committed")

    def _is_held(self) -> bool:
        with suppress(AssertionError):
            return bool(wait_for(lambda: self.home.stops.is_held("committed"), "a commit", 5.0))
        return False

    async def double_and_swap(self) -> None:
        """Payloads come again, and in any order."""
        seen: deque[tuple[bytes, bytes]] = deque(maxlen=50)
        with suppress(redis.RedisError), closing(self.home.redis()) as client, closing(client.pubsub()) as pubsub:
            await in_thread(pubsub.psubscribe, PREFIX + "c:*")
            sends = asyncio.create_task(self.some_sends(20))
            while not sends.done() or len(seen) < 10:
                message = await in_thread(pubsub.get_message, timeout=0.5)
                if message is None and sends.done():
                    break
                if message is not None and message["type"] == "pmessage":
                    seen.append((message["channel"], message["data"]))
                    for topic, data in self.random.sample(list(seen), min(3, len(seen))):
                        await in_thread(client.publish, topic, data)
            await sends

    async def lock_the_database(self) -> None:
        """Somebody else's transaction, for longer than `busy` or for less."""
        url = self.home.run["database"]["url"]
        if url.startswith("mysql"):
            parts = urlsplit(url)
            connection = mysql.connector.connect(
                host=parts.hostname, port=parts.port, user=unquote(parts.username or ""), use_pure=True,
                password=unquote(parts.password or ""), database=parts.path[1:], charset="utf8mb4",
                collation="utf8mb4_general_ci")
            with closing(connection), closing(connection.cursor()) as cursor:
                cursor.execute("START TRANSACTION")
                cursor.execute("SELECT id FROM channels FOR UPDATE")
                cursor.fetchall()
                await asyncio.sleep(self.random.choice((0.3, 3.0)))
                connection.rollback()
            return
        with closing(sqlite3.connect(self.home.data / "chat.db", isolation_level=None, timeout=10)) as database:
            await in_thread(lambda: None)
            database.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(self.random.choice((0.3, 3.0)))
            database.execute("ROLLBACK")

    async def slow_syncs(self) -> None:
        """A disk that is busy elsewhere."""
        self.home.disk.takes(150)
        try:
            await self.some_sends(5)
        finally:
            self.home.disk.takes(0)

    async def cut_clients(self) -> None:
        """Their network goes, without a word."""
        for client in self.random.sample(self.crowd.clients, max(1, len(self.crowd.clients) // 3)):
            client.cut()

    async def drain_a_gateway(self) -> None:
        """Rolling restart of one."""
        name = self.gateway()
        old = self.home.pid(name)
        await self.crowd.admin.insist("POST", f"/api/gateways/{name}/drain")
        await in_thread(self.home.back, name, old)

    async def kick_somebody(self) -> None:
        """Out of a channel, some messages without them, and in again."""
        person = self.random.choice(self.crowd.people[1:])
        channel = self.random.choice(self.crowd.channels)
        was_there = person.id not in self.crowd.wanderers
        self.crowd.wanderers.add(person.id)
        path = f"/api/channels/{channel}/members/{person.id}"
        await self.crowd.admin.insist("DELETE", path, allowed=(204, 404))
        await self.some_sends(5)
        await self.crowd.admin.insist("PUT", path, {})
        if was_there:
            self.crowd.wanderers.discard(person.id)

    async def log_somebody_out(self) -> None:
        """Their sockets are closed, 4001; they log in again."""
        person = self.random.choice(self.crowd.people[1:])
        await person.insist("POST", "/api/logout", {}, allowed=(204, 401))
        await person.enter()

    async def stall_readers(self) -> None:
        """They stop reading; others must not notice. Whether they get 4008 depends on how much comes."""
        stalled = [client for client in self.random.sample(self.crowd.clients, max(1, len(self.crowd.clients) // 10))
                   if client.is_ready]
        wires = [(client, client.wire) for client in stalled]
        for client in stalled:
            client.stall(on=True)
        try:
            await self.some_sends(20)
        finally:
            for client, wire in wires:
                if client.wire is wire and client.is_ready:
                    client.stall(on=False)

    async def kill_the_database(self) -> None:
        """kill -9, and started again."""
        assert self.kill_database is not None
        await in_thread(self.kill_database)

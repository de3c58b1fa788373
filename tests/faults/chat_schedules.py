"""Schedules that leave a chat no luck: each brings about the one interleaving in which a certain mistake shows."""
from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.chat.checker import check_log, check_sends
from tests.chat.client import Client
from tests.chat.crowd import Crowd
from tests.chat.history import read_history
from tests.chat.house import PREFIX, House, Watcher
from tests.chat.mutants import REFUSE
from tests.chat.rows import Database, read_table
from tests.chat.story import read_story
from tests.waiting import send_signal, wait_for

in_thread = asyncio.to_thread
# A right chat needs far less; a wrong one never gets there.
SETTLED_S = 8.0


class Scene:
    """Two people in one public channel, a client each on whichever gateway."""

    def __init__(self, home: House, folder: Path) -> None:
        self.home = home
        self.crowd = Crowd(home.url, folder, seed=1, people=2, channels=1, clients=2)
        self.verdict: dict[str, Any] | None = None

    async def enter(self) -> None:
        """Everybody is there and has the newest."""
        await self.crowd.enter()
        self.channel = self.crowd.channels[0]
        self.alice, self.bob = self.crowd.people
        await self.crowd.level()

    async def send(self, n: int = 1) -> list[dict[str, Any] | None]:
        """Messages by the first person, one after the other."""
        return [await self.alice.send(self.channel, self.crowd.text()) for _ in range(n)]

    async def settle(self) -> None:
        """Wait until each client has all there is; the checker will name who never gets it."""
        _, head = await self.alice.page(self.channel, 0)
        with suppress(AssertionError):
            await asyncio.gather(*(client.has(self.channel, head, SETTLED_S) for client in self.crowd.clients))

    async def judge(self, watcher: Watcher) -> dict[str, Any]:
        """What the checker says of it all."""
        await self.settle()
        numbers = [client.number for client in self.crowd.clients]
        self.crowd.history.note("end", numbers, numbers)
        self.crowd.history.flush()
        return await in_thread(watcher.judge, self.crowd.history.path)


async def slow_sync(scene: Scene) -> None:
    """A commit takes long: whatever is told of it meanwhile is told too early."""
    scene.home.disk.takes(1000)     # the checker's process may stand still for a while
    await scene.send(3)
    scene.home.disk.takes(0)


async def crash_behind_the_commit(scene: Scene) -> None:
    """The API dies between the commit and its answer; the sender tries again."""
    stops = scene.home.stops
    stops.arm("committed")
    send = asyncio.create_task(scene.send())
    await in_thread(stops.held, "committed")
    old = await in_thread(scene.home.kill, "api")
    await in_thread(scene.home.back, "api", old)
    await send


async def refuse_late(scene: Scene) -> None:
    """An operation is refused behind its last statement, in one transaction with others that are not."""
    message, = await scene.send()
    assert message is not None
    scene.home.disk.takes(100)      # what comes meanwhile shares a transaction
    refused, *_ = await asyncio.gather(
        scene.alice.ask("PATCH", f"/api/messages/{message['id']}", {"text": REFUSE}), scene.send(), scene.send())
    assert refused.status == 422, refused
    scene.home.disk.takes(0)


async def lose_the_tail(scene: Scene) -> None:
    """The gateways' subscriptions are cut while they stand still: what is published then reaches nobody."""
    names = [row["id"] for row in scene.home.run["gateways"]]
    pids = [scene.home.signal(name, signal.SIGSTOP) for name in names]
    try:
        with closing(scene.home.redis()) as client:
            assert await in_thread(client.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
            await scene.send(3)

            def is_marked() -> bool:
                """Published, as far as the API knows: its relay will not publish them again."""
                rows = Database(scene.home.run["database"]["url"], scene.home.data).select(
                    "SELECT last_seq, published_seq FROM channels WHERE id = ?", (scene.channel,))
                return bool(rows[0][0] == rows[0][1])

            await in_thread(wait_for, is_marked, "the published mark")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def resume_while_others_talk(scene: Scene) -> None:
    """Events arrive between a client's reading of its backlog and its becoming live."""
    late = scene.crowd.clients[1]
    since = dict(late.since)
    await late.stop()
    await scene.send(20)        # more than the gateway's ring holds: the first ones stand in the database alone
    late = Client(scene.bob)
    late.since, late.epoch = since, scene.crowd.clients[0].epoch
    late.exclude = [scene.crowd.clients[0].gateway]
    scene.crowd.clients[1] = late
    # Somebody there already: the channel is subscribed and live on that gateway.
    other = Client(scene.alice)
    other.exclude = late.exclude
    other.start()
    scene.crowd.clients.append(other)
    await other.ready()
    place = f"read-{scene.channel}-{since[scene.channel]}"
    scene.home.stops.arm(place)
    late.start()
    await in_thread(scene.home.stops.held, place)
    await scene.send(4)
    _, head = await scene.alice.page(scene.channel, 0)
    await other.has(scene.channel, head)
    scene.home.stops.release(place)
    await late.ready()
    await scene.send(2)


async def double_and_swap(scene: Scene) -> None:
    """Each payload comes again, behind the next one."""
    seen: list[tuple[bytes, bytes]] = []
    with closing(scene.home.redis()) as client, closing(client.pubsub()) as pubsub:
        await in_thread(pubsub.psubscribe, PREFIX + "c:*")
        for _ in range(4):
            await scene.send()
            while (message := await in_thread(pubsub.get_message, timeout=5.0))["type"] != "pmessage":
                pass
            seen.append((message["channel"], message["data"]))
            for topic, data in reversed(seen):
                await in_thread(client.publish, topic, data)


async def number_in_parallel(scene: Scene) -> None:
    """One API process stands still with a seq in its hand while the other one commits. Needs MySQL and two of them."""
    database = Database(scene.home.run["database"]["url"], scene.home.data)
    scene.home.stops.arm("numbered")
    sends = [asyncio.create_task(scene.alice.send(scene.channel, scene.crowd.text()))]
    pid = await in_thread(scene.home.stops.held, "numbered")
    assert pid in scene.home.run["api"]["pids"]

    def is_decided() -> bool:
        """The other process has committed, or waits for the lock that the first one has."""
        # Not innodb_trx: whoever asks for that more often than each 100 ms gets the same old answer.
        waits = database.select("SELECT 1 FROM information_schema.processlist WHERE id <> CONNECTION_ID() "
                                "AND command = 'Query' AND info LIKE '%FOR UPDATE' AND time_ms > 50")
        return bool(waits) or any(send.done() for send in sends)

    # The whole process, so that it is the other one that accepts.
    send_signal(pid, signal.SIGSTOP)
    try:
        sends += [asyncio.create_task(scene.bob.send(scene.channel, scene.crowd.text())) for _ in range(3)]
        await in_thread(wait_for, is_decided, "the other API process")
        if any(send.done() for send in sends):
            await scene.bob.page(scene.channel, 0)
    finally:
        os.kill(pid, signal.SIGCONT)
        scene.home.stops.release("numbered")
    await asyncio.gather(*sends)


Schedule = Callable[[Scene], Awaitable[None]]


def judged(home: House, watcher: Watcher, folder: Path, schedule: Schedule) -> dict[str, Any]:
    """The checker's verdict over one schedule."""
    async def whole() -> dict[str, Any]:
        scene = Scene(home, folder)
        try:
            await scene.enter()
            await schedule(scene)
            return await scene.judge(watcher)
        finally:
            await scene.crowd.leave()

    return asyncio.run(whole())


def after_power_cut(home: House, folder: Path) -> set[str]:
    """Which promises are broken once the machine has lost its power, and its disk all that was not synced."""
    async def whole() -> Path:
        scene = Scene(home, folder)
        try:
            await scene.enter()
            await scene.send(20)
            home.end()
            return scene.crowd.history.path
        finally:
            await scene.crowd.leave()

    path = asyncio.run(whole())
    home.data = home.disk.after_power_cut(folder / "after")
    home.config["data"] = str(home.data)
    home.start()
    table = read_table(Database(home.run["database"]["url"], home.data))
    return {violation.kind for violation in [*check_sends(read_story(read_history(path)), table), *check_log(table)]}

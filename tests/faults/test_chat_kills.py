"""A crowd talks while parts die: nothing acknowledged is lost, nothing comes twice or in the wrong order.

The storms here are short and their seed is fixed; `chat_storm` runs for as long as one likes. Beside them stand the
faults whose outcome is more than that nobody noticed.
"""
import asyncio
import os
import re
import signal
import sqlite3
import urllib.request
from contextlib import closing

import pytest

from tests.chat.client import Client
from tests.chat.crowd import Crowd
from tests.chat.house import house, watching
from tests.chat.parts import EMBEDDED, ENGINES, REAL, real_parts
from tests.faults.chat_storm import Storm, storm
from tests.waiting import is_alive, wait_for

in_thread = asyncio.to_thread
# Each fault at least once; the order is the seed's.
PLANS = {
    EMBEDDED: ["kill_api", "kill_a_gateway", "cut_the_subscriptions", "kill_redis", "crash_behind_the_commit",
               "stop_a_gateway", "double_and_swap", "cut_clients", "lock_the_database", "kick_somebody",
               "kill_all_gateways", "slow_syncs", "drain_a_gateway", "kill_redis_and_a_gateway"],
    REAL: ["kill_the_database", "kill_api", "pause_redis", "kill_a_gateway", "kill_redis", "crash_behind_the_commit",
           "lock_the_database", "kick_somebody", "double_and_swap", "stall_readers", "kill_the_database"],
}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_storm_loses_doubles_and_swaps_nothing(engine, tmp_path):
    with real_parts(engine, tmp_path) as parts:
        given = Storm(tmp_path / "storm", seed=20260101, plan=list(PLANS[engine]), own_redis=parts.redis,
                      database=parts.database)
        verdict = storm(given, parts.config)
    assert verdict["violations"] == [], verdict
    assert verdict["acked"] > 100, verdict


class Run:
    """A crowd in a house, with the checker's word at the end."""

    def __init__(self, folder, config=None, **crowd):
        self.folder, self.config = folder, config or {}
        self.crowd_of = {"seed": 1, "people": 3, "channels": 2, "clients": 6} | crowd

    def __call__(self, act):
        with house(self.folder / "house", self.config) as home, watching(home) as watcher:
            async def whole():
                crowd = Crowd(home.url, self.folder, **self.crowd_of)
                try:
                    await crowd.enter()
                    await crowd.level()
                    await act(home, crowd)
                    return await in_thread(watcher.judge, await crowd.finish())
                finally:
                    await crowd.leave()

            verdict = asyncio.run(whole())
            assert verdict["violations"] == [], verdict
            return verdict


def test_a_reader_that_stalls_is_closed_and_nobody_else_notices(tmp_path):
    limits = {"queue_soft": "16k", "queue_hard": "128k", "queue_age": "60s", "text": 8000}

    async def act(home, crowd):
        slow = Client(crowd.people[1], receive_buffer=4096)
        slow.start()
        await slow.ready()
        wire = slow.wire
        slow.stall(on=True)
        channel, text = crowd.channels[0], "x" * 7900
        # More than its kernel buffers on both sides and its queue can take.
        for start in range(0, 600, 20):
            sent = await asyncio.gather(*(crowd.people[2].send(channel, f"{start + n} {text}") for n in range(20)))
            last = max(message["seq"] for message in sent)
            await asyncio.gather(*(client.has(channel, last) for client in crowd.clients))
            if slow_closes(home):       # it must hear of it soon: its gateway waits 5 s for the answer to a close
                break
        slow.stall(on=False)
        await slow.until(lambda: wire.ended.done() and bool(slow.codes), "its close")
        assert slow.codes == [4008]
        assert all(client.codes == [] for client in crowd.clients)
        crowd.clients.append(slow)      # from here on it resumes, and must have everything like the others

    Run(tmp_path, {"limits": limits})(act)


def test_a_reader_that_stalls_is_closed_by_the_age_of_what_waits(tmp_path):
    limits = {"queue_soft": "16k", "queue_hard": "64m", "queue_age": "1s"}

    async def act(home, crowd):
        slow = Client(crowd.people[1], receive_buffer=4096)
        slow.start()
        await slow.ready()
        slow.stall(on=True)
        text = "x" * 7900
        for start in range(0, 200, 20):
            await asyncio.gather(*(crowd.people[2].send(crowd.channels[0], f"{start + n} {text}") for n in range(20)))
        while not slow_closes(home):        # time, in messages
            await crowd.people[2].send(crowd.channels[0], crowd.text())
        slow.stall(on=False)
        await slow.until(lambda: bool(slow.codes), "its close")
        assert slow.codes == [4008]
        crowd.clients.append(slow)

    Run(tmp_path, {"limits": limits})(act)


def slow_closes(home):
    """How often the gateways have closed with 4008."""
    count = 0
    for row in home.run["gateways"]:
        with urllib.request.urlopen(row["url"].replace("ws://", "http://").replace("/ws", "/metrics")) as answer:
            count += sum(int(float(line.split()[1])) for line in answer.read().decode().splitlines()
                         if re.match(r"\w*slow_closes\w* ", line))
    return count


def test_clients_of_a_killed_gateway_go_on_at_another(tmp_path):
    async def act(home, crowd):
        names = {client.gateway for client in crowd.clients}
        assert len(names) == 2, "the crowd is spread over both"
        crowd.talk(3, 0.02)
        old = home.kill("g1")
        await crowd.level()
        await in_thread(home.back, "g1", old)
        await crowd.level()

    verdict = Run(tmp_path)(act)
    assert verdict["connections"] > 6


def test_with_redis_away_messages_are_taken_and_delivered(tmp_path):
    with real_parts(REAL, tmp_path) as parts:
        redis = parts.redis

        async def act(home, crowd):
            redis.kill()
            for _ in range(5):
                await crowd.level()
            with closing(home.redis()) as client:
                await in_thread(redis.start)
                assert not await in_thread(client.exists, "nothing")
            await crowd.level()
            assert all(client.codes == [] for client in crowd.clients), "nobody was disconnected"

            def is_registered():
                with closing(home.redis()) as client:
                    return len(client.keys("hp:gw:*")) == 2

            await in_thread(wait_for, is_registered, "the gateways to write their keys anew")

        Run(tmp_path, {"redis": {"url": redis.url}})(act)


def test_sockets_stay_while_the_api_is_killed(tmp_path):
    async def act(home, crowd):
        crowd.talk(4, 0.01)
        for _ in range(3):
            await in_thread(home.kill_and_wait, "api")
            await crowd.level()
        assert all(client.codes == [] for client in crowd.clients)

    Run(tmp_path)(act)


def test_a_database_that_is_locked_for_long_is_503_with_nothing_stored(tmp_path):
    async def act(home, crowd):
        channel, person = crowd.channels[0], crowd.people[0]
        with closing(sqlite3.connect(home.data / "chat.db", isolation_level=None, timeout=10)) as database:
            database.execute("BEGIN IMMEDIATE")
            body = {"client_msg_id": "locked-out", "text": "while it is locked"}
            answer = await person.ask("POST", f"/api/channels/{channel}/messages", body)
            assert answer.status == 503, answer
            assert int(answer.fields["retry-after"]) >= 1
            assert (await person.ask("GET", f"/api/channels/{channel}/messages")).status == 200, "reads go on"
            assert (await person.ask("GET", "/healthz")).status == 200
            assert not database.execute("SELECT 1 FROM messages WHERE client_msg_id = 'locked-out'").fetchall()
            database.execute("ROLLBACK")
        await crowd.level()
        assert all(client.codes == [] for client in crowd.clients), "sockets stay"

    Run(tmp_path, {"database": {"busy": "500ms"}})(act)


def test_a_drain_moves_everybody_and_the_gateway_comes_back(tmp_path):
    async def act(home, crowd):
        crowd.talk(3, 0.02)
        old = home.pid("g1")
        moved = [client for client in crowd.clients if client.gateway == "g1"]
        assert moved
        await crowd.admin.insist("POST", "/api/gateways/g1/drain")
        for client in moved:
            await client.until(lambda client=client: bool(client.codes) and client.is_ready, "its move")
            assert client.codes == [1012]
            assert any(frame["type"] == "reconnect" for frame in client.frames)
        await in_thread(home.back, "g1", old)
        await crowd.level()

    Run(tmp_path, {"gateways": {"drain": "1s"}})(act)


def test_a_kick_while_a_resume_is_under_way_is_the_last_event(tmp_path):
    async def act(home, crowd):
        person, channel = crowd.people[2], crowd.channels[0]
        crowd.wanderers.add(person.id)
        mine = [client for client in crowd.clients if client.person is person]
        # The reading of the backlog is held, the kick comes meanwhile.
        for client in mine[1:]:
            await client.stop()
            crowd.clients.remove(client)
        client = mine[0]
        since, epoch = dict(client.since), client.epoch
        await client.stop()
        crowd.clients.remove(client)
        for _ in range(30):
            await crowd.admin.send(channel, crowd.text())
        late = Client(person)
        late.since, late.epoch = since, epoch
        place = f"read-{channel}-{since[channel]}"
        home.stops.arm(place)
        late.start()
        await in_thread(home.stops.held, place)
        await crowd.admin.insist("DELETE", f"/api/channels/{channel}/members/{person.id}")
        for _ in range(5):
            await crowd.admin.send(channel, crowd.text())
        home.stops.release(place)
        await late.until(lambda: channel not in late.since and any(
            frame["type"] == "channel.removed" for frame in late.frames), "channel.removed")
        crowd.clients.append(late)

    Run(tmp_path, {"gateways": {"ring": 16}})(act)


def test_a_stop_by_sigterm_closes_with_1001_and_leaves_no_process_behind(tmp_path):
    with house(tmp_path / "house") as home:
        pids = pids_of(home.run)

        async def whole():
            crowd = Crowd(home.url, tmp_path, seed=1, people=2, channels=1, clients=4)
            try:
                await crowd.enter()
                await crowd.level()
                assert await in_thread(home.stop) == 0, home.said()
                for client in crowd.clients:
                    await client.until(lambda client=client: bool(client.codes), "its close")
                    assert client.codes == [1001]
            finally:
                await crowd.leave()

        asyncio.run(whole())
        wait_for(lambda: not any(map(is_alive, pids)), "their end")


def pids_of(run):
    return [*run["api"]["pids"], *(row["pid"] for row in run["gateways"]), run["redis"]["pid"]]


def test_parts_do_not_outlive_a_killed_up(tmp_path):
    with house(tmp_path) as home:
        pids = pids_of(home.run)
        os.kill(home.process.pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, pids)), "their end")


def test_after_a_restore_from_a_copy_and_a_new_epoch_clients_are_reset(tmp_path):
    with house(tmp_path / "house") as home:
        async def whole():
            crowd = Crowd(home.url, tmp_path, seed=1, people=2, channels=1, clients=2)
            channel, client = 0, crowd.clients[1]
            try:
                await crowd.enter()
                channel = crowd.channels[0]
                await crowd.level()
                home.stop()
                copy = {path.name: path.read_bytes() for path in home.data.glob("chat.db*")}
                await in_thread(home.start)
                for _ in range(3):
                    await crowd.level()
                    await client.ready()
                since, epoch = client.since[channel], client.epoch
                # The machine's disk is gone; an older copy is all there is. The operator says that it is one.
                home.stop()
                for path in home.data.glob("chat.db*"):
                    path.unlink()
                for name, data in copy.items():
                    (home.data / name).write_bytes(data)
                await in_thread(home.new_epoch)
                await in_thread(home.start)
                await client.until(lambda: client.epoch not in (None, epoch) and client.is_ready, "the new epoch")
                ready = client.frames_of("ready")[-1]["channels"][0]
                assert ready["status"] == "reset", ready
                assert ready["head"] < since
                _, head = await crowd.people[0].page(channel, 0)
                await crowd.people[0].send(channel, "after the restore")
                await client.has(channel, head + 1)
            finally:
                await crowd.leave()

        asyncio.run(whole())

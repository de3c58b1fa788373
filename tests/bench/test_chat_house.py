import os
import sqlite3
from contextlib import closing

from bench import chat_gate, chat_house
from bench.chat_house import Plan
from bench.processes import tree
from tests.waiting import is_alive, wait_for


def test_people_are_there_and_everything_ends_with_the_house(tmp_path):
    plan = Plan(3, 2, lambda i: (0, 1) if i == 1 else (0,))
    with chat_house.redis_server(tmp_path) as redis, \
            chat_house.house(tmp_path / "house", plan, redis_port=redis.port, gateways=2, max_batch=5) as found:
        with closing(sqlite3.connect(tmp_path / "house" / "data" / "chat.db")) as database:
            rows = database.execute("SELECT channel_id, user_id FROM memberships").fetchall()
            assert database.execute("SELECT 1 FROM channels WHERE published_seq < last_seq").fetchall() == []
        people = found.people
        # The first user owns all channels.
        expected = {(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)}
        assert set(rows) == {(people.channels[channel], people.users[i]) for channel, i in expected}
        assert found.gateway("g1") != found.gateway("g2")
        assert len(found.targets("g2", (0, 1))) == 2
        pids = tree(found.server.pid)
        assert len(pids) >= 4
    wait_for(lambda: not any(map(is_alive, pids)), "all parts to end")


def test_a_process_that_runs_is_bound_to_a_cpu(tmp_path):
    here, _ = chat_gate.two_sides()
    with chat_house.redis_server(tmp_path) as redis:
        chat_house.pin(redis.pid, here or {0})
        assert os.sched_getaffinity(redis.pid) == (here or {0})

"""What nobody tells a gateway, it finds: another database, a join, a session's end."""
from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.chat.gateway.rig import Rig, rig
from tests.waiting import wait_for


@pytest.fixture
def chat(tmp_path) -> Iterator[Rig]:
    with rig(tmp_path, head_check="200ms", ring=16) as made:
        yield made


def test_a_new_epoch_closes_all_sockets_and_who_comes_back_is_reset(chat: Rig):
    gateway = chat.gateway()
    ann, bob = chat.user("ann"), chat.user("bob")
    room = chat.channel(ann, bob)
    sockets = [ann.start(gateway), bob.start(gateway), ann.connect(gateway)]
    before = sockets[0].hello["epoch"]
    after = chat.database.new_epoch()
    assert [socket.close_code() for socket in sockets] == [1012] * 3
    socket = ann.start(gateway, since={room: 2}, epoch=before)
    assert socket.ready["epoch"] == socket.hello["epoch"] == after
    assert socket.ready["channels"] == [{"id": room, "head": 2, "status": "reset", "from": 3}]
    seq = bob.say(room)
    socket.events(room, seq, seq)
    again = bob.start(gateway, since={room: 1})
    again.events(room, 2, seq)


def test_a_log_that_went_back_closes_all_sockets(chat: Rig):
    gateway = chat.gateway()
    ann = chat.user("ann")
    room = chat.channel(ann)
    socket = ann.start(gateway)
    seq = [ann.say(room) for _ in range(5)][-1]
    socket.events(room, 2, seq)
    with closing(sqlite3.connect(chat.config.folder / "chat.db")) as database, database:
        database.execute("DELETE FROM events WHERE channel_id = ? AND seq > 3", (room,))
        database.execute("DELETE FROM messages WHERE channel_id = ? AND seq > 3", (room,))
        database.execute("UPDATE channels SET last_seq = 3 WHERE id = ?", (room,))
    assert socket.close_code() == 1012
    socket = ann.start(gateway, since={room: seq})
    assert socket.ready["channels"] == [{"id": room, "head": 3, "status": "reset", "from": 4}]
    assert ann.say(room) == 4
    socket.events(room, 4, 4)


def test_a_join_is_found_while_redis_is_away(chat: Rig):
    gateway = chat.gateway()
    ann, bob = chat.user("ann"), chat.user("bob")
    room = chat.channel(ann)
    socket = bob.start(gateway)
    chat.redis.kill()
    seq = bob.join(room)
    last = ann.say(room)
    socket.next("channel.added", channel=room, **{"from": seq})
    socket.events(room, seq, last)


def test_a_gateway_waits_for_its_database(chat: Rig):
    file = chat.config.folder / "chat.db"
    hidden = file.with_name("hidden.db")
    file.rename(hidden)
    gateway = chat.gateway(wait=False)
    gateway.wait_for("database away")
    hidden.rename(file)
    gateway.start()
    wait_for(lambda: chat.report().id == "g1", "a report")

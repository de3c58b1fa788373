"""Who is told what: sessions that end, markers, typing, presence, drains."""
from __future__ import annotations

import json

from hotpath.chat.store import DeactivateUser, EndSession, MarkRead
from tests.chat.gateway.rig import Place, Rig, refused, rig
from tests.waiting import wait_for


def test_a_session_that_ends_closes_its_sockets_4001_and_no_other(place: Place):
    ann, bob = place.people(2)
    sockets = [ann.start(place.gateway) for _ in range(2)]
    other = bob.start(place.gateway)
    place.chat.writer.call(EndSession(ann.session))
    assert [socket.close_code() for socket in sockets] == [4001, 4001]
    other.settle()
    late = ann.connect(place.gateway)
    late.ask_start()
    assert late.close_code() == 4001


def test_a_session_that_ended_without_a_notice_is_found(place: Place):
    ann, _ = place.people(2)
    socket = ann.start(place.gateway)
    with place.chat.silence():
        place.chat.writer.call(DeactivateUser(ann.id, ann.id))
    assert socket.close_code() == 4001


def test_a_read_marker_comes_to_the_users_other_sockets(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    sockets = [bob.start(place.gateway) for _ in range(2)]
    last = ann.say(room)
    place.chat.writer.call(MarkRead(bob.id, room, last, False))
    for socket in sockets:
        socket.events(room, last, last)
        read = socket.next("read", channel=room, last_read=last, unread=0, mentions=0)
        assert read["rev"] >= 1


def test_typing_is_told_to_the_others_only_and_not_too_often(place: Place):
    ann, bob, eve = place.people(3)
    room = place.chat.channel(ann, bob)
    a, b, e = (user.start(place.gateway) for user in (ann, bob, eve))
    for _ in range(5):
        a.send({"type": "typing", "channel": room})
    assert b.next("typing") == {"type": "typing", "channel": room, "user": ann.id}
    for socket in (a, b, e):
        socket.settle()
    e.send({"type": "typing", "channel": room})
    e.next("error", code="not_member")


def test_presence_is_told_of_who_is_watched(place: Place):
    ann, bob, eve = place.people(3)
    watcher = ann.start(place.gateway)
    watcher.send({"type": "watch", "users": [bob.id]})
    watcher.next("presence", users={str(bob.id): "offline"})
    socket = bob.start(place.gateway)
    eve.start(place.gateway)
    watcher.next("presence", users={str(bob.id): "online"})
    socket.send({"type": "state", "state": "away"})
    watcher.next("presence", users={str(bob.id): "away"})
    socket.send({"type": "state", "state": "active"})
    watcher.next("presence", users={str(bob.id): "online"})
    socket.close()
    watcher.next("presence", users={str(bob.id): "offline"})


def test_a_drain_sends_clients_away_and_ends_with_0(tmp_path):
    with rig(tmp_path, drain="5s") as chat:
        gateway = chat.gateway()
        ann = chat.user("ann")
        socket, stays = ann.start(gateway), ann.start(gateway)
        chat.redis.client.publish("hp:ctl:g1", json.dumps({"drain": True}))
        assert 0 <= socket.next("reconnect")["after_ms"] <= 5000
        socket.close()
        assert refused(gateway, f"/ws?ticket={ann.ticket()}") == 503
        assert chat.report().draining
        assert stays.close_code() == 1012
        assert gateway.wait() == 0


def test_two_gateways_tell_each_other_who_is_online(chat: Rig):
    first, second = chat.gateway("g1"), chat.gateway("g2")
    ann, bob = chat.user("ann"), chat.user("bob")
    room = chat.channel(ann, bob)
    watcher = ann.start(first)
    watcher.send({"type": "watch", "users": [bob.id]})
    watcher.next("presence", users={str(bob.id): "offline"})
    socket = bob.start(second, "g2")
    watcher.next("presence", users={str(bob.id): "online"})
    seq = bob.say(room)
    watcher.events(room, seq, seq)
    socket.events(room, seq, seq)
    wait_for(lambda: chat.redis.client.pubsub_numsub(f"hp:c:{room}")[0][1] == 2, "both to hear")
    socket.send({"type": "typing", "channel": room})
    watcher.next("typing", user=bob.id)
    second.kill()
    watcher.next("presence", users={str(bob.id): "offline"})

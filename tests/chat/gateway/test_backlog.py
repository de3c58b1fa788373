"""What a client has missed, when much happened meanwhile, to itself too."""
from __future__ import annotations

from tests.chat.gateway.rig import Place


def test_who_resumes_over_a_kick_and_a_return_sees_both(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    ann.leave(room, bob)                # 3
    ann.say(room, "secret")             # 4
    seq = bob.join(room)                # 5
    last = ann.say(room)
    socket = bob.start(place.gateway, since={room: 2})
    assert socket.ready["channels"] == [{"id": room, "head": last, "status": "resumed", "from": 3}]
    socket.events(room, 3, 3)
    socket.next("channel.removed", channel=room)
    socket.next("channel.added", channel=room, **{"from": seq})
    socket.events(room, seq, last)
    last = ann.say(room)
    socket.events(room, last, last)


def test_who_resumes_over_many_pages_and_is_kicked_gets_nothing_behind_it(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    host = ann.start(place.gateway)
    last = 2
    for _ in range(290):
        last = ann.say(room, "x" * 4000)
        host.events(room, last, last)
    socket = bob.connect(place.gateway)
    socket.ask_start({room: 2})
    ann.leave(room, bob)
    ann.say(room, "secret")
    ready = socket.next("ready")
    if ready["channels"]:
        socket.events(room, 3, last)
        (left,) = socket.events(room, last + 1, last + 1)
        assert left["kind"] == "member.left"
        socket.next("channel.removed", channel=room)
    socket.settle()
    host.events(room, last + 1, last + 2)


def test_who_reads_slowly_while_kicked_and_back_sees_it_all_in_order(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    host = ann.start(place.gateway)
    last = 2
    for _ in range(250):
        last = ann.say(room, "x" * 8000)
        host.events(room, last, last)
    socket = bob.start(place.gateway, since={room: 2})      # and more is under way than anybody buffers
    ann.leave(room, bob)
    ann.say(room, "secret")
    joined = bob.join(room)
    end = ann.say(room, "welcome")
    host.events(room, last + 1, end)
    socket.events(room, 3, last + 1)
    socket.next("channel.removed", channel=room)
    socket.next("channel.added", channel=room, **{"from": joined})
    socket.events(room, joined, end)
    end = ann.say(room)
    socket.events(room, end, end)

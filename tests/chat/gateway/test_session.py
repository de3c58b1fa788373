"""What a client may say, and what it is answered."""
from __future__ import annotations

import json

import pytest

from tests.chat.gateway.rig import Place
from tests.wsclient import BINARY, MASK, TEXT, frame_head, masked


def test_hello_says_who_and_where(place: Place):
    (ann,) = place.people(1)
    socket = ann.connect(place.gateway)
    assert socket.hello == {"type": "hello", "user": ann.id, "gateway": "g1",
                            "epoch": place.chat.database.epoch(), "ping_s": 600}


@pytest.mark.parametrize("frame", [b"{", b"", b"nonsense", b'{"type":"start"', b'{"type":"ping","id":NaN}',
                                   b"[" * 9000])
def test_what_is_not_json_is_4000(place: Place, frame: bytes):
    (ann,) = place.people(1)
    socket = ann.connect(place.gateway)
    socket.send(frame)
    assert socket.close_code() == 4000


def test_start_twice_is_4000(place: Place):
    (ann,) = place.people(1)
    socket = ann.start(place.gateway)
    socket.ask_start()
    assert socket.close_code() == 4000


def test_a_binary_frame_is_1003(place: Place):
    (ann,) = place.people(1)
    socket = ann.start(place.gateway)
    socket.client.send_frame(BINARY, b"{}")
    assert socket.close_code() == 1003


def test_a_frame_over_the_limit_is_1009(place: Place):
    (ann,) = place.people(1)
    socket = ann.start(place.gateway)
    socket.send(b" " * (place.chat.config.limits.frame + 1))
    assert socket.close_code() == 1009


@pytest.mark.parametrize("frame", [
    {"type": "dance"}, {"type": 1}, {"kind": "start"}, [], 1, None, "start",
    {"type": "typing"}, {"type": "typing", "channel": "1"}, {"type": "typing", "channel": 0},
    {"type": "typing", "channel": 2**70}, {"type": "typing", "channel": 999999},
    {"type": "watch", "users": [1] * 201}, {"type": "watch", "users": ["1"]}, {"type": "watch", "users": 1},
    {"type": "state", "state": "asleep"}, {"type": "ping", "id": "x"}, {"type": "ping"},
    {"type": "ping", "id": 1, "more": 2},
])
def test_what_is_not_understood_is_an_error_and_the_socket_stays(place: Place, frame: object):
    (ann,) = place.people(1)
    socket = ann.start(place.gateway)
    socket.send(frame)
    error = socket.next("error")
    assert error["code"]
    assert error["detail"]
    socket.settle()


@pytest.mark.parametrize("frame", [
    {"type": "start", "since": {"x": 1}}, {"type": "start", "since": {"1": -1}}, {"type": "start", "since": {"1": "1"}},
    {"type": "start", "since": [1]}, {"type": "start", "epoch": 1}, {"type": "start", "since": {" 1": 1}},
    {"type": "watch", "users": []},
])
def test_a_bad_start_is_an_error_and_a_good_one_may_follow(place: Place, frame: object):
    (ann,) = place.people(1)
    socket = ann.connect(place.gateway)
    socket.send(frame)
    socket.next("error")
    socket.settle()
    socket.start()


def test_a_client_need_not_wait_for_ready_before_it_goes_on(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    other = bob.start(place.gateway)
    socket = ann.connect(place.gateway)
    # One piece of bytes: the gateway has them all before it can have read what `start` needs.
    frames = ({"type": "start", "epoch": None, "since": {}}, {"type": "watch", "users": [bob.id]},
              {"type": "watch", "users": 1}, {"type": "typing", "channel": room})
    socket.client.send(b"".join(frame_head(TEXT, len(text)) + masked(text, MASK)
                                for text in (json.dumps(frame).encode() for frame in frames)))
    socket.next("ready")
    socket.next("presence", users={str(bob.id): "online"})
    socket.next("error", code="bad_field")
    other.next("typing", user=ann.id)
    socket.settle()


@pytest.mark.parametrize("frame", [b'{"type":"ping","id":1,"x":"\\ud800"}', b'{"type":"ping","id":1e999}'])
def test_json_that_nobody_can_read_is_an_error_and_the_socket_stays(place: Place, frame: bytes):
    (ann,) = place.people(1)
    socket = ann.start(place.gateway)
    socket.send(frame)
    socket.next("error", code="bad_field")
    socket.settle()


def test_a_flood_of_frames_is_4029(place: Place):
    (ann,) = place.people(1)
    socket = ann.start(place.gateway)
    text = b'{"type": "ping", "id": 1}'
    socket.client.send((frame_head(TEXT, len(text)) + masked(text, MASK)) * 100)    # at once: what is slow is no flood
    assert socket.close_code() == 4029


def test_no_start_is_4002(place: Place):
    (ann,) = place.people(1)
    socket = ann.connect(place.gateway)
    assert socket.close_code() == 4002

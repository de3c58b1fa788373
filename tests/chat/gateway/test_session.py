"""What a client may say, and what it is answered."""
from __future__ import annotations

import pytest

from tests.chat.gateway.rig import Place
from tests.wsclient import BINARY


def test_hello_says_who_and_where(place: Place):
    (ann,) = place.people(1)
    socket = ann.connect(place.gateway)
    assert socket.hello == {"type": "hello", "user": ann.id, "gateway": "g1",
                            "epoch": place.chat.database.epoch(), "ping_s": 25}


@pytest.mark.parametrize("frame", [b"{", b"", b"nonsense", b'{"type":"start"'])
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


def test_a_flood_of_frames_is_4029(place: Place):
    (ann,) = place.people(1)
    socket = ann.start(place.gateway)
    for n in range(100):
        socket.send({"type": "ping", "id": n})
    assert socket.close_code() == 4029


def test_no_start_is_4002(place: Place):
    (ann,) = place.people(1)
    socket = ann.connect(place.gateway)
    assert socket.close_code() == 4002

"""How a channel begins for who comes, and who came before."""
from __future__ import annotations

import pytest

from hotpath.chat.gateway.starts import where
from tests.chat.gateway.rig import Place


@pytest.mark.parametrize(("since", "head", "is_same", "status", "sent"), [
    (None, 7, True, "live", 7), (None, 0, True, "live", 0), (None, 7, False, "live", 7),
    (7, 7, True, "resumed", 7), (0, 7, True, "resumed", 0), (0, 10, True, "resumed", 0),
    (0, 11, True, "reset", 11), (8, 7, True, "reset", 7), (7, 7, False, "reset", 7), (0, 0, True, "resumed", 0)])
def test_where_a_channel_begins(since: int | None, head: int, is_same: bool, status: str, sent: int):
    assert where(since, head, is_same=is_same, resume_max=10) == (status, sent)


def test_what_was_missed_is_resumed(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    last = [ann.say(room, f"{n}") for n in range(10)][-1]
    for since in (0, 1, 5, last - 1, last):
        socket = bob.start(place.gateway, since={room: since, 999_999: 3})
        (told,) = socket.ready["channels"]
        assert told == {"id": room, "head": last, "status": "resumed", "from": since + 1}
        socket.events(room, since + 1, last)
        last = ann.say(room, "and live")
        socket.events(room, last, last)


def test_what_lies_behind_the_ring_comes_from_the_database(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    live = ann.start(place.gateway)
    last = [ann.say(room, f"{n}") for n in range(250)][-1]
    live.events(room, 3, last)
    socket = bob.start(place.gateway, since={room: 2})
    assert socket.ready["channels"][0]["status"] == "resumed"
    socket.events(room, 3, last)
    last = ann.say(room)
    socket.events(room, last, last)
    live.events(room, last, last)


@pytest.mark.parametrize(("since", "epoch"), [(9_999, "same"), (2, "another"), (2, None)])
def test_what_cannot_be_resumed_is_reset(place: Place, since: int, epoch: str | None):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    last = ann.say(room)
    socket = bob.start(place.gateway, since={room: since}, epoch=epoch)
    assert socket.ready["channels"] == [{"id": room, "head": last, "status": "reset", "from": last + 1}]
    last = ann.say(room)
    socket.events(room, last, last)


def test_too_far_behind_is_reset(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    last = [ann.say(room, f"{n}") for n in range(310)][-1]
    socket = bob.start(place.gateway, since={room: last - 301})
    assert socket.ready["channels"][0]["status"] == "reset"
    socket = bob.start(place.gateway, since={room: last - 300})
    assert socket.ready["channels"][0]["status"] == "resumed"
    socket.events(room, last - 299, last)

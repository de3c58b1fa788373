"""What Redis loses, doubles, swaps or holds back comes all the same: once, in order, soon."""
from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from hotpath.chat.store import Event, Notice
from hotpath.chat.topics import Kind, channel_topic, payload
from tests.chat.gateway.rig import Rig, Socket, User, rig
from tests.waiting import wait_for


class Scene:
    """Two people in a channel, each with a socket on one gateway. The head checks are rare: holes must be seen."""

    def __init__(self, chat: Rig) -> None:
        self.chat = chat
        self.gateway = chat.gateway()
        self.ann, self.bob = chat.user("ann"), chat.user("bob")
        self.room = chat.channel(self.ann, self.bob)
        self.sockets = [self.ann.start(self.gateway), self.bob.start(self.gateway)]
        self.seen = 2

    def comes(self, seq: int, sockets: list[Socket] | None = None) -> None:
        """All events up to `seq` come to everybody."""
        for socket in sockets or self.sockets:
            socket.events(self.room, self.seen + 1, seq)
        self.seen = seq

    def publish(self, seq: int, frame: bytes) -> None:
        self.chat.redis.client.publish(
            channel_topic(self.chat.config.redis.prefix, self.room),
            payload(frame, kind=Kind.EVENT, channel=self.room, seq=seq, actor=self.ann.id))


@pytest.fixture
def scene(tmp_path) -> Iterator[Scene]:
    with rig(tmp_path, head_check="60s", ring=16, ping="600s") as chat:
        yield Scene(chat)


@pytest.fixture
def checked(tmp_path) -> Iterator[Scene]:
    with rig(tmp_path, head_check="500ms", ring=16, ping="600s") as chat:
        yield Scene(chat)


def test_a_hole_is_filled_once_something_comes_behind_it(scene: Scene):
    with scene.chat.silence():
        scene.ann.say(scene.room, "lost")
    scene.comes(scene.ann.say(scene.room))


def test_a_hole_longer_than_the_ring_is_filled(scene: Scene):
    with scene.chat.silence():
        for n in range(500):
            scene.ann.say(scene.room, f"lost {n}")
    scene.comes(scene.ann.say(scene.room))
    scene.comes(scene.ann.say(scene.room))


def test_what_comes_twice_is_delivered_once(scene: Scene):
    scene.chat.disturb = lambda what: [*what, *what, *what]
    for n in range(20):
        scene.ann.say(scene.room, f"{n}")
    scene.comes(22)
    for socket in scene.sockets:
        socket.settle()


def test_what_comes_backwards_is_delivered_forwards(scene: Scene):
    kept: list[Event | Notice] = []
    scene.chat.disturb = lambda what: kept.extend(what) or []
    for n in range(12):
        scene.ann.say(scene.room, f"{n}")
    wait_for(lambda: len(kept) == 12, "all of them")
    scene.chat.publisher.publish(kept[::-1])
    scene.comes(14)


def test_an_event_far_ahead_that_the_database_does_not_know_changes_nothing(scene: Scene):
    scene.publish(1_000_000, b'{"type":"event","forged":true}')
    scene.comes(scene.ann.say(scene.room))
    for socket in scene.sockets:
        socket.settle()


def test_what_is_not_of_ours_disturbs_nobody(scene: Scene):
    client, prefix = scene.chat.redis.client, scene.chat.config.redis.prefix
    for topic in (channel_topic(prefix, scene.room), f"{prefix}u:{scene.ann.id}", f"{prefix}gw", f"{prefix}ctl:g1"):
        for data in (b"", b"{", b"[]", b'{"drain":"yes"}', b"\0" * 40, b"\1\1" + b"\0" * 60,
                     b'{"joined":{"channel":1}}'):
            client.publish(topic, data)
    scene.comes(scene.ann.say(scene.room))
    for socket in scene.sockets:
        socket.settle()


def test_the_last_event_whose_publish_is_lost_is_found_by_the_head_check(checked: Scene):
    with checked.chat.silence():
        seq = checked.ann.say(checked.room)
    checked.comes(seq)


def test_without_redis_messages_come_and_people_can_come(checked: Scene):
    checked.chat.redis.kill()
    checked.comes(checked.ann.say(checked.room))
    late = checked.bob.start(checked.gateway, since={checked.room: 2})
    late.events(checked.room, 3, 3)
    other = checked.chat.channel(checked.bob, checked.ann)
    assert checked.sockets[0].next("channel.added", channel=other)["from"] == 2
    checked.sockets[0].events(other, 2, 2)
    for socket in (checked.sockets[1], late):
        socket.next("channel.added", channel=other, **{"from": 1})
        socket.events(other, 1, 2)
    checked.comes(checked.ann.say(checked.room), [*checked.sockets, late])


def test_a_redis_that_comes_back_empty_is_told_everything_anew(checked: Scene):
    checked.chat.redis.kill()
    checked.comes(checked.ann.say(checked.room))
    checked.chat.redis.start()
    assert checked.chat.report().sockets == 2
    assert checked.chat.redis.client.smembers("hp:gws") == {b"g1"}
    checked.comes(checked.ann.say(checked.room))
    topics = {b"hp:gw", b"hp:ctl:g1", b"hp:c:%d" % checked.room, b"hp:u:%d" % checked.ann.id,
              b"hp:u:%d" % checked.bob.id}
    wait_for(lambda: {*checked.chat.redis.client.pubsub_channels()} == topics, "the topics")
    checked.comes(checked.ann.say(checked.room))


def test_a_cut_subscription_is_made_again(scene: Scene):
    def is_made() -> bool:
        return bool(scene.chat.redis.client.pubsub_numsub(f"hp:c:{scene.room}")[0][1])

    wait_for(is_made, "a subscription")
    for _ in range(3):
        assert scene.chat.redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1
        scene.comes(scene.ann.say(scene.room))
        wait_for(is_made, "a subscription")


def test_a_redis_that_is_stopped_is_left_and_found_again(checked: Scene):
    checked.chat.redis.signal(signal.SIGSTOP)
    seq = checked.ann.say(checked.room)
    checked.comes(seq)                        # once it is known to be silent
    checked.chat.redis.signal(signal.SIGCONT)
    wait_for(lambda: checked.chat.redis.client.pubsub_numsub(f"hp:c:{checked.room}")[0][1], "a subscription")
    checked.comes(checked.ann.say(checked.room))


def test_a_channel_that_nobody_here_needs_is_left(tmp_path):
    with rig(tmp_path, head_check="200ms") as chat:
        gateway = chat.gateway()
        ann = chat.user("ann")
        room = chat.channel(ann)
        socket = ann.start(gateway)
        topics = {b"hp:gw", b"hp:ctl:g1"}
        wait_for(lambda: {*chat.redis.client.pubsub_channels()} == topics | {b"hp:c:%d" % room, b"hp:u:%d" % ann.id},
                 "the topics")
        socket.close()
        wait_for(lambda: {*chat.redis.client.pubsub_channels()} == topics, "the topics to be left")
        socket = ann.start(gateway, since={room: 0})
        socket.events(room, 1, 1)
        seq = User.say(ann, room)
        socket.events(room, seq, seq)

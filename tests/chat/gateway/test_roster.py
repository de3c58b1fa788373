"""Joins, kicks, messages and reconnects at random, over a Redis that lies: O1 to O5 on each socket."""
from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from hotpath.chat.gateway.roster import after
from hotpath.chat.store import DeleteChannel, Event, Notice, Reader, Refused
from hotpath.core.serve.testing import Served
from tests.chat.gateway.rig import Place, Rig, Socket, User, rig

STEPS = 400
PEOPLE = 6
CHANNELS = 4


class Hostile:
    """What a Redis may do, and more often than it does."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._late: list[Event | Notice] = []

    def __call__(self, what: list[Event | Notice]) -> list[Event | Notice]:
        out: list[Event | Notice] = []
        for one in what:
            luck = self.random.random()
            if luck < 0.08:
                continue                        # lost
            if luck < 0.16:
                self._late.append(one)          # overtaken
                continue
            out += [one] * (2 if luck > 0.9 else 1)
            if self._late and self.random.random() < 0.3:
                out.append(self._late.pop(0))
        return out


class Follower:
    """A client that believes nothing: each frame must be what may come next."""

    def __init__(self, user: User, socket: Socket, logs: dict[int, list[dict[str, Any]]],
                 since: dict[int, int]) -> None:
        self.user, self.socket, self.logs = user, socket, logs
        self.is_ready = False
        self.next: dict[int, int] = {}              # of the channels it is in
        self.left: set[int] = set()                 # member.left came, channel.removed did not yet
        self.joining: dict[int, int] = {}           # channel.added came, the own member.joined did not yet
        self.since = since                          # as told in `start`, then as it came

    def take(self, frame: dict[str, Any]) -> None:
        """One more frame."""
        assert self.is_ready != (frame["type"] == "ready")
        match frame["type"]:
            case "ready":
                self.is_ready = True
                for told in frame["channels"]:
                    since = self.since.get(told["id"])
                    assert told["status"] == ("live" if since is None else "resumed"), (told, self.since)
                    assert told["from"] == (told["head"] if since is None else since) + 1
                    self.next[told["id"]] = told["from"]
            case "event":
                self._event(frame)
            case "channel.added":
                assert frame["channel"] not in self.next
                self.next[frame["channel"]] = self.joining[frame["channel"]] = frame["from"]
            case "channel.removed":
                self.left.remove(frame["channel"])
            case other:
                raise AssertionError(other)

    def _event(self, frame: dict[str, Any]) -> None:
        channel, seq = frame["channel"], frame["seq"]
        assert channel in self.next, f"not a member: {frame}"
        assert self.next[channel] == seq, f"awaited {self.next[channel]}: {frame}"
        self.logs[channel].append(frame)
        mine = frame["data"].get("user") == self.user.id
        if self.joining.pop(channel, None) is not None:
            assert frame["kind"] == "member.joined", frame
            assert mine
        self.next[channel] += 1
        self.since[channel] = seq
        if frame["kind"] == "member.left" and mine:
            del self.next[channel]
            self.left.add(channel)

    def follow(self, heads: dict[int, int]) -> None:
        """Until it has everything, and is where its user is a member."""
        while not self.is_ready or self.left or self.next != {id: head + 1 for id, head in heads.items()}:
            self.take(self.socket.read())

    def read_some(self) -> None:
        """What has come."""
        while not self.socket.is_silent(0.0):
            self.take(self.socket.read())


class Play:
    """People who do things at random."""

    def __init__(self, chat: Rig, gateways: list[Served], seed: int) -> None:
        self.chat, self.gateways = chat, gateways
        self.random = random.Random(seed)
        # Is a member everywhere and always: what has come to it, its gateway has.
        self.probe = chat.user(f"probe{seed}")
        self.users = [chat.user(f"u{seed}-{n}") for n in range(PEOPLE)]
        self.channels = [chat.channel(self.probe, *self.users[:n + 2], name=f"c{seed}-{n}")
                         for n in range(CHANNELS)]
        self.logs: dict[int, list[dict[str, Any]]] = {id: [] for id in self.channels}
        self.followers: list[Follower] = []
        self.texts = itertools.count()
        self.probes = [Follower(self.probe, self.probe.start(gateway, f"g{n}"), self.logs, {})
                       for n, gateway in enumerate(gateways, 1)]
        for probe in self.probes:
            probe.take(probe.socket.ready)

    def step(self) -> None:
        """One thing."""
        user, channel = self.random.choice(self.users), self.random.choice(self.channels)
        luck = self.random.random()
        with suppress(Refused):                     # who is not a member cannot speak
            if luck < 0.55:
                user.say(channel, f"text {next(self.texts)}")
            elif luck < 0.67:
                user.join(channel)
            elif luck < 0.79:
                user.leave(channel)
            elif luck < 0.92 and len(self.followers) < 25:
                self.connect(user, {})
            elif self.followers:
                self.reconnect(self.random.choice(self.followers))

    def connect(self, user: User, since: dict[int, int]) -> None:
        """One more socket, on any gateway."""
        n = self.random.randrange(len(self.gateways))
        socket = user.connect(self.gateways[n], f"g{n + 1}")
        socket.ask_start(since)
        self.followers.append(Follower(user, socket, self.logs, dict(since)))

    def reconnect(self, follower: Follower) -> None:
        """The same client with a new socket."""
        if self.random.random() < 0.7:
            follower.read_some()
        follower.socket.close()
        self.followers.remove(follower)
        self.connect(follower.user, follower.since if self.random.random() < 0.8 else {})

    def check(self) -> None:
        """Everybody has everything, as the database has it."""
        reader = Reader(self.chat.database)
        everybody = [*self.probes, *self.followers]
        members = reader.memberships([user.id for user in (self.probe, *self.users)])
        for follower in everybody:
            follower.follow({id: head for id, _, head in members[follower.user.id]})
            # Who is no member may yet be told of having been one.
            follower.socket.send({"type": "ping", "id": 1})
            for frame in iter(follower.socket.read, {"type": "pong", "id": 1}):
                follower.take(frame)
            follower.follow({id: head for id, _, head in members[follower.user.id]})
        for id in self.channels:
            rows = [json.loads(event.frame) for event in reader.event_frames(id, 0, 10_000)]
            for frame in self.logs[id]:
                assert frame == rows[frame["seq"] - 1]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def chat(request, tmp_path_factory) -> Iterator[Rig]:
    url = "sqlite" if request.param == "sqlite" else request.getfixturevalue("mariadb").new_url()
    with rig(tmp_path_factory.mktemp("chat"), database=url, ring=16, head_check="200ms", ping="600s", count=2) as made:
        yield made


@pytest.fixture(scope="module")
def gateways(chat: Rig) -> list[Served]:
    return [chat.gateway("g1"), chat.gateway("g2")]


@pytest.mark.parametrize("seed", range(4))
def test_each_socket_gets_each_event_once_in_order_and_nothing_else(chat: Rig, gateways: list[Served], seed: int):
    play = Play(chat, gateways, seed)
    chat.disturb = Hostile(seed)
    for _ in range(STEPS):
        play.step()
    chat.disturb = lambda what: what
    play.check()
    for follower in (*play.probes, *play.followers):
        follower.socket.close()


@pytest.mark.parametrize(("joined", "changes", "since"), [
    (None, [], None), (3, [], 3), (3, [(5, False)], None), (3, [(5, False), (7, True)], 7), (None, [(7, True)], 7)])
def test_what_passed_is_applied_to_what_was_read(
        joined: int | None, changes: list[tuple[int, bool]], since: int | None):
    assert after(joined, changes) == since


def test_who_joins_while_connected_is_told_and_gets_events_from_there(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann)
    ann.say(room)
    sockets = [bob.start(place.gateway) for _ in range(2)]
    assert sockets[0].ready["channels"] == []
    seq = bob.join(room)
    last = ann.say(room)
    for socket in sockets:
        socket.next("channel.added", channel=room, **{"from": seq})
        joined, _ = socket.events(room, seq, last)
        assert joined["kind"] == "member.joined"
        assert joined["data"]["user"] == bob.id


def test_who_joins_an_open_channel_is_told_and_gets_events_from_there(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann)
    host = ann.start(place.gateway)
    socket = bob.start(place.gateway)
    seq = bob.join(room)
    socket.next("channel.added", channel=room, **{"from": seq})
    socket.events(room, seq, seq)
    host.events(room, seq, seq)


def test_a_join_of_which_nobody_told_is_found(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann)
    socket = bob.start(place.gateway)
    with place.chat.silence():
        seq = bob.join(room)
    socket.next("channel.added", channel=room, **{"from": seq})
    socket.events(room, seq, seq)


def test_member_left_is_the_last(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    host = ann.start(place.gateway)
    sockets = [bob.start(place.gateway) for _ in range(2)]
    ann.leave(room, bob)
    last = ann.say(room)
    for socket in sockets:
        (left,) = socket.events(room, 3, 3)
        assert left["kind"] == "member.left"
        socket.next("channel.removed", channel=room)
        socket.settle()
    host.events(room, 3, last)
    again = bob.start(place.gateway, since={room: 3})
    assert again.ready["channels"] == []


def test_who_comes_back_gets_nothing_of_the_time_between(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    socket = bob.start(place.gateway)
    ann.leave(room, bob)
    ann.say(room, "secret")
    seq = bob.join(room)
    last = ann.say(room)
    socket.events(room, 3, 3)
    socket.next("channel.removed", channel=room)
    socket.next("channel.added", channel=room, **{"from": seq})
    socket.events(room, seq, last)


def test_a_deleted_channel_is_left_by_all(place: Place):
    ann, bob = place.people(2)
    room = place.chat.channel(ann, bob)
    socket = bob.start(place.gateway)
    place.chat.writer.call(DeleteChannel(ann.id, room))
    frames = socket.frames_until(lambda frame: frame["type"] == "channel.removed")
    assert frames[-2]["kind"] == "member.left"
    assert frames[-2]["data"]["user"] == bob.id
    socket.settle()

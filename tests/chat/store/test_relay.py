"""From the commit to Redis: in order, once while all is well, and sooner or later whatever was away or died."""
import json
import threading
from contextlib import contextmanager

import pytest

from hotpath.chat.store import (
    CreateSession,
    EndSession,
    Event,
    MarkRead,
    Notice,
    PostMessage,
    Refused,
)
from hotpath.chat.store.publisher import Publisher, wire
from hotpath.chat.store.relay import AGE_MS, Relay
from hotpath.chat.topics import HEAD, Flag, Kind
from tests.waiting import DEADLINE_S, wait_for

from .redises import listening, running_redis
from .worlds import Whole, World

PREFIX = "t:"


@pytest.fixture
def server():
    with running_redis() as it:
        yield it


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A Redis that is killed refuses at once; one that is slow is only slow."""
    monkeypatch.setattr("hotpath.chat.store.publisher.TIMEOUT_S", DEADLINE_S)


class Line:
    """A writer that publishes for real."""

    def __init__(self, database, url: str) -> None:
        self.world = World(database)
        self.publisher = Publisher(lambda: url, PREFIX, published=lambda done: self.writer.marks.published(done))
        self.writer = self.world.writer = Whole(database, publish=self.publish, wall_ms=lambda: self.world.now_ms)
        self.relay = Relay(database, self.writer, lambda: url, PREFIX, wall_ms=lambda: self.world.now_ms, every_s=0.01)

    def publish(self, batch) -> None:
        self.world.published += batch
        self.publisher.publish(batch)

    def unpublished(self) -> int:
        return self.world.all("SELECT SUM(last_seq - published_seq) FROM channels")[0][0]


@contextmanager
def running(database, url: str):
    line = Line(database, url)
    line.publisher.start()
    line.writer.start()
    try:
        yield line
    finally:
        line.writer.stop()
        line.publisher.stop()


def events_in(heard) -> list[tuple[int, int, bytes]]:
    """(channel, seq, frame) of the events."""
    return [(head[3], head[4], data[HEAD.size:]) for topic, data in heard if ":c:" in topic
            for head in [HEAD.unpack_from(data)]]


def test_what_is_published_is_what_was_committed_in_its_order(database, server):
    with running(database, server.url) as line, listening(server.url) as listener:
        world = line.world
        ann, ben = world.user("ann"), world.user("ben")
        channel, other = world.channel(ann, ben), world.channel(ann)
        for n in range(100):
            world.post(ann, (channel, other)[n % 2], f"text {n}")
        world.do(MarkRead(ben, channel, 5))
        wait_for(lambda: len(listener.listen()) >= len(world.published), "all of it")
        assert listener.heard == [wire(PREFIX, what) for what in world.published]
        assert listener.heard[-1][0] == f"t:u:{ben}"
        assert json.loads(listener.heard[-1][1])["read"]["last_read"] == 5
        # No transaction comes along: the marks make one of their own.
        wait_for(lambda: line.unpublished() == 0, "the marks to be stored")


def test_the_head_says_who_came_and_went():
    joined = Event(7, 2, "member.joined", 3, b"{}", subject=4, joined=True)
    left = Event(7, 3, "member.left", 4, b"{}", subject=4, left=True)
    plain = Event(7, 4, "message", 3, b"{}")
    assert [HEAD.unpack_from(wire("p:", event)[1]) for event in (joined, left, plain)] == [
        (1, Kind.EVENT, Flag.JOINED, 7, 2, 3, 4), (1, Kind.EVENT, Flag.LEFT, 7, 3, 4, 4),
        (1, Kind.EVENT, 0, 7, 4, 3, 0)]
    assert wire("p:", joined)[0] == "p:c:7"
    assert wire("p:", Notice(5, {"session_over": 1})) == ("p:u:5", b'{"session_over":1}')


def test_a_logout_is_told(database, server):
    with running(database, server.url) as line, listening(server.url) as listener:
        ann = line.world.user("ann")
        session = line.world.do(CreateSession(ann, b"a" * 32, 2**45))
        line.world.do(EndSession(session))
        wait_for(listener.listen, "the notice")
        assert listener.heard == [(f"t:u:{ann}", json.dumps({"session_over": session}, separators=(",", ":")).encode())]


def test_without_redis_messages_are_stored_and_later_relayed(database, server):
    with running(database, server.url) as line:
        world = line.world
        ann = world.user("ann")
        channel = world.channel(ann)
        wait_for(lambda: line.unpublished() == 0, "the beginning to be published")
        server.kill()
        for n in range(50):
            world.post(ann, channel, f"text {n}")
        wait_for(lambda: line.publisher.n_dropped >= 50, "the publisher to give up")
        assert line.unpublished() == 50
        line.relay.start()
        server.start()
        with listening(server.url) as listener:
            assert line.unpublished() == 50     # they are too young
            world.now_ms += AGE_MS
            wait_for(lambda: line.unpublished() == 0, "the relay")
            wait_for(lambda: len(listener.listen()) >= 50, "the events")
            assert events_in(listener.heard) == [(event.channel, event.seq, event.frame)
                                                 for event in world.events[-50:]]
            # A moment after Redis the publisher is back; what it drops until then is the relay's again.
            wait_for(lambda: world.post(ann, channel) and len(listener.listen()) >= 51, "the publisher to be back")
            world.now_ms += AGE_MS
            wait_for(lambda: line.unpublished() == 0, "the rest")
        line.relay.stop()


def test_what_a_crash_left_is_relayed_in_portions(database, server):
    dead = World(database)
    dead.writer.start()         # it publishes to nobody, as one that died behind each commit
    ann = dead.user("ann")
    channels = [dead.channel(ann) for _ in range(3)]
    for some in (range(600), range(600, 1200)):
        dead.together(*(PostMessage(ann, channels[n % 3], f"n{n}", f"text {n}") for n in some))
    dead.writer.stop()
    with running(database, server.url) as line, listening(server.url) as listener:
        line.world.now_ms = dead.now_ms + AGE_MS
        line.relay.start()
        wait_for(lambda: line.unpublished() == 0, "the relay")
        wait_for(lambda: len(listener.listen()) >= 1203, "the events")
        assert sorted(events_in(listener.heard)) == sorted((e.channel, e.seq, e.frame) for e in dead.events)
        line.relay.stop()
        assert line.relay.n_relayed == 1203


def test_of_two_relays_one_works_until_it_dies(database, server, monkeypatch):
    monkeypatch.setattr("hotpath.chat.store.relay.TTL_MS", ttl_ms := 600_000)   # half of it is real time
    dead = World(database)
    dead.writer.start()
    ann = dead.user("ann")
    channel = dead.channel(ann)
    with running(database, server.url) as one, running(database, server.url) as other:
        now_ms = dead.now_ms + AGE_MS
        one.world.now_ms = other.world.now_ms = now_ms
        assert (one.relay.step(), other.relay.step()) == (1, 0)
        dead.post(ann, channel)
        assert (other.relay.step(), one.relay.step()) == (0, 1)
        dead.post(ann, channel)
        other.world.now_ms += ttl_ms + 1        # the first is silent for that long
        assert other.relay.step() == 1
        dead.post(ann, channel)
        with pytest.raises(Refused):
            one.relay.step()                    # it thinks that it holds the lease, and publishes; but marks nothing
        assert one.unpublished() == 1
        assert other.relay.step() == 1
        assert one.unpublished() == 0
    dead.writer.stop()


def test_what_there_is_no_room_for_is_dropped(database):
    publisher = Publisher(lambda: "redis://127.0.0.1:1/0", PREFIX, queue=10)
    publisher.publish([Notice(1, {"n": n}) for n in range(25)])
    assert publisher.n_dropped == 15
    publisher.start()
    wait_for(lambda: publisher.n_dropped == 25, "the rest to be dropped")
    publisher.publish([Notice(1, {})])
    wait_for(lambda: publisher.n_dropped == 26, "one more")
    publisher.stop()
    assert not publisher.is_up


def test_a_slow_redis_does_not_hold_the_writer_up(database, server):
    with running(database, server.url) as line:
        ann = line.world.user("ann")
        channel = line.world.channel(ann)
        with listening(server.url) as listener:
            server_client = listener._client
            server_client.execute_command("CLIENT", "PAUSE", "1000", "ALL")
            done = threading.Event()
            threading.Thread(target=lambda: (line.world.post(ann, channel), done.set())).start()
            assert done.wait(DEADLINE_S)
            wait_for(lambda: any(seq == 2 for _, seq, _ in events_in(listener.listen())), "the event, later")

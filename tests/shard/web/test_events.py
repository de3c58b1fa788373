"""Events: something is said at once, twice a second while rows move, and nothing at all once the router drains."""
from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import h11
import pytest

from hotpath.shard.web import events
from tests.clients import Client, fetch, request_bytes
from tests.shard.web.standin import StandIn, standing_in
from tests.waiting import wait_for

E = "/v1/cluster/events"
JSON = [("Content-Type", "application/json")]


def blocks_of(client: Client) -> Iterator[tuple[str, str]]:
    """(event, data) of each block of the stream, a comment as ("", its text)."""
    text = ""
    for event in client.events():
        if isinstance(event, h11.Response):
            assert event.status_code == 200
            fields = {name.decode(): value.decode() for name, value in event.headers}
            assert fields["content-type"] == "text/event-stream"
            assert fields["cache-control"] == "no-store"
        if isinstance(event, h11.Data):
            text += bytes(event.data).decode()
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
            yield fields.get("event", ""), fields.get("data", block)


def statuses_of(client: Client) -> Iterator[dict]:
    return (json.loads(data) for event, data in blocks_of(client) if event == "status")


def begin(node: StandIn) -> None:
    node.begin("add", "s3")


@pytest.fixture
def moving():
    with standing_in(prepare=begin) as served:
        yield served


def watch(address: str) -> Client:
    client = Client(address, patience_s=20)
    client.send(request_bytes("GET", E))
    return client


def test_the_first_event_is_the_whole_cluster():
    with standing_in() as served, watch(served.address) as client:
        told = next(statuses_of(client))
        assert told == fetch(served.address, "/v1/cluster").json()
        assert told["state"] == "stable"


def test_while_rows_move_it_is_said_again_and_again(moving):
    with watch(moving.address) as client:
        statuses = statuses_of(client)
        began_s = time.monotonic()
        for _ in range(7):
            assert next(statuses)["reshard"]["state"] == "copying"
        # At least two in a second: six pauses, however the machine stalls, are not more than asked for by much.
        assert time.monotonic() - began_s < 20
        assert events.MOVING_S < 0.5


def test_while_a_dead_shard_is_waited_for_what_is_known_is_said_again():
    def slow(node: StandIn) -> None:
        node.begin("add", "s3")
        node.status_s = 1.5

    with standing_in(prepare=slow) as served, watch(served.address) as client:
        statuses = statuses_of(client)
        first = next(statuses)
        began_s = time.monotonic()
        assert next(statuses) == first
        assert next(statuses) == first
        assert time.monotonic() - began_s < 20


def test_a_change_is_said_and_what_is_the_same_is_not():
    with standing_in() as served, watch(served.address) as client:
        statuses = statuses_of(client)
        assert next(statuses)["state"] == "stable"
        fetch(served.address, "/v1/cluster/shards", "POST", JSON, b'{"name": "s3"}')
        assert next(statuses)["state"] == "moving"


def test_a_meta_database_that_is_down_is_told_and_the_stream_goes_on():
    def fail(node: StandIn) -> None:
        node.is_down = True

    with standing_in(prepare=fail) as served, watch(served.address) as client:
        blocks = blocks_of(client)
        event, data = next(block for block in blocks if block[0])
        assert (event, json.loads(data)["status"]) == ("problem", 503)


def test_an_idle_stream_says_that_it_is_there(monkeypatch):
    monkeypatch.setattr(events.Feed.__init__, "__kwdefaults__", {"keep_alive_s": 0.05})
    with standing_in() as served, watch(served.address) as client:
        assert next(data for event, data in blocks_of(client) if "still" in data) == ": still here"


def test_a_head_has_no_events():
    with standing_in() as served:
        answer = fetch(served.address, E, "HEAD")
        assert (answer.status, answer.body, answer.value("content-type")) == (200, b"", "text/event-stream")


def test_nobody_is_served_beyond_the_bound(monkeypatch):
    monkeypatch.setattr(events, "MAX_WATCHERS", 2)
    with standing_in() as served:
        watching = [watch(served.address) for _ in range(2)]
        for client in watching:
            next(statuses_of(client))
        answer = fetch(served.address, E)
        assert (answer.status, answer.value("retry-after")) == (503, "5")
        watching.pop().close()
        def has_room() -> bool:
            with watch(served.address) as client:
                return next(client.events()).status_code == 200
        wait_for(has_room, "the place of who has gone to be free")
        watching.pop().close()


def test_a_drain_ends_every_stream(moving):
    with watch(moving.address) as client:
        statuses = statuses_of(client)
        next(statuses)
        moving.signal(signal.SIGTERM)
        for _ in statuses:
            pass
        assert moving.wait() == 0


def test_watchers_share_one_look():
    def count(node: StandIn) -> None:
        told = node.status

        def status():
            os.write(2, b"looked\n")
            return told()

        node.status = status

    with standing_in(prepare=count) as served:
        clients = [watch(served.address) for _ in range(8)]
        for client in clients:
            next(statuses_of(client))
        assert served.output().count("looked") <= 3
        for client in clients:
            client.close()
        for _ in range(5):
            fetch(served.address, "/healthz")

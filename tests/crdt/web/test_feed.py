from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from hotpath.core.serve import Router
from hotpath.core.serve.testing import serving as serving_app
from hotpath.crdt.changes import Changes
from hotpath.crdt.web.feed import MAX_WAIT_S, Feed, wait_of
from tests.clients import Client, fetch, request_bytes
from tests.crdt.replicas import OCTETS, Process, Worker, serving
from tests.waiting import wait_for

KEEP = 50


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with serving(tmp_path_factory.mktemp("feed"), config=f"changes: {{keep: {KEEP}}}") as process:
        yield process


@dataclass
class Event:
    """One server-sent event, or what stands in its place."""

    id: str = ""
    event: str = ""
    data: str = ""
    retry: str = ""
    comment: str = ""


class Stream:
    """A client of the stream."""

    def __init__(self, address: str, target: str = "/changes", *fields: tuple[str, str]) -> None:
        self.client = Client(address, patience_s=30)
        self.client.send(request_bytes("GET", target, [("Accept", "text/event-stream"), *fields]))
        self._pieces = self.client.events()
        head = next(self._pieces)
        self.status = head.status_code                                              # type: ignore[union-attr]
        self.fields = {k.decode(): v.decode() for k, v in head.headers}             # type: ignore[union-attr]
        self._text = ""
        self.ended = False

    def next(self) -> Event:
        """The next block, whatever it holds."""
        while "\n\n" not in self._text:
            self._text += bytes(next(self._pieces).data).decode()                   # type: ignore[union-attr]
        block, _, self._text = self._text.partition("\n\n")
        event = Event()
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            setattr(event, name or "comment", value.removeprefix(" "))
        return event

    def end(self) -> list[object]:
        """What still comes, up to the end."""
        return [piece for piece in self._pieces if hasattr(piece, "data")]


@contextmanager
def stream(replica: Process, target: str = "/changes", *fields: tuple[str, str]) -> Iterator[Stream]:
    opened = Stream(replica.address, target, *fields)
    try:
        yield opened
    finally:
        opened.client.close()


def put(replica: Process, key: str, value: object = 1) -> str:
    answer = replica.put(f"/kv/{key}?upsert=true", json.dumps(value).encode())
    assert answer.status in (200, 201)
    return str(answer.value("lww-stamp"))


def now(replica: Process) -> str:
    return str(replica.get("/changes").json()["next"])


# Long polls.

def test_a_poll_shows_what_changed_behind_its_cursor(replica):
    start = now(replica)
    first = put(replica, "a", {"x": 1})
    replica.put("/kv/b?upsert=true", b"\xff", kind=OCTETS)
    gone = replica.ask("DELETE", "/kv/a").value("lww-stamp")
    said = replica.get(f"/changes?since={start}").json()
    assert said["changes"][0] == {"key": "a", "op": "put", "stamp": first, "value": {"x": 1}}
    assert (said["changes"][1]["key"], said["changes"][1]["value_b64"]) == ("b", "/w==")
    assert said["changes"][2] == {"key": "a", "op": "remove", "stamp": gone}
    assert replica.get(f"/changes?since={said['next']}").json() == {"changes": [], "next": said["next"]}


def test_a_poll_without_a_cursor_begins_now(replica):
    put(replica, "a")
    said = replica.get("/changes").json()
    assert said["changes"] == []
    put(replica, "b")
    assert [change["key"] for change in replica.get(f"/changes?since={said['next']}").json()["changes"]] == ["b"]


def test_a_limited_poll_goes_on_where_it_stopped(replica):
    cursor = now(replica)
    for n in range(5):
        put(replica, f"k{n}")
    seen = []
    while changes := (said := replica.get(f"/changes?since={cursor}&limit=2").json())["changes"]:
        assert len(changes) <= 2
        seen += [change["key"] for change in changes]
        cursor = said["next"]
    assert seen == [f"k{n}" for n in range(5)]


def test_a_poll_waits_for_the_next_change(replica):
    cursor = now(replica)
    poll = Worker(replica.get, f"/changes?since={cursor}&wait=30")
    put(replica, "late")
    assert [change["key"] for change in poll.result().json()["changes"]] == ["late"]


def test_a_poll_that_hears_nothing_ends_empty_with_its_cursor(replica):
    cursor = now(replica)
    assert replica.get(f"/changes?since={cursor}&wait=0.05").json() == {"changes": [], "next": cursor}


@pytest.mark.parametrize("cursor", ["0", "x", "00000000-0", "-", "%20"])
def test_a_cursor_that_is_gone_is_410_with_one_to_go_on(replica, cursor):
    answer = replica.get(f"/changes?since={cursor}")
    assert (answer.status, answer.value("content-type")) == (410, "application/problem+json")
    assert answer.json()["next"] == now(replica)


def test_a_cursor_that_is_too_old_is_410(replica):
    cursor = now(replica)
    for n in range(KEEP + 1):
        put(replica, f"k{n}")
    assert replica.get(f"/changes?since={cursor}").status == 410


def test_a_cursor_does_not_survive_the_process(tmp_path):
    with serving(tmp_path) as replica:
        put(replica, "a")
        cursor = now(replica)
        assert replica.served.stop() == 0
    with serving(tmp_path) as replica:
        assert replica.get(f"/changes?since={cursor}").status == 410


@pytest.mark.parametrize("wait", ["x", "-1", "", "1e3", "nan", "9999999"])
def test_another_wait_is_422(replica, wait):
    assert replica.get(f"/changes?wait={wait}").status == 422


def test_a_longer_wait_is_cut():
    assert wait_of({"wait": "999"}) == MAX_WAIT_S
    assert wait_of({"wait": "0.25"}) == 0.25
    assert wait_of({}) == 0


# Streams.

def test_a_stream_begins_with_where_it_is_and_tells_what_changes(replica):
    with stream(replica) as events:
        assert (events.status, events.fields["content-type"]) == (200, "text/event-stream")
        first = events.next()
        assert first.id == now(replica)
        assert int(first.retry) > 0
        stamp = put(replica, "a", "two\nlines")
        event = events.next()
        assert (event.event, json.loads(event.data)) == (
            "put", {"key": "a", "op": "put", "stamp": stamp, "value": "two\nlines"})
        assert event.id == now(replica)
        gone = replica.ask("DELETE", "/kv/a").value("lww-stamp")
        event = events.next()
        assert (event.event, json.loads(event.data)) == ("remove", {"key": "a", "op": "remove", "stamp": gone})


@pytest.mark.parametrize("how", ["last-event-id", "since"])
def test_a_stream_resumes_behind_the_last_event(replica, how):
    with stream(replica) as events:
        events.next()
        put(replica, "a")
        last = events.next().id
    put(replica, "b")
    put(replica, "c")
    target, fields = ("/changes", [("Last-Event-ID", last)]) if how == "last-event-id" else (
        f"/changes?since={last}", [])
    with stream(replica, target, *fields) as events:
        assert events.next().id == last
        assert [json.loads(events.next().data)["key"] for _ in range(2)] == ["b", "c"]


def test_a_stream_of_an_unknown_cursor_begins_with_a_reset(replica):
    with stream(replica, "/changes", ("Last-Event-ID", "00000000-7")) as events:
        events.next()
        event = events.next()
        assert (event.event, json.loads(event.data)) == ("reset", {"next": event.id})
        put(replica, "a")
        assert json.loads(events.next().data)["key"] == "a"


def test_a_reader_that_takes_nothing_gets_a_reset_and_goes_on(tmp_path):
    config = "changes: {keep: 10}\nlimits: {unsent: 16k}\ntimeouts: {send: 0}"
    with serving(tmp_path, config=config) as replica, stream(replica) as events:
        events.next()
        # Far more than two socket buffers and the server's own take, then one that tells that all is written.
        value = "x" * 500_000
        for n in range(40):
            put(replica, f"k{n}", value)
        kinds = []
        while not kinds or kinds[-1] != "reset":
            kinds.append(events.next().event)
        assert set(kinds) == {"put", "reset"}
        assert len(kinds) < 40
        put(replica, "last")
        while json.loads((event := events.next()).data).get("key") != "last":
            assert event.event in ("put", "reset")


def test_many_streams_see_the_same(replica):
    streams = [Stream(replica.address) for _ in range(20)]
    for events in streams:
        events.next()
    keys = [f"m{n}" for n in range(30)]
    threads = [threading.Thread(target=put, args=(replica, key)) for key in keys]
    for thread in threads:
        thread.start()
    seen = [[json.loads(events.next().data)["key"] for _ in keys] for events in streams]
    assert sorted(seen[0]) == sorted(keys)
    assert all(one == seen[0] for one in seen)
    for thread in threads:
        thread.join()
    for events in streams:
        events.client.close()


def test_a_watcher_that_goes_away_is_let_go(replica):
    def active(n: int) -> bool:
        return b'hotpath_connections{state="active"} %d\n' % n in replica.get("/metrics").body

    streams = [Stream(replica.address) for _ in range(5)]
    poller = Client(replica.address)
    poller.send(request_bytes("GET", f"/changes?since={now(replica)}&wait=40"))
    wait_for(lambda: active(7), "all to watch")
    for events in streams:
        events.client.close()
    poller.close()
    wait_for(lambda: active(1), "all to be let go")


def test_a_head_of_a_stream_does_not_stream(replica):
    answer = replica.ask("HEAD", "/changes", [("Accept", "text/event-stream")])
    assert (answer.status, answer.value("content-type")) == (200, "text/event-stream")


def test_an_idle_stream_says_that_it_is_there():
    app, changes = Router(), Changes(10)
    app.at_worker(lambda server: changes.open(server.loop))
    Feed(changes, keep_alive_s=0.01).routes(app)
    with serving_app(app) as served:
        events = Stream(served.address)
        events.next()
        assert [events.next().comment for _ in range(3)] == ["still here"] * 3
        events.client.close()
        assert fetch(served.address, "/healthz").status == 200


def test_a_drain_ends_streams_and_polls(tmp_path):
    with serving(tmp_path, config="timeouts: {drain: 30s}") as replica, stream(replica) as events:
        events.next()
        put(replica, "a")
        events.next()
        poll = Worker(replica.get, f"/changes?since={now(replica)}&wait=40")
        # The stream, the poll, and the question itself.
        wait_for(lambda: b'hotpath_connections{state="active"} 3\n' in replica.get("/metrics").body, "the poll to wait")
        replica.served.signal(15)
        assert events.end() == []
        assert poll.result().json()["changes"] == []
        assert replica.served.wait() == 0

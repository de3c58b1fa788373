"""Administration over HTTP: what is asked of the cluster, and what is refused before anything is asked."""
from __future__ import annotations

import json

import pytest

from hotpath.shard.schema import hash_of
from tests.clients import Answer, fetch
from tests.shard.web.standin import standing_in
from tests.shard.web.test_data import problem_of

JSON = [("Content-Type", "application/json")]
C = "/v1/cluster"


@pytest.fixture(scope="module")
def address():
    with standing_in() as served:
        yield served.address


@pytest.fixture
def ask(address):
    return asking(address)


def asking(address):
    def asked(method: str, target: str, body: object = None, fields: list[tuple[str, str]] | None = None) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return fetch(address, target, method, JSON if fields is None and data is not None else fields or [], data)

    return asked


@pytest.fixture
def fresh():
    with standing_in() as served:
        yield asking(served.address)


def test_the_cluster_is_told(ask):
    answer = ask("GET", C)
    assert (answer.status, answer.value("cache-control")) == (200, "no-store")
    told = answer.json()
    assert set(told) == {"cluster", "version", "backend", "fence", "state", "shards", "reshard", "routers"}
    assert told["reshard"] is None
    assert ask("GET", f"{C}?x=1").status == 400
    assert ask("HEAD", C).status == 200


def test_who_waits_for_a_thread_waits_in_the_pool(fresh):
    assert [shard["pool"]["waiting"] for shard in fresh("GET", C).json()["shards"]] == [0, 0, 0]


def test_a_meta_database_that_is_down_is_503():
    def fail(node):
        node.is_down = True

    with standing_in(prepare=fail) as served:
        told = problem_of(fetch(served.address, C), 503)
        assert told["shard"] == "meta"


def test_the_owner_of_a_key(ask):
    told = ask("GET", f"{C}/owner?table=posts&key=42").json()
    assert told["hash"] == f"{hash_of(42):016x}"
    assert told["slot"] == hash_of(42) >> 48
    assert told["key"] == 42
    assert ask("GET", f"{C}/owner?table=pages&key=a%2Fb+c").json()["key"] == "a/b c"
    assert ask("GET", f"{C}/owner?key=AA&table=blobs").status == 200


@pytest.mark.parametrize(("query", "status"), [
    ("", 400), ("?table=posts", 400), ("?key=1", 400), ("?table=posts&key=x", 400), ("?table=posts&key=1&x=1", 400),
    ("?table=posts&key=1&key=2", 400), ("?table=nothing&key=1", 404), ("?table=pages&key=%FF", 400),
    ("?table=posts&key=", 400)])
def test_a_question_that_is_none(ask, query, status):
    problem_of(ask("GET", f"{C}/owner{query}"), status)


def test_a_shard_is_added_and_steered(fresh):
    problem_of(fresh("GET", f"{C}/reshard"), 404)
    for action in ("pause", "resume", "complete", "cancel"):
        problem_of(fresh("POST", f"{C}/reshard/{action}"), 409)
    problem_of(fresh("POST", f"{C}/reshard/throttle", {"rate": 5}), 409)
    answer = fresh("POST", f"{C}/shards", {"name": "s3", "weight": 2, "rate": 500, "hold": True, "keep_source": True})
    assert (answer.status, answer.value("location")) == (202, f"{C}/reshard")
    told = answer.json()
    assert (told["shard"], told["hold"], told["rate"]["limit"]) == ("s3", True, 500)
    assert told["given"] == {"weight": 2.0, "keep_source": True}
    assert fresh("GET", f"{C}/reshard").json() == told
    assert fresh("GET", C).json()["state"] == "moving"
    assert fresh("POST", f"{C}/reshard/pause").json()["paused"] is True
    assert fresh("POST", f"{C}/reshard/resume", {}).json()["paused"] is False
    assert fresh("POST", f"{C}/reshard/throttle", {"rate": 0}).json()["rate"]["limit"] == 0
    assert fresh("POST", f"{C}/reshard/complete").json()["state"] == "completing"
    assert fresh("POST", f"{C}/reshard/cancel").json()["state"] == "cancelling"


@pytest.mark.parametrize(("body", "path"), [
    ('{"rate": 1' + 400 * "0" + "}", "rate"), ('{"rate": 1e10}', "rate"), ('{"\\ud800": 1, "rate": 1}', "\\ud800")])
def test_what_no_number_or_text_can_be_is_refused_and_can_be_said(fresh, body, path):
    fresh("POST", f"{C}/shards", {"name": "s3", "hold": True})
    answer = fresh("POST", f"{C}/reshard/throttle", body.encode())
    assert [one["path"] for one in problem_of(answer, 422)["errors"]] == [path]


def test_what_is_not_said_is_as_configured(fresh):
    told = fresh("POST", f"{C}/shards", {"name": "s3", "dsn": None, "rate": None}).json()
    assert (told["rate"]["limit"], told["hold"]) == (20000, False)


@pytest.mark.parametrize(("query", "rate", "hold"), [
    ("", 20000, False), ("?rate=0&hold=true", 0, True), ("?rate=12.5", 12.5, False)])
def test_a_shard_is_removed(fresh, query, rate, hold):
    answer = fresh("DELETE", f"{C}/shards/s1{query}")
    assert answer.status == 202
    told = answer.json()
    assert (told["kind"], told["shard"], told["rate"]["limit"], told["hold"]) == ("remove", "s1", rate, hold)


@pytest.mark.parametrize("query", [
    "rate=x", "rate=-1", "rate=", "rate=1&rate=2", "hold=1", "hold=", "force=true", "rate=nan", "rate=1e3",
    "hold=true&hold=true"])
def test_a_removal_with_a_bad_parameter_is_400(ask, query):
    problem_of(ask("DELETE", f"{C}/shards/s1?{query}"), 400)


@pytest.mark.parametrize(("body", "paths"), [
    ({}, {"name"}), ({"name": ""}, {"name"}), ({"name": "S3"}, {"name"}), ({"name": "meta"}, {"name"}),
    ({"name": "3s"}, {"name"}), ({"name": "s" * 32}, {"name"}), ({"name": 3}, {"name"}), ({"name": "s3\n"}, {"name"}),
    ({"name": "s3", "weight": 0}, {"weight"}), ({"name": "s3", "weight": "1"}, {"weight"}),
    ({"name": "s3", "weight": True}, {"weight"}), ({"name": "s3", "weight": 1001}, {"weight"}),
    ({"name": "s3", "weight": None}, {"weight"}),
    ({"name": "s3", "rate": -1}, {"rate"}), ({"name": "s3", "rate": "5/s"}, {"rate"}),
    ({"name": "s3", "hold": 1}, {"hold"}),
    ({"name": "s3", "keep_source": "no"}, {"keep_source"}), ({"name": "s3", "dsn": "mysql://a:b@h/d"}, {"dsn"}),
    ({"name": "s3", "force": True}, {"force"}), ({"nome": "s3", "rate": []}, {"nome", "name", "rate"}), ([], {""}),
    (None, {""}), ("s3", {""})])
def test_a_wish_that_breaks_the_rules_is_422_and_says_where(ask, body, paths):
    told = problem_of(ask("POST", f"{C}/shards", json.dumps(body).encode()), 422)
    assert {one["path"] for one in told["errors"]} == paths
    assert "allowed" in told["errors"][0]["message"] or body in ([], None, "s3")


def test_a_dsn_is_needed_with_backend_dsn_and_never_shown():
    text = "backend: dsn\nshards: [{name: s0, dsn: 'mysql://u:p@h/d'}]\n"
    with standing_in(text) as served:
        ask = asking(served.address)
        for dsn in (None, "", "x", "mysql://u:hunter2@h", "sqlite:x.db", 5):
            answer = ask("POST", f"{C}/shards", {"name": "s3", "dsn": dsn})
            assert [one["path"] for one in problem_of(answer, 422)["errors"]] == ["dsn"]
            assert b"hunter2" not in answer.body
        assert ask("POST", f"{C}/shards", {"name": "s3", "dsn": "mysql://u:p@h/d"}).status == 202


def test_what_is_refused_by_the_cluster_is_409(ask):
    problem_of(ask("POST", f"{C}/shards", {"name": "s0"}), 409)


@pytest.mark.parametrize(("method", "target", "body", "fields", "status"), [
    ("POST", "/shards", b"{", JSON, 400), ("POST", "/shards", b'{"name": "a", "name": "b"}', JSON, 400),
    ("POST", "/shards", b"{}", [], 415), ("POST", "/shards?x=1", b'{"name": "s3"}', JSON, 400),
    ("POST", "/shards", b'{"name": "' + b"x" * 70000 + b'"}', JSON, 413),
    ("POST", "/reshard/throttle", b"", [], 415), ("POST", "/reshard/throttle", b"{}", JSON, 422),
    ("POST", "/reshard/throttle", b'{"rate": "fast"}', JSON, 422),
    ("POST", "/reshard/throttle", b'{"rate": null}', JSON, 422),
    ("POST", "/reshard/throttle", b'{"rate": 1, "x": 2}', JSON, 422),
    ("POST", "/reshard/pause", b'{"x": 1}', JSON, 422),
    ("POST", "/reshard/pause", b"x", [("Content-Type", "text/plain")], 415),
    ("POST", "/reshard/pause?x=1", None, [], 400), ("POST", "/reshard/nothing", None, [], 404),
    ("GET", "/nothing", None, [], 404), ("GET", "/reshard?x=1", None, [], 400),
    ("GET", "/ring.svg?x=1", None, [], 400), ("GET", "/shards", None, [], 405), ("PUT", "/shards/s1", b"{}", JSON, 405),
    ("GET", "/reshard/pause", None, [], 405), ("DELETE", "", None, [], 405), ("POST", "/events", None, [], 405)])
def test_what_is_no_request_is_refused(ask, method, target, body, fields, status):
    answer = ask(method, f"{C}{target}", body, fields)
    problem_of(answer, status)
    assert (answer.value("allow") is not None) == (status == 405)

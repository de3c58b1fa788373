"""Any request: it is answered with a status that says who must act, it is never our mistake, and nothing leaks."""
from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients import Client
from tests.locking.web.servers import JSON, asked, problem_of

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
WORDS = st.sampled_from(["items", "lock", "counters", "increment", "scenarios", "lost-update", "study", "index.json",
                         "kit", "healthz", "metrics", "1", "2", "-1", "c", "a%2Fb", "%FF", "..", "%2e%2e", ""])
SEGMENTS = WORDS | st.text(max_size=4).map(lambda text: quote(text.encode(errors="replace"), safe=""))
PATHS = st.builds(
    lambda start, more: start + "".join(f"/{each}" for each in more),
    st.sampled_from(["", "/items", "/items/1", "/items/1/lock", "/items/2/lock", "/counters/c",
                     "/counters/c/increment"]),
    st.lists(SEGMENTS, max_size=2)).map(lambda path: path or "/")
QUERIES = st.lists(st.tuples(st.sampled_from(["policy", "%FF", ""]), SEGMENTS | st.just("atomic")), max_size=2).map(
    lambda pairs: "&".join("=".join(pair) for pair in pairs))
SCALARS = st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats() | st.text(max_size=5)
FIELDS = st.sampled_from(["title", "body", "owner", "ttl", "id", "version", "lock"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
                      max_leaves=8)
GOOD = st.fixed_dictionaries({"title": st.text(max_size=5), "body": st.text(max_size=5)}) | st.fixed_dictionaries(
    {"owner": st.text(max_size=5)}, optional={"ttl": st.floats()})
BODIES = st.none() | (VALUES | GOOD).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)
TYPES = st.sampled_from(["application/json", "text/plain", "", "application/json; charset=x", "application/x+json"])
CONDITIONS = st.lists(st.tuples(
    st.sampled_from(["If-Match", "If-None-Match", "Lock-Token"]),
    st.sampled_from(["*", '"v1"', 'W/"v1"', '"v2", "v3"', "v1", "1", "2", "x", "", '"'])), max_size=3)

ALLOWED = {200, 201, 204, 304, 400, 404, 405, 412, 413, 415, 422, 423, 428, 501}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(METHODS, PATHS, QUERIES, BODIES, TYPES, CONDITIONS)
def test_it_is_answered_and_never_our_mistake(small, method, path, query, body, kind, conditions):
    fields = [*([("Content-Type", kind)] if kind else []), *conditions]
    with Client(small.address) as client:
        answer = client.ask(method, f"{path}?{query}" if query else path, fields, body)
    assert answer.status in ALLOWED, (answer.status, answer.body)
    if answer.status >= 400 and method != "HEAD":
        told = problem_of(answer, answer.status)
        assert "Traceback" not in told["detail"]
    if answer.status == 405:
        assert answer.value("allow")
    if method == "HEAD":
        assert answer.body == b""


def test_and_nothing_of_it_was_logged_as_our_mistake(small):
    assert "handler failed" not in small.served.output()
    assert "Traceback" not in small.served.output()


@pytest.mark.parametrize("target", ["/items", "/items/{}"])
@pytest.mark.parametrize(("body", "status"), [
    (b"", 400), (b"{", 400), (b'{"title": "t", "body": "b"', 400), (b"\xff", 400), (b"[1", 400), (b'{"a": 1', 400),
    (b'{"title": "\xff", "body": ""}', 400), (b'{"title": "\\ud800", "body": ""}', 400), (b"[" * 100_000, 400),
    (b'{"title":' * 10_000, 400), (b"null", 422), (b"[]", 422), (b'"title"', 422), (b"1", 422), (b"{}", 422),
    (b'{"body": "b"}', 422), (b'{"title": "", "body": ""}', 422),
    (b'{"title": 1, "body": ""}', 422), (b'{"title": null, "body": ""}', 422), (b'{"title": "t", "body": 1}', 422),
    (b'{"title": "t", "body": null}', 422), (b'{"title": "t", "body": "", "version": 1}', 422),
    (b'{"title": "\\u0000", "body": ""}', 422), (b'{"title": "t", "body": "a\\u0000"}', 422),
    (b'{"title": "t", "body": ' + b"[" * 900 + b"]" * 900 + b"}", 422),
    (b'{"title": "t", "body": "' + b"b" * 65537 + b'"}', 422),
    (b'{"title": "t", "body": "' + b"b" * 1_000_000 + b'"}', 413),
])
def test_a_hostile_body_changes_nothing(small, target, body, status):
    item = small.item()
    method = "POST" if target == "/items" else "PUT"
    n = len(small.get("/items").json()["items"])
    with Client(small.address) as client:
        problem_of(client.ask(method, target.format(item.rpartition("/")[2]), [JSON, ("If-Match", "*")], body), status)
    assert small.get(item).json()["version"] == 1
    assert len(small.get("/items").json()["items"]) == n


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/xml", "application/jsonx", "multipart/mixed"])
def test_another_type_of_body_is_refused(small, kind):
    item = small.item()
    fields = [("Content-Type", kind)] if kind is not None else []
    with Client(small.address) as client:
        problem_of(client.ask("POST", "/items", fields, b'{"title": "t"}'), 415)
        problem_of(client.ask("PUT", item, [*fields, ("If-Match", "*")], b'{"title": "t", "body": ""}'), 415)


@pytest.mark.parametrize(("target", "methods"), [
    ("/items", "GET, HEAD, OPTIONS, POST"), ("/items/1", "DELETE, GET, HEAD, OPTIONS, PUT"),
    ("/items/1/lock", "DELETE, OPTIONS, POST, PUT"), ("/counters/c", "GET, HEAD, OPTIONS"),
    ("/counters/c/increment", "OPTIONS, POST"), ("/scenarios", "GET, HEAD, OPTIONS"),
    ("/scenarios/lost-update", "OPTIONS, POST"), ("/", "GET, HEAD, OPTIONS"), ("/healthz", "GET, HEAD, OPTIONS"),
    ("/study/index.json", "GET, HEAD, OPTIONS")])
def test_a_method_that_is_not_there_is_told_those_that_are(small, target, methods):
    answer = small.ask("PATCH", target)
    problem_of(answer, 405)
    assert ", ".join(sorted(answer.value("allow").replace(" ", "").split(","))) == methods


def test_what_is_shown_is_kept_by_no_cache(small):
    item = small.item()
    for answer in (small.get(item), small.get("/items"), small.get("/items/99"), small.get("/counters/c"),
                   small.put(item), small.get(item, ("If-None-Match", "*"))):
        assert answer.value("cache-control") == "no-store"


def test_two_requests_on_one_connection(small):
    with Client(small.address) as client:
        first = asked(client, "POST", "/items", {"title": "a"})
        second = asked(client, "GET", first.value("location"))
    assert first.json() == second.json()

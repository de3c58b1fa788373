"""Any request: it is answered with a status that says who must act, it is never our mistake, and nothing leaks."""
from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients import Client
from tests.shard.web.standin import standing_in

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
WORDS = st.sampled_from([
    "v1", "tables", "posts", "pages", "blobs", "kinds", "cluster", "owner", "shards", "reshard", "pause", "throttle",
    "ring.svg", "healthz", "metrics", "main.js", "s0", "1", "-1", "a%2Fb", "%00", "%FF", "..", "%2e%2e", ""])
SEGMENTS = WORDS | st.text(max_size=4).map(lambda text: quote(text.encode(errors="replace"), safe=""))
PATHS = st.builds(
    lambda start, more: start + "".join(f"/{each}" for each in more),
    st.sampled_from(["", "/v1/tables", "/v1/tables/posts", "/v1/tables/pages", "/v1/cluster", "/v1/cluster/reshard"]),
    st.lists(SEGMENTS, max_size=3)).map(lambda path: path or "/")
NAMES = st.sampled_from(["key", "limit", "cursor", "order", "fields", "aggregate", "where.likes", "where.id.gt",
                         "table", "rate", "hold", "where.", "where.x.y.z", "%FF", ""])
QUERIES = st.lists(st.tuples(NAMES, SEGMENTS), max_size=3).map(lambda pairs: "&".join("=".join(pair) for pair in pairs))
SCALARS = st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats() | st.text(max_size=5)
FIELDS = st.sampled_from(["id", "author", "likes", "note", "path", "body", "digest", "data", "doc", "x", "d", "at",
                          "$add", "name", "weight", "rate", "hold", "dsn"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
                      max_leaves=8)
BODIES = st.none() | VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)
TYPES = st.sampled_from(["application/json", "application/x-ndjson", "text/plain", "", "application/json; charset=x"])

ALLOWED = {200, 201, 202, 204, 304, 400, 403, 404, 405, 409, 413, 415, 422, 501, 503}


@pytest.fixture(scope="module")
def served():
    with standing_in() as served:
        yield served


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(METHODS, PATHS, QUERIES, BODIES, TYPES)
def test_it_is_answered_and_never_our_mistake(served, method, path, query, body, kind):
    fields = [("Content-Type", kind)] if kind else []
    with Client(served.address) as client:
        answer = client.ask(method, f"{path}?{query}" if query else path, fields, body)
    assert answer.status in ALLOWED, (answer.status, answer.body)
    if answer.status >= 400 and method != "HEAD":
        assert answer.value("content-type") == "application/problem+json"
        told = answer.json()
        assert told["status"] == answer.status
        assert told["detail"]
        assert (answer.status == 422) == ("errors" in told)
        assert (answer.status == 503) == ("outcome" in told)
    if answer.status == 405:
        assert answer.value("allow")
    if method == "HEAD":
        assert answer.body == b""


def test_and_nothing_of_it_was_logged_as_our_mistake(served):
    assert "handler failed" not in served.output()
    assert "Traceback" not in served.output()

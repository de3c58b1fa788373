"""Who may ask: whoever has the token, and no page but ours may change anything."""
from __future__ import annotations

import pytest

from tests.clients import Client, fetch
from tests.shard.web.standin import standing_in

JSON = ("Content-Type", "application/json")
T = "/v1/tables/posts"


@pytest.fixture(scope="module")
def locked():
    with standing_in(token="s3cret") as served:
        yield served.address


@pytest.fixture(scope="module")
def open_():
    with standing_in() as served:
        yield served.address


@pytest.mark.parametrize("fields", [
    [], [("Authorization", "Bearer wrong")], [("Authorization", "Basic s3cret")], [("Authorization", "s3cret")],
    [("Authorization", "Bearer s3cret2")], [("Authorization", "Bearer ")], [("Authorization", "Bearer \xe4")]])
@pytest.mark.parametrize("target", [T, f"{T}/1", "/v1/tables", "/v1/cluster", "/v1/cluster/events", "/metrics",
                                    "/v1/cluster/ring.svg", "/v1/tables/nothing"])
def test_without_the_token_nothing_is_told(locked, target, fields):
    answer = fetch(locked, target, fields=fields)
    assert answer.status == 401
    assert answer.value("www-authenticate").startswith("Bearer")
    assert answer.value("content-type") == "application/problem+json"


def test_with_the_token_all_is_served(locked):
    for scheme in ("Bearer", "bearer"):
        fields = [("Authorization", f"{scheme} s3cret")]
        assert fetch(locked, "/v1/cluster", fields=fields).status == 200
    assert fetch(locked, T, "POST", [*fields, JSON], b'{"author": "a"}').status == 201


def test_health_and_the_page_need_no_token(locked):
    for target in ("/healthz", "/", "/main.js", "/kit/theme.css"):
        assert fetch(locked, target).status == 200


@pytest.mark.parametrize(("method", "target", "body"), [
    ("POST", T, b'{"author": "a"}'), ("PUT", f"{T}/1", b'{"author": "a"}'), ("PATCH", f"{T}/1", b"{}"),
    ("DELETE", f"{T}/1", None), ("POST", "/v1/cluster/shards", b'{"name": "s9"}'),
    ("DELETE", "/v1/cluster/shards/s0", None), ("POST", "/v1/cluster/reshard/pause", None)])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "", "x"])
def test_a_foreign_page_changes_nothing(open_, method, target, body, origin):
    with Client(open_) as client:
        answer = client.ask(method, target, [("Origin", origin), JSON], body, host=open_)
    assert answer.status == 403
    assert answer.value("content-type") == "application/problem+json"


def test_our_page_may(open_):
    with Client(open_) as client:
        for scheme in ("http", "https"):
            answer = client.ask("POST", T, [("Origin", f"{scheme}://{open_}"), JSON], b'{"author": "a"}', host=open_)
            assert answer.status == 201


def test_a_foreign_page_may_read_as_any_browser_lets_it(open_):
    assert fetch(open_, "/v1/tables", fields=[("Origin", "http://evil.example")]).status == 200


def test_a_name_that_was_turned_to_us_is_foreign(open_):
    with Client(open_) as client:
        answer = client.ask("DELETE", f"{T}/1", [("Origin", "http://evil.example:80")], host="evil.example:80")
        assert answer.status == 403

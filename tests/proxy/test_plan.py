"""The configuration as tables: what cannot be seen in one request."""
from __future__ import annotations

import pytest

from hotpath.proxy.plan import BALANCES, FORWARDED, HEADERS, KEYS, METHODS, Plan
from hotpath.proxy.route import Table
from hotpath.proxy.state import State
from hotpath.proxy.syntax import BALANCES as BALANCE_WORDS
from hotpath.proxy.syntax import HASH_KEYS, LIMIT_KEYS
from tests.probing import config_of, head, probe


def test_every_word_of_the_schema_has_a_number() -> None:
    assert set(BALANCES) == {*BALANCE_WORDS, "hash"}
    assert {word.partition(":")[0] for word in (*HASH_KEYS, *LIMIT_KEYS)} == set(KEYS)
    assert set(FORWARDED) == {"off", "x-forwarded", "rfc7239", "both"}
    assert set(HEADERS) == {"rejected", "always", "never"}
    assert len(set(METHODS.values())) == len(METHODS)


def test_an_empty_config_is_a_plan() -> None:
    config = config_of({"routes": []})
    plan = Plan(config, State(config), 0)
    assert plan.config is config
    assert Table(plan).cache == {}
    assert probe({"routes": []}).request(head()).route is None


def test_a_thousand_routes_are_found() -> None:
    routes = [{"name": f"r{i}", "match": {"host": f"h{i % 50}.example", "prefix": f"/p{i}"}, "respond": {}}
              for i in range(1000)]
    worker = probe({"routes": routes})
    for i in range(0, 1000, 37):
        assert worker.request(head(f"/p{i}/x", host=f"h{i % 50}.example")).route == f"r{i}"
        assert worker.request(head(f"/p{i}/x", host=f"h{(i + 1) % 50}.example")).route is None


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "unix:/tmp/" + "s" * 97])
def test_servers_of_every_family_have_their_place(address: str) -> None:
    worker = probe({"upstreams": {"u": {"servers": [address]}}, "routes": [{"match": {}, "upstream": "u"}]})
    assert worker.request(head()).lease() == address


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_files_are_only_read_whatever_the_route_says(tmp_path: object, method: str) -> None:
    route = {"name": "files", "match": {"methods": ["POST"]}, "static": {"root": str(tmp_path)}}
    found = probe({"routes": [route]}).request(head(method=method))
    assert found.route == ("files" if method in ("GET", "HEAD") else None)


def test_a_plan_outlives_whoever_made_it() -> None:
    """Everything that the tables point at is kept by the Plan: nothing else holds these names."""
    worker = probe({
        "upstreams": {"u" * 60: {"servers": ["127.0.0.1:1"], "balance": "hash:header:" + "x" * 60}},
        "routes": [{"name": "r" * 60, "match": {"headers": {"x-a": {"regex": "^[a-f]+$"}}}, "upstream": "u" * 60}],
    })
    garbage = [bytes(64) for _ in range(10000)]
    request = worker.request(head("/", ("X-A", "abc")))
    assert (request.route, request.lease()) == ("r" * 60, "127.0.0.1:1")
    assert len(garbage) == 10000

"""Rate limits and concurrency of a route: who counts as one, what the answer says, what workers share."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.config import ConfigError
from tests.probing import NOW_US, config_of, fields_of, head, probe, probes, set_clock


def limited(limits: Mapping[str, Mapping[str, Any]], **given: Any) -> dict[str, Any]:
    route = {"name": "r", "match": {}, "respond": {}, "rate_limit": list(limits)}
    return {"rate_limits": dict(limits), "routes": [route], **given}


def rate_fields(answer: bytes) -> dict[str, str]:
    return {name: value for name, value in fields_of(answer) if name.startswith("ratelimit") or name == "retry-after"}


@pytest.mark.parametrize(("rate", "burst", "policy", "reset_s", "retry_s"), [
    ("10/s", 0, "q=1;w=1", 1, "1"),
    ("1/s", 4, "q=5;w=5", 1, "1"),
    ("30/m", 0, "q=1;w=2", 2, "2"),
    ("1/h", 1, "q=2;w=7200", 3600, "3600"),
    ("4/m", 2, "q=3;w=45", 15, "15"),
])
def test_a_refusal_tells_the_policy_and_when_to_come_back(
    rate: str, burst: int, policy: str, reset_s: int, retry_s: str
) -> None:
    worker = probe(limited({"slow": {"rate": rate, "burst": burst}}))
    assert [worker.request(head()).take() for _ in range(burst + 1)] == [None] * (burst + 1)
    refused = worker.request(head())
    retry_after_s = refused.take()
    assert retry_after_s is not None
    assert rate_fields(refused.problem(429, retry_after_us=round(retry_after_s * 1e6))) == {
        "ratelimit-policy": f'"slow";{policy}', "ratelimit": f'"slow";r=0;t={reset_s}', "retry-after": retry_s}


def test_seconds_are_rounded_up() -> None:
    worker = probe(limited({"l": {"rate": "1/s"}}))
    worker.request(head()).take()
    worker.now_us += 1
    refused = worker.request(head())
    assert refused.take() == 0.999999
    assert rate_fields(refused.problem(429, retry_after_us=999_999))["retry-after"] == "1"


@pytest.mark.parametrize(("headers", "passed", "refused"), [
    ("rejected", False, True), ("always", True, True), ("never", False, False)])
def test_fields_are_shown_as_asked(headers: str, passed: bool, refused: bool) -> None:
    worker = probe(limited({"l": {"rate": "1/m", "headers": headers}}))
    for shown in (passed, refused):
        request = worker.request(head())
        request.take()
        assert ("ratelimit" in rate_fields(request.problem(429))) == shown


def test_what_a_route_says_of_these_fields_counts() -> None:
    config = limited({"l": {"rate": "1/m", "headers": "always"}})
    config["routes"][0]["response_headers"] = {"set": {"RateLimit": "ours"}, "remove": ["RateLimit-Policy"]}
    request = probe(config).request(head())
    assert request.take() is None
    answer = request.reply()
    assert [field for field in fields_of(answer) if field[0].startswith("ratelimit")] == [("ratelimit", "ours")]


def test_of_several_limits_the_tightest_is_shown() -> None:
    limits = {"wide": {"rate": "1/m", "burst": 9}, "tight": {"rate": "1/m", "burst": 3}}
    worker = probe(limited({name: {**limit, "headers": "always"} for name, limit in limits.items()}))
    request = worker.request(head())
    assert request.take() is None
    assert rate_fields(request.reply())["ratelimit"] == '"tight";r=3;t=60'


def test_all_limits_of_a_route_must_agree() -> None:
    worker = probe(limited({"wide": {"rate": "1/m", "burst": 9}, "tight": {"rate": "1/m", "status": 503}}))
    assert worker.request(head()).take() is None
    refused = worker.request(head())
    assert refused.take() == 60
    assert rate_fields(refused.problem(503))["ratelimit"] == '"tight";r=0;t=60'


def test_a_dry_run_refuses_nobody() -> None:
    worker = probe(limited({"l": {"rate": "1/m", "dry_run": True}}))
    assert [worker.request(head()).take() for _ in range(5)] == [None] * 5


SAME = [
    ("client_ip", [], []),
    ("host", [], []),
    ("header:X-Key", [("X-Key", "k")], [("x-key", "k")]),
    ("cookie:id", [("Cookie", "id=k")], [("Cookie", "a=b; id=k")]),
    ("route", [], [("X", "y")]),
]
OTHER = [
    ("header:x-key", [("X-Key", "k")], [("X-Key", "K")]),
    ("header:x-key", [("X-Key", "k")], []),
    ("cookie:id", [("Cookie", "id=k")], [("Cookie", "id=k2")]),
    ("cookie:id", [("Cookie", "id=k")], [("Cookie", "xid=k; idx=k")]),
    (["header:x-a", "header:x-b"], [("X-A", "1"), ("X-B", "23")], [("X-A", "12"), ("X-B", "3")]),
]


@pytest.mark.parametrize(("key", "one", "other"), SAME)
def test_these_two_count_as_one(key: str, one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    worker = probe(limited({"l": {"rate": "1/m", "key": key}}))
    assert worker.request(head("/1", *one, host="a.example:81")).take() is None
    assert worker.request(head("/2", *other, host="A.EXAMPLE.:82")).take() is not None


@pytest.mark.parametrize(("key", "one", "other"), OTHER)
def test_these_two_do_not(key: str | list[str], one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    worker = probe(limited({"l": {"rate": "1/m", "key": key}}))
    assert worker.request(head("/", *one)).take() is None
    assert worker.request(head("/", *other)).take() is None


def test_a_request_without_the_key_is_not_limited() -> None:
    worker = probe(limited({"l": {"rate": "1/m", "key": ["client_ip", "header:x-key"]}}))
    assert [worker.request(head()).take() for _ in range(3)] == [None] * 3


def test_a_key_of_any_length_fits() -> None:
    names = [f"x-{i}" for i in range(16)]
    worker = probe(limited({"l": {"rate": "1/m", "key": [f"header:{name}" for name in names]}}))
    fields = [(name, "v" * 1500) for name in names]
    assert worker.request(head("/", *fields)).take() is None
    assert worker.request(head("/", *fields)).take() is not None
    with pytest.raises(ConfigError, match="17 entries"):
        config_of(limited({"l": {"rate": "1/m", "key": [f"header:x-{i}" for i in range(17)]}}))


@settings(deadline=None)
@given(
    burst=st.integers(0, 5),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4_000_000)), min_size=1, max_size=60),
)
def test_workers_together_let_through_what_one_bucket_would(burst: int, steps: list[tuple[int, int]]) -> None:
    workers = probes(limited({"l": {"rate": "1/s", "burst": burst}}, workers=4))
    now_us, arrival_us = NOW_US, NOW_US
    for worker, passed_us in steps:
        now_us += passed_us
        set_clock(workers, now_us)
        allowed = max(arrival_us, now_us) - now_us <= burst * 1_000_000
        arrival_us = max(arrival_us, now_us) + 1_000_000 if allowed else arrival_us
        assert (workers[worker].request(head()).take() is None) == allowed


def test_concurrency_counts_what_all_workers_have_under_way() -> None:
    first, second = probes({"workers": 2, "routes": [{"match": {}, "respond": {}, "concurrency": 2}]})
    held = [worker.request(head()) for worker in (first, second)]
    assert [each.enter() for each in held] == [True, True]
    refused = first.request(head())
    assert [refused.enter(), refused.enter()] == [False, False]     # a refusal counts nothing
    held[1].leave()
    assert refused.enter()

"""Answers of our own: framing right to the byte, an Allow with each method once, redirects that stay on the site."""
from __future__ import annotations

import json
from typing import Any

import pytest

from tests.probing import fields_of, head, probe


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("status", [400, 404, 408, 413, 417, 429, 431, 499, 501, 502, 503, 504, 505, 599])
def test_a_problem_is_json_of_the_length_it_says(status: int) -> None:
    answer = probe({}).request(head()).problem(status, b"what is wrong")
    fields = dict(fields_of(answer))
    assert int(fields["content-length"]) == len(body_of(answer))
    assert fields["content-type"] == "application/problem+json"
    problem = json.loads(body_of(answer))
    assert (problem["status"], problem["detail"], problem["type"]) == (status, "what is wrong", "about:blank")


def test_a_head_gets_the_head_alone() -> None:
    worker = probe({})
    one, other = (worker.request(head(method=method)).problem(404, b"x") for method in ("GET", "HEAD"))
    assert other == one[:-len(body_of(one))]


def test_retry_after_is_whole_seconds_and_at_least_one() -> None:
    request = probe({}).request(head())
    for us, seconds in ((1, "1"), (1_000_000, "1"), (1_000_001, "2")):
        assert dict(fields_of(request.problem(503, retry_after_us=us)))["retry-after"] == seconds
    assert "retry-after" not in dict(fields_of(request.problem(503)))


@pytest.mark.parametrize(("routes", "allow"), [
    ([["GET"]], "GET, HEAD"),
    ([["GET", "HEAD"], ["PUT", "GET"]], "GET, HEAD, PUT"),
    ([["PURGE"], ["DELETE", "PURGE"]], "PURGE, DELETE"),
    ([["HEAD"]], "HEAD"),
])
def test_allow_names_each_method_once(routes: list[list[str]], allow: str) -> None:
    given = [{"match": {"prefix": "/", "methods": methods}, "respond": {}} for methods in routes]
    request = probe({"routes": given}).request(head(method="POST"))
    assert request.route is None
    assert dict(fields_of(request.problem(405)))["allow"] == allow


@pytest.mark.parametrize(("to", "target", "location"), [
    ("https://x{path}", "/a/b", "https://x/a/b"),
    ("https://x{path}", "/a?q=1", "https://x/a?q=1"),
    ("https://x{path}?own", "/a?q=1", "https://x/a?own"),
    ("https://x{path}#part", "/a?q=1", "https://x/a?q=1#part"),
    ("https://x/?p={path}", "/a?q=1", "https://x/?p=/a"),
    ("/fixed", "/a?q=1", "/fixed"),
    ("/fixed#part", "/a?q=1", "/fixed#part"),
    ("/fixed#{path}", "/a?q=1", "/fixed?q=1#/a"),
    ("{path}/", "/a", "/a/"),
    ("{path}/", "//evil.example", "/evil.example/"),
    ("{path}/", "///evil.example/x?q", "/evil.example/x/?q"),
    ("/new{path}", "//x", "/new//x"),
    ("{path}", "/x/..//evil.example", "/evil.example"),
])
def test_where_a_redirect_leads(to: str, target: str, location: str) -> None:
    worker = probe({"routes": [{"match": {}, "redirect": {"to": to}}]})
    answer = worker.request(head(target)).reply()
    assert answer.startswith(b"HTTP/1.1 308 Permanent Redirect\r\n")
    fields = dict(fields_of(answer))
    assert (fields["location"], fields["content-length"]) == (location, "0")


SET, REMOVE = "set", "remove"
EDITS = pytest.mark.parametrize(("edit", "values"), [(SET, ["theirs"]), (REMOVE, [])])


def edited(edit: str, field: str) -> dict[str, Any]:
    return {edit: {field: "theirs"} if edit == SET else [field]}


def values_of(answer: bytes, field: str) -> list[str]:
    return [value for name, value in fields_of(answer) if name == field.lower()]


@EDITS
@pytest.mark.parametrize(("outcome", "field"), [
    ({"respond": {}}, "Date"), ({"respond": {"headers": {"date": "canned"}}}, "Date"),
    ({"redirect": {"to": "/x"}}, "Date"), ({"redirect": {"to": "/x"}}, "Location")])
def test_a_field_that_its_route_sets_or_removes_is_not_ours(
    outcome: dict[str, Any], field: str, edit: str, values: list[str]
) -> None:
    worker = probe({"routes": [{"match": {}, **outcome, "response_headers": edited(edit, field)}]})
    assert values_of(worker.request(head()).reply(), field) == values


@EDITS
@pytest.mark.parametrize("field", ["Date", "Retry-After"])
def test_nor_is_it_in_a_problem(field: str, edit: str, values: list[str]) -> None:
    worker = probe({"routes": [{"match": {}, "respond": {}, "response_headers": edited(edit, field)}]})
    assert values_of(worker.request(head()).problem(503, retry_after_us=1), field) == values


def test_a_canned_date_is_the_only_one() -> None:
    worker = probe({"routes": [{"match": {}, "respond": {"headers": {"DATE": "canned", "X-Other": "x"}}}]})
    assert values_of(worker.request(head()).reply(), "date") == ["canned"]


@pytest.mark.parametrize(("respond", "fields"), [
    ({"status": 200, "body": "hällo"}, {"content-length": "6", "content-type": "text/plain; charset=utf-8"}),
    ({"body": "x", "headers": {"content-type": "text/html"}}, {"content-length": "1", "content-type": "text/html"}),
    ({"status": 204}, {}),
    ({"status": 304}, {}),
    ({"status": 500}, {"content-length": "0"}),
])
def test_a_canned_answer_has_the_fields_it_needs(respond: dict[str, Any], fields: dict[str, str]) -> None:
    answer = probe({"routes": [{"match": {}, "respond": respond}]}).request(head()).reply()
    found = dict(fields_of(answer))
    assert found.pop("date")
    assert found == fields


@pytest.mark.parametrize(("host", "connection"), [("test", None), (None, "keep-alive")])
def test_http_1_0_is_told_that_its_connection_stays(host: str | None, connection: str | None) -> None:
    answer = probe({}).request(head(host=host)).reply()
    assert dict(fields_of(answer)).get("connection") == connection

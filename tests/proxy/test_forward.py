"""Heads as they leave, written without a socket: against a model of what passes, and byte for byte where it matters."""
from __future__ import annotations

import re

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.proxy.probe import Probe, Request
from tests.probing import fields_of, head, probe

SERVER = "127.0.0.1:9001"


def forwarding(**given: object) -> Probe:
    """A worker with one upstream; `given` goes to the route, or to where its name says."""
    config = {"upstreams": {"u": {"servers": [SERVER]}}, "trusted_proxies": ["10.0.0.0/8"]}
    at_top = {name: given.pop(name) for name in ("forwarded", "via") if name in given}
    return probe({**config, **at_top, "routes": [{"match": {}, "upstream": "u", **given}]})


def leased(worker: Probe, raw: bytes, peer: str = "203.0.113.1") -> Request:
    request = worker.request(raw, peer=peer)
    assert request.lease() == SERVER
    return request


def sent_up(
    worker: Probe, *fields: tuple[str, str], peer: str = "203.0.113.1", **options: str
) -> list[tuple[str, str]]:
    return fields_of(leased(worker, head("/", *fields, **options), peer).forwarded())


HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"}
SAFE_FROM_NOMINATION = {"authorization", "cookie"}
NAMES = st.sampled_from([
    "Accept", "X-Long-Name", "x-a", "X-B", "Cookie", "Authorization", "X_Under", "Keep-Alive", "Proxy-Connection", "TE",
    "Trailer", "X-Removed", "X-Set",
])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)
WORKER = forwarding(
    forwarded="off", via="off",
    request_headers={"remove": ["x-removed"], "set": {"X-Set": "ours"}, "add": {"X-A": "added"}})


@settings(deadline=None)
@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=10), nominated=st.lists(NAMES, max_size=3))
def test_what_passes_is_what_the_model_lets_pass(fields: list[tuple[str, str]], nominated: list[str]) -> None:
    given = [*fields, *([("Connection", ", ".join(nominated))] if nominated else [])]
    hidden = {name.lower() for name in nominated} - SAFE_FROM_NOMINATION | HOP_BY_HOP | {"x-removed", "x-set"}
    passing = [(name.lower(), value) for name, value in given if name.lower() not in hidden and "_" not in name]
    assert sent_up(WORKER, *given) == [("host", "test"), *passing, ("x-set", "ours"), ("x-a", "added")]


@pytest.mark.parametrize(("target", "route", "forwarded"), [
    ("/a/b?c=d", {}, "/a/b?c=d"),
    ("/a/./b/../c?", {}, "/a/c?"),
    ("/a//b/%2e%2e/x", {}, "/a//x"),
    ("/%7Ea%2f", {}, "/~a%2f"),
    ("http://test/a?b", {}, "/a?b"),
    ("http://test", {}, "/"),
    ("/api/x", {"strip_prefix": "/api"}, "/x"),
    ("/api", {"strip_prefix": "/api"}, "/"),
    ("/api/", {"strip_prefix": "/api/"}, "/"),
    ("/apix", {"strip_prefix": "/api"}, "/apix"),
    ("/api?q", {"strip_prefix": "/api", "add_prefix": "/v1/"}, "/v1/?q"),
    ("/x", {"add_prefix": "/v1"}, "/v1/x"),
    ("/x", {"strip_prefix": "/"}, "/x"),
])
def test_the_target_a_server_gets(target: str, route: dict[str, str], forwarded: str) -> None:
    line = leased(forwarding(**route), head(target)).forwarded().split(b"\r\n")[0]
    assert line.decode() == f"GET {forwarded} HTTP/1.1"


def test_options_of_the_server_as_a_whole_keep_their_star() -> None:
    raw = leased(forwarding(add_prefix="/v1"), head("*", method="OPTIONS")).forwarded()
    assert raw.startswith(b"OPTIONS * HTTP/1.1\r\n")


DESCRIBED = {
    "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil", "Forwarded": "for=6.6.6.6"}


@pytest.mark.parametrize(("mode", "peer", "given", "described"), [
    ("x-forwarded", "203.0.113.1", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Forwarded": "for=x"},
     {"x-forwarded-for": "203.0.113.1", "x-forwarded-proto": "http", "x-forwarded-host": "test"}),
    ("x-forwarded", "10.1.1.1", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Forwarded": "for=x"},
     {"x-forwarded-for": "6.6.6.6, 10.1.1.1", "x-forwarded-proto": "https", "x-forwarded-host": "test",
      "forwarded": "for=x"}),
    ("rfc7239", "203.0.113.1", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil"},
     {"forwarded": "for=203.0.113.1;host=test;proto=http"}),
    ("rfc7239", "10.1.1.1", {"Forwarded": 'for="[::1]"'},
     {"forwarded": 'for="[::1]", for=10.1.1.1;host=test;proto=http'}),
    ("both", "2001:db8::1", {},
     {"x-forwarded-for": "2001:db8::1", "x-forwarded-proto": "http", "x-forwarded-host": "test",
      "forwarded": 'for="[2001:db8::1]";host=test;proto=http'}),
    ("both", "unix:", {},
     {"x-forwarded-for": "unix:", "x-forwarded-proto": "http", "x-forwarded-host": "test",
      "forwarded": "for=unknown;host=test;proto=http"}),
    ("off", "203.0.113.1", DESCRIBED, {}),
    ("off", "10.1.1.1", DESCRIBED, {name.lower(): value for name, value in DESCRIBED.items()}),
])
def test_how_the_client_is_described(mode: str, peer: str, given: dict[str, str], described: dict[str, str]) -> None:
    found = sent_up(forwarding(forwarded=mode, via="off"), *given.items(), peer=peer)
    assert {name: value for name, value in found if "forwarded" in name} == described
    assert len([name for name, _ in found if "forwarded" in name]) == len(described)


def test_a_host_with_a_port_is_quoted_in_forwarded() -> None:
    found = dict(sent_up(forwarding(forwarded="rfc7239"), host="test:81"))
    assert found["forwarded"].endswith(';host="test:81";proto=http')


def test_a_request_without_host_gets_the_servers() -> None:
    raw = leased(forwarding(), head(host=None)).forwarded()
    assert dict(fields_of(raw))["host"] == SERVER


RESPONSE_NAMES = st.sampled_from(
    ["Server", "X-A", "Set-Cookie", "Connection", "Keep-Alive", "Trailer", "X-Removed", "X-Set"])
BACK = forwarding(response_headers={"remove": ["X-Removed"], "set": {"X-Set": "ours"}, "add": {"X-A": "added"}})


@settings(deadline=None)
@given(fields=st.lists(st.tuples(RESPONSE_NAMES, VALUES), max_size=8), space=st.sampled_from(["", " "]))
def test_h11_reads_the_answer_and_only_what_may_pass_is_there(fields: list[tuple[str, str]], space: str) -> None:
    given = [(name, "x-other" if name == "Connection" else value) for name, value in fields]
    lines = "".join(f"{name}{space}: {value}\r\n" for name, value in given)
    raw = f"HTTP/1.1 200 OK\r\nDate: x\r\n{lines}Content-Length: 0\r\n\r\n".encode()
    returned = leased(BACK, head()).returned(raw)
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
    reader.receive_data(returned)
    answer = reader.next_event()
    assert isinstance(answer, h11.Response)
    dropped = HOP_BY_HOP | {"x-removed", "x-set"}
    passing = [(name.lower(), value) for name, value in given if name.lower() not in dropped]
    assert [(name.decode(), value.decode()) for name, value in answer.headers] == [
        ("date", "x"), *passing, ("content-length", "0"), ("x-set", "ours"), ("x-a", "added")]


def test_an_answer_without_date_gets_one() -> None:
    worker = forwarding()
    worker.unix_us = 784_111_777_000_000        # the example of RFC 9110 section 5.6.7
    returned = leased(worker, head()).returned(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert fields_of(returned) == [("date", "Sun, 06 Nov 1994 08:49:37 GMT")]
    interim = leased(worker, head()).returned(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    assert fields_of(interim) == [("link", "x")]


@pytest.mark.parametrize(("edits", "dates"), [({"set": {"date": "theirs"}}, ["theirs"]), ({"remove": ["Date"]}, [])])
@pytest.mark.parametrize("given", ["", "Date: servers\r\n"], ids=["without", "with"])
def test_a_date_that_the_route_edits_is_not_ours(given: str, edits: dict[str, object], dates: list[str]) -> None:
    raw = f"HTTP/1.1 204 No Content\r\n{given}\r\n".encode()
    returned = leased(forwarding(response_headers=edits), head()).returned(raw)
    assert [value for name, value in fields_of(returned) if name == "date"] == dates


@pytest.mark.parametrize(("status", "length", "returned"), [
    (200, "007", "7"), (200, "0", "0"), (200, "000", "0"), (204, "0", None), (304, "12", "12"), (304, "012", "12"),
    (103, "0", None)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_length_a_client_sees(method: str, status: int, length: str, returned: str | None) -> None:
    raw = f"HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n".encode()
    assert dict(fields_of(leased(forwarding(), head(method=method)).returned(raw))).get("content-length") == returned


def test_a_head_that_does_not_fit_is_never_cut_in_silence() -> None:
    """The longest head that the limits allow still fits with many fields added."""
    worker = forwarding(request_headers={"set": {f"X-{i}": "v" * 100 for i in range(100)}})
    raw = leased(worker, head("/" + "a" * 8000, *((f"X-Long-{i}", "v" * 200) for i in range(90)))).forwarded()
    assert raw.endswith(b"\r\n\r\n")
    assert len(re.findall(rb"\r\nX-", raw)) == 90 + 100 + 3

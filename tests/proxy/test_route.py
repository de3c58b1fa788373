"""Routing against a literal model of "which route wins", and paths against RFC 3986's own steps."""
from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hotpath.proxy.probe import normalise_path
from hotpath.proxy.syntax import read_url_path
from tests.probing import head, probe

Route = Mapping[str, Any]

HOSTS = ["a.example", "b.a.example", "c.b.a.example", "*.a.example", "*.b.a.example", "*.example", "[::1]"]
PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/", "/a//b", "/ab", "/a/b/c"]
REGEXES = ["^/a", "b$", "^/a/[^/]+$", "c"]
HEADERS: list[dict[str, Any]] = [{"value": "1"}, {"regex": "^1"}, {"present": True}]
METHODS = ["GET", "HEAD", "POST", "PURGE", "TRACE"]


def wins(routes: Sequence[Route], request: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """(the route's name, the names of those that only the method kept away), straight from the contract."""
    ranked = []
    for number, route in enumerate(routes):
        match = route["match"]
        host, pattern = max((host_rank(each, request["host"]), each) for each in match.get("host", ("",)))
        # Routes with the same regex stand where the first of them does.
        first = next(n for n, other in enumerate(routes) if other["match"].get("regex") == match.get("regex")
                     and pattern in other["match"].get("host", ("",)))
        path = path_rank(match, request["path"], first)
        fields = match.get("headers", {})
        if host and path and all(field_holds(wanted, request["fields"].get(name)) for name, wanted in fields.items()):
            ranked.append((host, path, len(fields), -number, route))
    candidates = [each[-1] for each in sorted(ranked, key=lambda each: each[:-1], reverse=True)]
    refused = []
    for route in candidates:
        if takes(route["match"].get("methods", ()), request["method"]):
            return route["name"], refused
        refused.append(route["name"])
    return None, refused


def host_rank(pattern: str, host: str) -> tuple[int, ...]:
    if pattern in ("", host):
        return (3, 0) if pattern else (1, 0)
    return (2, len(pattern)) if pattern.startswith("*.") and host.endswith(pattern[1:]) else ()


def path_rank(match: Mapping[str, Any], path: str, first: int) -> tuple[int, ...]:
    if "path" in match:
        return (4, 0) if path == match["path"] else ()
    if "prefix" in match:
        prefix = match["prefix"]
        below = path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")
        return (3, len(prefix)) if below else ()
    if "regex" in match:
        return (2, -first) if re.search(match["regex"], path) else ()
    return (1, 0)


def field_holds(wanted: Mapping[str, Any], value: str | None) -> bool:
    if value is None:
        return False
    return bool(wanted.get("present") or wanted.get("value") == value or re.search(wanted.get("regex", "(?!)"), value))


def takes(methods: Sequence[str], method: str) -> bool:
    if not methods:
        return method != "TRACE"
    return method in methods or (method == "HEAD" and "GET" in methods)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 12))):
        match: dict[str, Any] = {}
        hosts = draw(st.lists(st.sampled_from(HOSTS), max_size=2, unique=True))
        if hosts:
            match["host"] = hosts
        kind = draw(st.sampled_from(["path", "prefix", "regex", ""]))
        if kind:
            match[kind] = draw(st.sampled_from(REGEXES if kind == "regex" else PATHS))
        headers = draw(st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.sampled_from(HEADERS), max_size=2))
        if headers:
            match["headers"] = headers
        match["methods"] = draw(st.lists(st.sampled_from(METHODS), max_size=2, unique=True))
        routes.append({"name": f"r{number}", "match": match, "respond": {}})
    return routes


requests = st.fixed_dictionaries({
    "host": st.sampled_from(["a.example", "b.a.example", "c.b.a.example", "x.c.b.a.example", "other", "[::1]"]),
    "port": st.sampled_from(["", ":80", ":65535"]),
    "path": st.sampled_from([*PATHS, "/b", "/a/x/b", "/abc", "//a", "/a/b/c/d"]),
    "method": st.sampled_from(METHODS),
    "fields": st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.sampled_from(["1", "12", "2", ""]), max_size=2),
})


@settings(deadline=None)
@given(routes=tables(), asked=st.lists(requests, min_size=1, max_size=8))
def test_the_route_that_wins_is_the_models(routes: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    worker = probe({"routes": routes})
    for each in asked:
        host = each["host"].upper() + each["port"]
        found = worker.request(head(each["path"], *each["fields"].items(), method=each["method"], host=host))
        # A route of two patterns that fit the host is refused under both.
        assert (found.route, list(dict.fromkeys(found.refused))) == wins(routes, each)


def without_idle_escapes(path: str) -> str:
    """RFC 3986 section 6.2.2.2."""
    def spelled(found: re.Match[str]) -> str:
        meant = chr(int(found[1], 16))
        return meant if meant in UNRESERVED else found[0]

    return re.sub("%([0-9A-Fa-f]{2})", spelled, path)


def remove_dot_segments(path: str) -> str | None:
    """RFC 3986 section 5.2.4, the steps for a path that begins with a slash; None where it leads above the root."""
    source, output = without_idle_escapes(path), ""
    while source:
        if source.startswith("/./"):
            source = source[2:]
        elif source == "/.":
            source = "/"
        elif source.startswith("/../") or source == "/..":
            source = "/" + source[4:]
            if not output:
                return None
            output = output[:output.rindex("/")]
        else:
            cut = source.find("/", 1) if "/" in source[1:] else len(source)
            output, source = output + source[:cut], source[cut:]
    return output


UNRESERVED = string.ascii_letters + string.digits + "-._~"
SEGMENTS = st.sampled_from([
    "", ".", "..", "%2e", "%2E", "%2e%2E", ".%2e", "%2e.", "a", "a.", "..a", "...", "%2f", "b",
    "%61", "%7E", "%7b", "%25%32e",
])


@given(segments=st.lists(SEGMENTS, min_size=1, max_size=9))
def test_a_path_is_normalised_as_rfc_3986_does_it(segments: list[str]) -> None:
    path = "".join(f"/{segment}" for segment in segments)
    found = normalise_path(path.encode())
    assert (found and found.decode()) == remove_dot_segments(path)


@given(path=st.binary(max_size=60).map(lambda text: b"/" + text))
def test_normalising_never_grows_a_path_and_is_done_once(path: bytes) -> None:
    assume(not re.search(rb"%(?![0-9A-Fa-f]{2})", path))        # refused before
    found = normalise_path(path)
    if found is not None:
        assert len(found) <= len(path)
        assert found.startswith(b"/")
        assert normalise_path(found) == found


def test_a_configured_path_is_spelled_as_requests_are() -> None:
    for code in range(256):
        path = f"/a%{code:02x}%{code:02X}"
        if chr(code) != ".":
            assert read_url_path(path) == without_idle_escapes(path)


@pytest.mark.parametrize(("path", "found"), [
    (b"/", b"/"), (b"/.", b"/"), (b"/a/.", b"/a/"), (b"/a/..", b"/"), (b"/a/b/..", b"/a/"), (b"/..", None),
    (b"/a/../..", None), (b"//..", b"/"), (b"/a//../b", b"/a/b"), (b"/%2e%2e", None), (b"/%2E/x", b"/x"), (b"", b"/"),
    (b"/%61dmin", b"/admin"), (b"/a%2fb", b"/a%2fb"), (b"/%2565", b"/%2565"), (b"/%c3%A9%7E%2d", b"/%c3%A9~-"),
    (b"/%", b"/%"), (b"/%4", b"/%4"),
])
def test_known_paths(path: bytes, found: bytes | None) -> None:
    assert normalise_path(path) == found


def test_more_than_64_nested_prefixes_leave_the_longest() -> None:
    prefixes = ["/a" * n for n in range(1, 101)]
    routes = [{"name": f"r{len(each) // 2}", "match": {"prefix": each}, "respond": {}} for each in prefixes]
    worker = probe({"routes": routes})
    assert worker.request(head("/a" * 100)).route == "r100"
    assert worker.request(head("/a" * 100 + "/x", method="POST")).route == "r100"


def test_results_of_regexes_are_kept_within_bounds() -> None:
    worker = probe({"routes": [{"name": "r", "match": {"regex": "^/[0-9]+$"}, "respond": {}}]})
    assert all(worker.request(head(f"/{n}")).route == "r" for n in range(5000))
    assert worker.request(head("/x")).route is None
    assert worker.request(head("/" + "1" * 2047)).route == "r"
    assert worker.request(head("/" + "1" * 2048)).route is None     # longer than a regex looks at


def test_a_host_longer_than_any_name_matches_no_host() -> None:
    worker = probe({"routes": [{"name": "r", "match": {"host": "*.example"}, "respond": {}}]})
    assert worker.request(head(host="a" * 200 + ".example")).route == "r"
    assert worker.request(head(host="a" * 300 + ".example")).route is None
    assert worker.request(head(host=".example")).route is None

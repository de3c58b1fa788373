"""Which route wins, what it does to the request and to the answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import Backend
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy, free_address

Site = tuple[Proxy, Backend]


def say(name: str, **match: object) -> dict[str, object]:
    """A route that answers with its own name."""
    return {"name": name.replace(" ", "-"), "match": match, "respond": {"status": 200, "body": name}}


# Weakest first wherever two may match, so that file order never hides a wrong rank.
NAMED = [
    say("gold or not", prefix="/tier"),
    say("gold", prefix="/tier", headers={"x-tier": "gold"}),
    say("gold and present", prefix="/tier", headers={"x-tier": "gold", "x-id": {"present": True}}),
    say("by pattern", prefix="/pattern", headers={"x-id": {"regex": r"^\d+$"}}),
    say("first regex", regex=r"^/u/\d+$"),
    say("second regex", regex=r"^/u/"),
    say("prefix", prefix="/api"),
    say("longer prefix", prefix="/api/deep"),
    say("exact", path="/api/deep/exact"),
    say("root", path="/"),
    say("file order 1", prefix="/twice"),
    say("file order 2", prefix="/twice"),
    say("any path", host="any.example"),
    say("wild", host="*.b.example", prefix="/"),
    say("wilder", host="*.deep.b.example", prefix="/"),
    say("exact host", host="a.example", prefix="/"),
    say("exact under wild", host="x.deep.b.example", prefix="/"),
    say("several", host=["s1.example", "*.s2.example"], prefix="/"),
    say("get only", host="m.example", path="/m", methods=["GET"]),
    say("post below", host="m.example", prefix="/m", methods=["POST"]),
    say("token", host="m.example", path="/token", methods=["PURGE"]),
    say("traced", host="m.example", path="/trace", methods=["TRACE"]),
]


# Of the answers of one route: the type stands between others, which must all stay.
TYPED = {"set": {"X-One": "1", "Content-Type": "text/html"}, "add": {"X-Two": "2"}}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "upstreams": {
                "b": {"servers": [backend.address]},
                "as_server": {"servers": [backend.address], "host": "server"},
                "as_name": {"servers": [backend.address], "host": "inner.example"},
                "nobody": {"servers": [free_address()]},
            },
            "routes": [
                *NAMED,
                {"match": {"prefix": "/forward"}, "upstream": "b"},
                {"match": {"prefix": "/strip"}, "upstream": "b", "strip_prefix": "/strip"},
                {"match": {"prefix": "/add"}, "upstream": "b", "add_prefix": "/v1"},
                {"match": {"prefix": "/both"}, "upstream": "b", "strip_prefix": "/both", "add_prefix": "/v1"},
                {"match": {"prefix": "/as-server"}, "upstream": "as_server"},
                {"match": {"prefix": "/as-name"}, "upstream": "as_name"},
                {
                    "match": {"prefix": "/edit"},
                    "upstream": "b",
                    "request_headers": {"set": {"X-Set": "ours"}, "add": {"X-Add": "more"}, "remove": ["X-Remove"]},
                    "response_headers": {
                        "set": {"X-Set": "ours"},
                        "add": {"X-Add": "more"},
                        "remove": ["X-Remove", "Server"],
                    },
                },
                {"match": {"prefix": "/go"}, "redirect": {"to": "https://x.example{path}", "status": 301}},
                {"match": {"host": "go.example"}, "redirect": {"to": "{path}?seen"}},
                {"match": {"prefix": "/default-go"}, "redirect": {"to": "https://x.example/"}},
                {
                    "match": {"prefix": "/teapot"},
                    "respond": {"status": 418, "body": "short", "headers": {"X-Pot": "tea"}},
                },
                {"match": {"prefix": "/empty"}, "respond": {"status": 204}},
                {"match": {"prefix": "/typed/default"}, "respond": {"body": "<p>"}, "response_headers": TYPED},
                {
                    "match": {"prefix": "/typed/given"},
                    "respond": {"body": "<p>", "headers": {"content-type": "text/plain", "X-Kept": "1"}},
                    "response_headers": TYPED,
                },
                {"match": {"prefix": "/typed/none"}, "upstream": "nobody", "response_headers": TYPED},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


@pytest.mark.parametrize(
    ("host", "target", "fields", "name"),
    [
        ("test", "/api", {}, "prefix"),
        ("test", "/api/x", {}, "prefix"),
        ("test", "/api?q", {}, "prefix"),
        ("test", "/api/", {}, "prefix"),
        ("test", "/api/deep", {}, "longer prefix"),
        ("test", "/api/deep/x", {}, "longer prefix"),
        ("test", "/api/deeper", {}, "prefix"),
        ("test", "/api/deep/exact", {}, "exact"),
        ("test", "/api/deep/exact?q=1", {}, "exact"),
        ("test", "/api/deep/exact/", {}, "longer prefix"),
        ("test", "/api/deep/exactly", {}, "longer prefix"),
        ("test", "/u/12", {}, "first regex"),
        ("test", "/u/12?q", {}, "first regex"),
        ("test", "/u/12a", {}, "second regex"),
        ("test", "/", {}, "root"),
        ("test", "/?q", {}, "root"),
        ("test", "/twice", {}, "file order 1"),
        ("test", "/x/../api", {}, "prefix"),
        ("test", "/api/%2e%2E/u/1", {}, "first regex"),
        ("test", "/api/deep/./exact", {}, "exact"),
        ("test", "/tier", {}, "gold or not"),
        ("test", "/tier", {"x-tier": "silver"}, "gold or not"),
        ("test", "/tier", {"X-Tier": "gold"}, "gold"),
        ("test", "/tier", {"x-tier": "gold", "X-Id": "7"}, "gold and present"),
        ("test", "/pattern", {"X-Id": "77"}, "by pattern"),
        ("any.example", "/whatever", {}, "any path"),
        ("a.example", "/api", {}, "exact host"),
        ("A.Example", "/api", {}, "exact host"),
        ("a.example:8080", "/api", {}, "exact host"),
        ("a.example.", "/api", {}, "exact host"),
        ("a.example.:8080", "/api", {}, "exact host"),
        ("x.b.example.", "/api", {}, "wild"),
        ("b.example", "/api", {}, "prefix"),
        ("x.b.example", "/api", {}, "wild"),
        ("x.y.b.example", "/api", {}, "wild"),
        ("y.deep.b.example", "/api", {}, "wilder"),
        ("x.deep.b.example", "/api", {}, "exact under wild"),
        ("s1.example", "/", {}, "several"),
        ("x.s2.example", "/", {}, "several"),
        ("m.example", "/m", {}, "get only"),
    ],
)
def test_the_most_specific_route_wins(site: Site, host: str, target: str, fields: dict[str, str], name: str) -> None:
    answer = fetch(site[0].address, target, fields=fields.items(), host=host)
    assert (answer.status, answer.body.decode()) == (200, name)


@pytest.mark.parametrize("target", ["/apix", "/unknown", "/API", "/pattern", "/u"])
def test_no_route_is_404(site: Site, target: str) -> None:
    answer = fetch(site[0].address, target)
    assert answer.status == 404
    assert answer.value("content-type") == "application/problem+json"
    assert answer.json()["status"] == 404


def test_the_method_is_looked_at_last(site: Site) -> None:
    # GET is taken by the exact path, POST falls through to the prefix behind it.
    assert fetch(site[0].address, "/m", "GET", host="m.example").body == b"get only"
    assert fetch(site[0].address, "/m", "POST", host="m.example", body=b"").body == b"post below"


def test_another_method_is_405_with_those_allowed(site: Site) -> None:
    answer = fetch(site[0].address, "/m", "DELETE", host="m.example")
    assert answer.status == 405
    allowed = {method.strip() for method in (answer.value("allow") or "").split(",")}
    assert {"GET", "POST"} <= allowed <= {"GET", "HEAD", "POST"}


def test_head_follows_get(site: Site) -> None:
    with Client(site[0].address) as client:
        answer = client.ask("HEAD", "/m", host="m.example")
        assert (answer.status, answer.value("content-length"), answer.body) == (200, "8", b"")
        assert client.ask("GET", "/m", host="m.example").body == b"get only"


def test_any_token_is_a_method(site: Site) -> None:
    assert fetch(site[0].address, "/token", "PURGE", host="m.example").body == b"token"
    assert fetch(site[0].address, "/token", "purge", host="m.example").status == 405


def test_trace_needs_a_route_that_lists_it(site: Site) -> None:
    assert fetch(site[0].address, "/api", "TRACE").status == 405
    assert fetch(site[0].address, "/trace", "TRACE", host="m.example").body == b"traced"


def test_connect_is_405(site: Site) -> None:
    with Client(site[0].address) as client:
        client.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        assert client.receive().startswith(b"HTTP/1.1 405 ")


def test_options_star_is_matched_as_the_root(site: Site) -> None:
    assert fetch(site[0].address, "*", "OPTIONS").body == b"root"


def test_the_host_of_an_absolute_target_counts(site: Site) -> None:
    answer = fetch(site[0].address, "http://a.example/api", host="a.example")
    assert answer.body == b"exact host"


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/forward/a?b=c&d", "/forward/a?b=c&d"),
        ("/forward/a/../b/./c", "/forward/b/c"),
        ("/forward/a/%2e%2E/b", "/forward/b"),
        ("/forward/a/..", "/forward/"),
        ("/forward/a?x=/../y", "/forward/a?x=/../y"),
        ("/forward/%41%2F%2f%20?%41", "/forward/A%2F%2f%20?%41"),
        ("http://localhost/forward/x?y", "/forward/x?y"),
        ("/strip/x?q=1", "/x?q=1"),
        ("/strip", "/"),
        ("/strip/", "/"),
        ("/strip?q", "/?q"),
        ("/add/x?q", "/v1/add/x?q"),
        ("/both/x?q", "/v1/x?q"),
        ("/both", "/v1/"),
    ],
)
def test_the_target_is_forwarded_in_origin_form_with_its_prefix_edited(site: Site, target: str, forwarded: str) -> None:
    assert fetch(site[0].address, target).json()["target"] == forwarded


def test_the_host_is_preserved_or_replaced_as_the_upstream_says(site: Site) -> None:
    proxy, backend = site

    def host(target: str) -> list[str]:
        fields = fetch(proxy.address, target, host="outer.example:81").json()["fields"]
        return [value for name, value in fields if name.lower() == "host"]

    assert host("/forward/host") == ["outer.example:81"]
    assert host("/as-server") == [backend.address]
    assert host("/as-name") == ["inner.example"]


def test_request_fields_are_set_added_and_removed(site: Site) -> None:
    proxy, backend = site
    sent = [
        ("X-Set", "theirs"),
        ("x-set", "again"),
        ("X-Add", "one"),
        ("X-Remove", "gone"),
        ("x-remove", "too"),
        ("X-Keep", "kept"),
    ]
    fetch(proxy.address, "/edit/up", fields=sent)
    (exchange,) = backend.seen("/edit/up")
    assert exchange.values("x-set") == ["ours"]
    assert exchange.values("x-add") == ["one", "more"]
    assert exchange.values("x-remove") == []
    assert exchange.values("x-keep") == ["kept"]


def test_response_fields_are_set_added_and_removed(site: Site) -> None:
    proxy, backend = site
    sent = [("X-Set", "theirs"), ("X-Add", "one"), ("X-Remove", "gone"), ("Server", "secret/1.0"), ("X-Keep", "kept")]
    backend.on("/edit/down", lambda exchange: exchange.answer(b"body", fields=sent))
    answer = fetch(proxy.address, "/edit/down")
    assert answer.body == b"body"
    assert answer.values("x-set") == ["ours"]
    assert answer.values("x-add") == ["one", "more"]
    assert answer.values("x-remove") == []
    assert answer.values("server") == []
    assert answer.values("x-keep") == ["kept"]


def test_a_canned_response_has_the_type_that_its_route_sets_and_no_other(site: Site) -> None:
    for target in ("/typed/default", "/typed/given"):
        answer = fetch(site[0].address, target)
        assert (answer.status, answer.body, answer.values("content-type")) == (200, b"<p>", ["text/html"])
        assert answer.values("x-kept") == (["1"] if target == "/typed/given" else [])


def test_a_problem_keeps_its_type_whatever_the_route_sets(site: Site) -> None:
    answer = fetch(site[0].address, "/typed/none")
    assert (answer.status, answer.values("content-type")) == (502, ["application/problem+json"])
    assert (answer.values("x-one"), answer.values("x-two")) == (["1"], ["2"])


def test_no_other_spelling_walks_around_a_route(site: Site) -> None:
    for target in ("/api", "/%61pi", "/%61%70%69", "/x/%2e%2E/ap%69"):
        assert fetch(site[0].address, target).body == b"prefix"


def test_a_redirect_carries_the_path(site: Site) -> None:
    answer = fetch(site[0].address, "/go/to/it")
    assert (answer.status, answer.value("location")) == (301, "https://x.example/go/to/it")


def test_a_redirect_cannot_be_split(site: Site) -> None:
    answer = fetch(site[0].address, "/go/%0d%0aX-Evil:%201")
    assert answer.value("x-evil") is None
    assert (answer.value("location") or "").lower() == "https://x.example/go/%0d%0ax-evil:%201"


def test_a_redirect_to_a_path_stays_on_this_host(site: Site) -> None:
    for target in ("//evil.example/x", "/a/..//evil.example/x"):
        assert fetch(site[0].address, target, host="go.example").value("location") == "/evil.example/x?seen"


def test_a_redirect_is_308_unless_said_otherwise(site: Site) -> None:
    assert fetch(site[0].address, "/default-go", "POST", body=b"x").status == 308


def test_a_canned_response_is_given_as_written(site: Site) -> None:
    answer = fetch(site[0].address, "/teapot")
    assert (answer.status, answer.body, answer.value("x-pot")) == (418, b"short", "tea")
    assert fetch(site[0].address, "/empty").status == 204


def test_a_body_nobody_wants_does_not_become_the_next_request(site: Site) -> None:
    # The canned answer does not need the body, but what follows it on the wire is still the body.
    hidden = request_bytes("GET", "/forward/smuggled")
    with Client(site[0].address) as client:
        client.send(
            request_bytes("POST", "/teapot", body=hidden) + request_bytes("GET", "/api", [("Connection", "close")])
        )
        assert client.answer("POST").status == 418
        rest = client.rest()
    assert rest == b"" or rest.endswith(b"prefix")
    assert not site[1].seen("/forward/smuggled")

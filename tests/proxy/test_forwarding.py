"""What the backend gets to know: the request's own fields, where it came from, nothing hop-by-hop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import Backend, Exchange, saying
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy

Site = tuple[Proxy, Backend]

STRANGER = "127.0.0.1"
TRUSTED = "127.9.0.1"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "trusted_proxies": ["127.9.0.0/16"],
            "forwarded": "both",
            "upstreams": {"b": {"servers": [backend.address]}},
            "rate_limits": {"each": {"key": "client_ip", "rate": "1/m"}},
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"prefix": "/limited"}, "upstream": "b", "rate_limit": "each"},
                {
                    "match": {"prefix": "/edited"},
                    "upstream": "b",
                    "request_headers": {
                        "set": {"X-Forwarded-Proto": "https", "Via": "1.1 edge"},
                        "remove": ["X-Forwarded-For", "x-forwarded-host", "FORWARDED"],
                    },
                },
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def forwarded(
    site: Site, path: str, fields: list[tuple[str, str]], *, source: str = STRANGER, host: str = "a.example:81"
) -> Exchange:
    """The request as it reached the backend."""
    proxy, backend = site
    assert fetch(proxy.address, path, fields=fields, source=source, host=host).status == 200
    return backend.seen(path)[-1]


def test_end_to_end_fields_keep_their_order_and_spelling(site: Site) -> None:
    sent = [
        ("X-ONE", "1"),
        ("accept", "*/*"),
        ("X-Two", "a,  b"),
        ("x-one", "\xe9t\xe9"),
        ("Cookie", "a=b; c=d"),
        ("X-Empty", ""),
    ]
    exchange = forwarded(site, "/order", sent)
    assert [field for field in exchange.fields if field in sent] == sent


@pytest.mark.parametrize("name", ["Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Proxy-Authorization"])
def test_hop_by_hop_fields_end_here(site: Site, name: str) -> None:
    value = {"TE": "trailers", "Upgrade": "h2c"}.get(name, "x")
    exchange = forwarded(site, f"/hop/{name}", [(name, value)])
    if name == "Proxy-Authorization":
        # RFC 9110 section 11.7.2: for the first proxy that asks for it; we never do, so it may pass.
        assert exchange.values(name) in ([], [value])
    else:
        assert exchange.values(name) == []


def test_fields_nominated_by_connection_end_here(site: Site) -> None:
    exchange = forwarded(
        site, "/nominated", [("Connection", "X-Private, close"), ("x-private", "1"), ("X-Public", "2")]
    )
    assert exchange.values("x-private") == []
    assert exchange.values("x-public") == ["2"]
    assert "x-private" not in (exchange.value("connection") or "").lower()


@pytest.mark.parametrize(
    "name", ["Host", "Authorization", "Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"]
)
def test_fields_that_matter_cannot_be_nominated_away(site: Site, name: str) -> None:
    fields = [("Connection", f"close, {name}")]
    if name in ("Authorization", "Cookie"):
        fields.append((name, "kept"))
    exchange = forwarded(site, f"/nominated/{name}", fields)
    assert exchange.values(name), exchange.fields


def test_a_length_cannot_be_nominated_away(site: Site) -> None:
    proxy, _backend = site
    answer = fetch(
        proxy.address, "/nominated/length", "POST", [("Connection", "Content-Length"), ("Content-Length", "4")], b"body"
    )
    assert answer.json()["body"] == "body"


def test_field_names_with_an_underscore_are_dropped(site: Site) -> None:
    exchange = forwarded(site, "/underscore", [("X_Forwarded_For", "6.6.6.6"), ("X-User_Id", "1"), ("X-Kept", "1")])
    assert not [name for name, _ in exchange.fields if "_" in name]
    assert exchange.values("x-kept") == ["1"]


def test_a_stranger_is_described_and_not_believed(site: Site) -> None:
    lies = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=6.6.6.6;proto=https"),
    ]
    exchange = forwarded(site, "/stranger", lies)
    assert exchange.values("x-forwarded-for") == [STRANGER]
    assert exchange.values("x-forwarded-proto") == ["http"]
    assert exchange.values("x-forwarded-host") == ["a.example:81"]
    (element,) = exchange.values("forwarded")
    parts = dict(part.strip().split("=", 1) for part in element.lower().split(";"))
    assert parts["for"].strip('"') == STRANGER
    assert parts["proto"] == "http"
    # A colon is no token character: RFC 7239 section 4 wants the quotes.
    assert parts["host"] == '"a.example:81"'


def test_a_trusted_peer_is_believed_and_appended_to(site: Site) -> None:
    fields = [("X-Forwarded-For", "6.6.6.6, 7.7.7.7"), ("Forwarded", "for=7.7.7.7"), ("X-Forwarded-Proto", "https")]
    exchange = forwarded(site, "/trusted", fields, source=TRUSTED)
    hops = [hop.strip() for hop in (exchange.value("x-forwarded-for") or "").split(",")]
    assert hops == ["6.6.6.6", "7.7.7.7", TRUSTED]
    assert exchange.value("x-forwarded-proto") == "https"
    elements = [element.strip().lower() for element in (exchange.value("forwarded") or "").split(",")]
    assert elements[0] == "for=7.7.7.7"
    assert f"for={TRUSTED}" in elements[1]


def test_limits_count_the_rightmost_untrusted_address_behind_a_trusted_peer(site: Site) -> None:
    def status(chain: str, source: str = TRUSTED) -> int:
        return fetch(site[0].address, "/limited", fields=[("X-Forwarded-For", chain)], source=source).status

    assert status("1.1.1.1, 8.8.8.8") == 200
    assert status("2.2.2.2, 8.8.8.8, 127.9.0.7") == 429  # the same 8.8.8.8, one trusted hop further
    assert status("8.8.8.8, 9.9.9.9") == 200
    assert status("5.5.5.5", STRANGER) == 200  # a stranger counts as itself
    assert status("4.4.4.4", STRANGER) == 429


@pytest.mark.parametrize("source", [STRANGER, TRUSTED])
def test_what_a_route_sets_or_removes_is_not_written_beside_it(site: Site, source: str) -> None:
    lies = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "ftp"), ("Forwarded", "for=6.6.6.6"), ("Via", "1.0")]
    for sent in ([], lies):
        exchange = forwarded(site, f"/edited/{len(sent)}", sent, source=source)
        assert exchange.values("x-forwarded-proto") == ["https"]
        assert exchange.values("via") == ["1.1 edge"]
        assert [exchange.values(name) for name in ("x-forwarded-for", "x-forwarded-host", "forwarded")] == [[], [], []]


def test_via_is_added_to_what_is_there(site: Site) -> None:
    assert forwarded(site, "/via", []).value("via") == "1.1 hotpath"
    assert forwarded(site, "/via/2", [("Via", "1.0 old")]).value("via") == "1.0 old, 1.1 hotpath"


def test_via_names_the_version_the_client_spoke(site: Site) -> None:
    proxy, backend = site
    with Client(proxy.address) as client:
        client.ask("GET", "/via/1.0", version="1.0")
    (exchange,) = backend.seen("/via/1.0")
    assert exchange.version == "1.1"
    # RFC 9110 section 7.6.3 wants the received version; a fixed 1.1 is what the contract writes.
    assert exchange.value("via") in ("1.0 hotpath", "1.1 hotpath")


def test_hop_by_hop_fields_of_the_answer_end_here(site: Site) -> None:
    proxy, backend = site
    fields = [("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"), ("X-Public", "2")]
    backend.on("/hop/answer", lambda exchange: exchange.answer(b"ok", fields=fields))
    answer = fetch(proxy.address, "/hop/answer")
    assert answer.body == b"ok"
    assert answer.values("x-private") == []
    assert answer.values("keep-alive") == []
    assert answer.values("x-public") == ["2"]


def test_answer_fields_keep_their_order_and_spelling(site: Site) -> None:
    proxy, backend = site
    fields = [
        ("X-ONE", "1"),
        ("set-cookie", "a=1"),
        ("Server", "inner"),
        ("Set-Cookie", "b=2; Path=/"),
        ("x-Two", "\xe9"),
    ]
    backend.on("/order/answer", lambda exchange: exchange.answer(b"ok", fields=fields))
    answer = fetch(proxy.address, "/order/answer")
    assert [field for field in answer.fields if field in fields] == fields


def test_the_pool_is_shared_by_clients_and_keeps_connections(site: Site) -> None:
    proxy, backend = site
    for _ in range(5):
        with Client(proxy.address) as client:
            for _ in range(4):
                assert client.ask("GET", "/pool").status == 200
    assert len({id(exchange.connection) for exchange in backend.seen("/pool")}) == 1


def test_a_connection_with_bytes_behind_the_answer_is_not_used_again(site: Site) -> None:
    proxy, backend = site
    backend.on(
        "/behind",
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    )
    with Client(proxy.address) as client:
        assert client.ask("GET", "/behind").body == b"ok"
        assert client.ask("GET", "/behind/next").json()["target"] == "/behind/next"
    (behind,) = backend.seen("/behind")
    (after,) = backend.seen("/behind/next")
    assert behind.connection is not after.connection


def test_a_backend_that_says_close_is_left(site: Site) -> None:
    proxy, backend = site
    backend.on("/says/close", saying(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"))
    with Client(proxy.address) as client:
        answer = client.ask("GET", "/says/close")
        assert answer.body == b"ok"
        assert not answer.says_close, "the backend's wish is about its own connection"
        client.send(request_bytes("GET", "/says/next"))
        assert client.answer().status == 200
    assert backend.seen("/says/close")[0].connection is not backend.seen("/says/next")[0].connection

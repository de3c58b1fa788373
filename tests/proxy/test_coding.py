"""Which answers leave in gzip: each condition with and without, and what the head says of it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from tests.backends import Backend, saying
from tests.clients import Answer, Client, fetch
from tests.proxies import Proxy

Site = tuple[Proxy, Backend]

BODY = b"hotpath says the same thing again. " * 60  # 2100 bytes
TAKES = [("Accept-Encoding", "gzip")]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        server = {"upstream": "b", "gzip": {"types": ["text/plain", "Text/HTML"], "min": 1000}}
        edits = {"remove": ["vary"], "set": {"X-Set": "ours"}}
        config = {
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}}},
            "routes": [
                {"match": {"prefix": "/off"}, "upstream": "b"},
                {"match": {"prefix": "/edited"}, "response_headers": edits, **server},
                {"match": {"prefix": "/tiny"}, "upstream": "b", "gzip": {"min": 0}},
                {"match": {"prefix": "/"}, **server},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def wire(status: int, fields: list[str], body: bytes = BODY) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *fields]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def asked(
    site: Site, *fields: str, status: int = 200, body: bytes = BODY, path: str = "/x",
    takes: list[tuple[str, str]] = TAKES,
) -> Answer:
    """What becomes of an answer with these field lines; `text/plain` unless they name a type."""
    proxy, backend = site
    typed = any(line.lower().startswith("content-type") for line in fields)
    backend.on(path, saying(wire(status, [*fields, *([] if typed else ["Content-Type: text/plain"])], body)))
    return fetch(proxy.address, path, fields=takes)


def is_zipped(answer: Answer, body: bytes = BODY) -> bool:
    """Whether it came in gzip. AssertionError when head and body do not agree on that, or the body is another one."""
    if answer.value("content-encoding") != "gzip":
        assert answer.body == body
        return False
    assert gzip.decompress(answer.body) == body
    assert answer.value("content-length") is None
    assert answer.value("transfer-encoding") == "chunked"
    assert "accept-encoding" in (answer.value("vary") or "").lower()
    return True


@pytest.mark.parametrize(("accepts", "zipped"), [
    (["gzip"], True), (["GZip"], True), (["x-gzip"], True), (["*"], True), (["br, deflate ,\tgzip"], True),
    (["br", "gzip"], True), ([",,gzip,,"], True), (["gzip;q=1"], True), (["gzip ; q=1.000"], True),
    (["gzip;Q=0.001"], True), (["gzip;q=0.5, br;q=1"], True), (["*;q=0.1"], True), (["br;q=1, *;q=0.2"], True),
    (["gzip, identity;q=0.5"], True),
    (["identity;q=0, gzip;q=0.1"], True), (["gzip, *;q=0"], True), (["gzip;q=0, x-gzip"], True),
    ([], False), ([""], False), (["identity"], False), (["br, deflate"], False), (["gzip;q=0"], False),
    (["gzip;q=0.000"], False), (["*;q=0"], False), (["gzip;q=0, *"], False), (["gzip;q=0.5, identity"], False),
    (["*;q=0.5, identity;q=0.6"], False), (["gzipped"], False), (["xgzip"], False), (["gzip;q=2"], False),
    (["gzip;q=1.001"], False), (["gzip;q=0.0001"], False), (["gzip;q="], False), (["gzip;q"], False),
    (["gzip;"], False), (["gzip;level=9"], False), (["gzip q=1"], False), (["gzip;q=-1"], False),
    (["gzip;q=.5"], False),
], ids=str)
def test_the_client_must_take_gzip_no_less_gladly_than_nothing(site: Site, accepts: list[str], zipped: bool) -> None:
    answer = asked(site, takes=[("Accept-Encoding", value) for value in accepts])
    assert is_zipped(answer) == zipped
    assert answer.values("vary") == ["Accept-Encoding"]


@pytest.mark.parametrize(("fields", "zipped"), [
    (["Content-Type: text/plain"], True), (["content-type: TEXT/PLAIN"], True), (["Content-Type: text/html"], True),
    (["Content-Type: text/plain; charset=utf-8"], True), (["Content-Type: text/plain ;charset=utf-8"], True),
    (["Content-Type: text/css"], False), (["Content-Type: text/plain2"], False), (["Content-Type: text/"], False),
    (["Content-Type:"], False), (["Content-Type: text/plain", "Content-Type: image/png"], False),
    (["Content-Encoding: br"], False), (["content-encoding: gzip"], False), (["Content-Encoding: identity"], False),
    (["Content-Range: bytes 0-2099/9999"], False),
    (["Cache-Control: no-transform"], False), (["cache-control: max-age=60, No-Transform"], False),
    (["Cache-Control: max-age=1", "Cache-Control: private ,no-transform"], False),
    (["Cache-Control: max-age=60"], True), (["Cache-Control: no-transformation"], True),
], ids=str)
def test_type_and_encoding_and_cache_control_decide(site: Site, fields: list[str], zipped: bool) -> None:
    proxy, backend = site
    backend.on("/fields", saying(wire(200, fields if "ype" in fields[0] else [*fields, "Content-Type: text/plain"])))
    answer = fetch(proxy.address, "/fields", fields=TAKES)
    if "Content-Encoding" in fields[0] or "content-encoding" in fields[0]:
        assert answer.body == BODY
    else:
        assert is_zipped(answer) == zipped
    assert (answer.value("vary") is not None) == zipped


def test_an_answer_without_a_type_stays_as_it_is(site: Site) -> None:
    proxy, backend = site
    backend.on("/untyped", saying(wire(200, [])))
    assert not is_zipped(fetch(proxy.address, "/untyped", fields=TAKES))


@pytest.mark.parametrize(("status", "zipped"), [
    (200, True), (201, True), (203, True), (302, True), (404, True), (500, True), (206, False), (226, False),
])
def test_the_status_decides(site: Site, status: int, zipped: bool) -> None:
    answer = asked(site, status=status)
    assert answer.status == status
    assert is_zipped(answer) == zipped


@pytest.mark.parametrize(("size", "zipped"), [(0, False), (1, False), (999, False), (1000, True), (1001, True)])
def test_what_is_smaller_than_min_stays_as_it_is(site: Site, size: int, zipped: bool) -> None:
    answer = asked(site, body=BODY[:size])
    assert is_zipped(answer, BODY[:size]) == zipped
    assert (answer.value("vary") is not None) == zipped


def test_a_length_that_is_not_known_is_long_enough(site: Site) -> None:
    proxy, backend = site
    head = ["Content-Type: text/plain", "Transfer-Encoding: chunked"]
    backend.on("/unknown", saying(wire(200, head, b"2\r\nhi\r\n0\r\n\r\n")))
    assert is_zipped(fetch(proxy.address, "/unknown", fields=TAKES), b"hi")


def test_min_0_compresses_one_byte_and_not_none(site: Site) -> None:
    assert is_zipped(asked(site, "Content-Type: text/html", body=b"x", path="/tiny/1"), b"x")
    assert not is_zipped(asked(site, "Content-Type: text/html", body=b"", path="/tiny/0"), b"")


def test_a_route_without_gzip_changes_nothing(site: Site) -> None:
    answer = asked(site, 'ETag: "v"', path="/off")
    assert not is_zipped(answer)
    assert (answer.value("vary"), answer.value("etag")) == (None, '"v"')


def test_an_http_1_0_client_gets_it_plain(site: Site) -> None:
    proxy, backend = site
    backend.on("/old", saying(wire(200, ["Content-Type: text/plain"])))
    with Client(proxy.address) as client:
        answer = client.ask("GET", "/old", TAKES, version="1.0")
    assert not is_zipped(answer)
    assert answer.value("content-length") == str(len(BODY))
    assert answer.value("vary") == "Accept-Encoding"


@pytest.mark.parametrize(("given", "expected"), [
    ([], ["Accept-Encoding"]), (["Origin"], ["Origin", "Accept-Encoding"]), (["accept-encoding"], ["accept-encoding"]),
    (["Origin, Accept-Encoding"], ["Origin, Accept-Encoding"]),
    (["Origin", "Accept-Encoding"], ["Origin", "Accept-Encoding"]), (["*"], ["*"]),
    (["X-Accept-Encoding"], ["X-Accept-Encoding", "Accept-Encoding"]),
], ids=str)
@pytest.mark.parametrize("takes", [True, False], ids=["gzip", "plain"])
def test_vary_names_accept_encoding_once(site: Site, takes: bool, given: list[str], expected: list[str]) -> None:
    answer = asked(site, *[f"Vary: {value}" for value in given], takes=TAKES if takes else [])
    assert sorted(answer.values("vary")) == sorted(expected)


def test_a_vary_that_the_route_removes_or_connection_nominates_does_not_count(site: Site) -> None:
    edited = asked(site, "Vary: Accept-Encoding, Origin", path="/edited")
    assert (edited.values("vary"), edited.value("x-set")) == (["Accept-Encoding"], "ours")
    nominated = asked(site, "Vary: Accept-Encoding", 'ETag: "v"', "Connection: vary, etag")
    assert (nominated.values("vary"), nominated.values("etag")) == (["Accept-Encoding"], [])


@pytest.mark.parametrize(("given", "zipped"), [('"v1"', 'W/"v1"'), ('W/"v1"', 'W/"v1"'), ('""', 'W/""'), ("", "")])
def test_a_strong_etag_becomes_weak(site: Site, given: str, zipped: str) -> None:
    assert asked(site, f"ETag: {given}").values("etag") == [zipped]
    assert asked(site, f"ETag: {given}", takes=[]).values("etag") == [given]


def test_what_was_said_of_the_plain_bytes_goes_and_all_else_stays(site: Site) -> None:
    gone = ["Accept-Ranges: bytes", "Content-MD5: Zm9v", "Digest: sha-256=Zm9v", "Content-Digest: sha-256=:Zm9v:",
            "Repr-Digest: sha-256=:Zm9v:"]
    kept = ["Last-Modified: Sun, 29 Nov 2026 00:00:00 GMT", "X-Digest: 1", "Set-Cookie: a=1", "Set-Cookie: b=2"]
    answer = asked(site, *gone, *kept)
    assert is_zipped(answer)
    assert not [line for line in gone if answer.value(line.partition(":")[0])]
    assert [f"{name}: {value}" for name, value in answer.fields if f"{name}: {value}" in kept] == kept
    plain = asked(site, *gone, *kept, takes=[])
    assert [line for line in gone if plain.value(line.partition(":")[0])] == gone


@pytest.mark.parametrize("length", ["Content-Length: 2100", "Transfer-Encoding: chunked"])
def test_head_says_what_get_would(site: Site, length: str) -> None:
    proxy, backend = site
    backend.on("/head", saying(wire(200, ["Content-Type: text/plain", 'ETag: "v"', length], b"")))
    with Client(proxy.address) as client:
        for _ in range(2):  # and the connection goes on
            answer = client.ask("HEAD", "/head", TAKES)
            assert answer.body == b""
            assert answer.value("content-encoding") == "gzip"
            assert answer.value("content-length") is None
            assert (answer.value("etag"), answer.value("vary")) == ('W/"v"', "Accept-Encoding")
        plain = client.ask("HEAD", "/head")
        assert (plain.value("content-encoding"), plain.value("etag")) == (None, '"v"')
        assert plain.value("content-length") == ("2100" if "Length" in length else None)


def test_head_of_what_get_would_get_plain_keeps_its_length(site: Site) -> None:
    proxy, backend = site
    backend.on("/short", saying(wire(200, ["Content-Type: text/plain", "Content-Length: 999"], b"")))
    answer = fetch(proxy.address, "/short", "HEAD", TAKES)
    assert answer.value("content-length") == "999"
    assert (answer.value("content-encoding"), answer.value("vary")) == (None, None)


@pytest.mark.parametrize("fields", [[], ["Content-Type: text/plain"]], ids=["untyped", "typed"])
def test_a_304_names_the_answer_that_this_client_has(site: Site, fields: list[str]) -> None:
    proxy, backend = site
    backend.on("/not-modified", saying(wire(304, [*fields, 'ETag: "v"', f"Content-Length: {len(BODY)}"], b"")))
    with Client(proxy.address) as client:
        zipped = client.ask("GET", "/not-modified", TAKES)
        assert (zipped.value("etag"), zipped.value("vary")) == ('W/"v"', "Accept-Encoding")
        assert (zipped.value("content-encoding"), zipped.value("content-length")) == (None, None)
        plain = client.ask("GET", "/not-modified")
        assert (plain.value("etag"), plain.value("vary")) == ('"v"', "Accept-Encoding")
        assert plain.value("content-length") == str(len(BODY))


def test_a_204_stays_as_it_is(site: Site) -> None:
    proxy, backend = site
    backend.on("/none", saying(b"HTTP/1.1 204 No\r\nContent-Type: text/plain\r\n\r\n"))
    with Client(proxy.address) as client:
        for _ in range(2):
            answer = client.ask("GET", "/none", TAKES)
            assert (answer.value("content-encoding"), answer.value("vary")) == (None, None)


def test_interim_answers_before_it_are_left_alone(site: Site) -> None:
    proxy, backend = site
    hints = b"HTTP/1.1 103 Early Hints\r\nContent-Type: text/plain\r\nETag: \"v\"\r\nLink: </s.css>\r\n\r\n"
    backend.on("/hints", saying(hints + wire(200, ["Content-Type: text/plain"])))
    answer = fetch(proxy.address, "/hints", fields=TAKES)
    assert is_zipped(answer)
    assert ("ETag", '"v"') in answer.interim[0][1]
    assert "vary" not in [name.lower() for name, _ in answer.interim[0][1]]

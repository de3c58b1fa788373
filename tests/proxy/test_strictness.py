"""Whatever two parsers could read in two ways is refused, and none of it reaches a backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import Backend, Exchange
from tests.clients import Client, request_bytes
from tests.proxies import Proxy

Site = tuple[Proxy, Backend]

H = b"Host: test\r\n"


def get(target: bytes = b"/bad", fields: bytes = b"", *, host: bytes = H) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /bad HTTP/1.1\r\n" + H + fields + b"\r\n" + body


# Two rules are broken at once: which one is named first is the parser's choice.
CODING_OR_LIST = (400, 501)
LINE_OR_VERSION = (400, 505)

# Refused as soon as the head is seen. (name, bytes, status)
HEADS: list[tuple[str, bytes, int | tuple[int, ...]]] = [
    # Framing
    ("length with chunked", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("chunked with length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400),
    ("two equal lengths", post(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"x"), 400),
    ("two lengths", post(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"xx"), 400),
    ("list of equal lengths", post(b"Content-Length: 1, 1\r\n", b"x"), 400),
    ("list of lengths", post(b"Content-Length: 1, 2\r\n", b"x"), 400),
    ("plus length", post(b"Content-Length: +1\r\n", b"x"), 400),
    ("minus length", post(b"Content-Length: -1\r\n"), 400),
    ("hex length", post(b"Content-Length: 0x1\r\n", b"x"), 400),
    ("empty length", post(b"Content-Length:\r\n"), 400),
    ("blank length", post(b"Content-Length: \t \r\n"), 400),
    ("inner space length", post(b"Content-Length: 1 1\r\n", b"x"), 400),
    ("underscore length", post(b"Content-Length: 1_1\r\n", b"x"), 400),
    ("dot length", post(b"Content-Length: 1.0\r\n", b"x"), 400),
    ("exponent length", post(b"Content-Length: 1e1\r\n", b"x"), 400),
    ("arabic digit length", post("Content-Length: ١\r\n".encode(), b"x"), 400),
    ("length 2**63", post(b"Content-Length: 9223372036854775808\r\n"), 400),
    ("length 2**64", post(b"Content-Length: 18446744073709551616\r\n"), 400),
    ("length 2**64 + 1", post(b"Content-Length: 18446744073709551617\r\n", b"x"), 400),
    ("unknown coding", post(b"Transfer-Encoding: gzip\r\n"), 501),
    ("coding before chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), CODING_OR_LIST),
    ("chunked then gzip", post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), CODING_OR_LIST),
    ("identity", post(b"Transfer-Encoding: identity\r\n"), 501),
    ("chunked twice", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), CODING_OR_LIST),
    (
        "two chunked fields",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        CODING_OR_LIST,
    ),
    (
        "chunked, identity fields",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"),
        CODING_OR_LIST,
    ),
    ("empty coding", post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), 400),
    ("comma chunked", post(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"), CODING_OR_LIST),
    ("chunked comma", post(b"Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"), CODING_OR_LIST),
    ("xchunked", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501),
    ("chunked parameter", post(b"Transfer-Encoding: chunked;a=b\r\n", b"0\r\n\r\n"), CODING_OR_LIST),
    ("quoted chunked", post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), CODING_OR_LIST),
    ("vertical tab chunked", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), CODING_OR_LIST),
    ("chunked in 1.0", b"POST /bad HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Fields
    ("folded value", get(fields=b"X-A: b\r\n c\r\n"), 400),
    ("folded by tab", get(fields=b"X-A: b\r\n\tc\r\n"), 400),
    ("fold before first field", b"GET /bad HTTP/1.1\r\n X-A: b\r\n" + H + b"\r\n", 400),
    ("space before colon", get(fields=b"X-A : b\r\n"), 400),
    ("tab before colon", get(fields=b"X-A\t: b\r\n"), 400),
    ("space before colon of length", post(b"Content-Length : 1\r\n", b"x"), 400),
    ("no colon", get(fields=b"X-A\r\n"), 400),
    ("empty name", get(fields=b": b\r\n"), 400),
    ("inner space name", get(fields=b"X A: b\r\n"), 400),
    ("non-token name", get(fields=b"X(A): b\r\n"), 400),
    ("quote in name", get(fields=b'"X-A": b\r\n'), 400),
    ("non-ascii name", get(fields=b"X-\xe9: b\r\n"), 400),
    ("NUL in name", get(fields=b"X\x00A: b\r\n"), 400),
    ("NUL in value", get(fields=b"X-A: b\x00c\r\n"), 400),
    ("CR in value", get(fields=b"X-A: b\rc\r\n"), 400),
    ("CR before CRLF", get(fields=b"X-A: b\r\r\n"), 400),
    ("control in value", get(fields=b"X-A: b\x01c\r\n"), 400),
    ("DEL in value", get(fields=b"X-A: b\x7fc\r\n"), 400),
    ("bare LF between fields", get(fields=b"X-A: b\nX-B: c\r\n"), 400),
    ("bare LF at the end", b"GET /bad HTTP/1.1\r\n" + H + b"\n", 400),
    ("bare LF everywhere", b"GET /bad HTTP/1.1\nHost: test\n\n", 400),
    ("bare LF after the request line", b"GET /bad HTTP/1.1\n" + H + b"\r\n", 400),
    # Request line
    ("two spaces before target", b"GET  /bad HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two spaces before version", b"GET /bad  HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("tab before target", b"GET\t/bad HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("space after version", b"GET /bad HTTP/1.1 \r\n" + H + b"\r\n", 400),
    ("leading space", b" GET /bad HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("space in target", get(b"/bad x"), LINE_OR_VERSION),
    ("no target", b"GET HTTP/1.1\r\n" + H + b"\r\n", LINE_OR_VERSION),
    ("empty method", b" /bad HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("non-token method", b"GE(T /bad HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("non-ascii method", b"G\xc9T /bad HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("NUL first", b"\x00GET /bad HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two leading CRLF", b"\r\n\r\n" + get(), 400),
    ("leading LF", b"\n" + get(), 400),
    ("leading CR", b"\r" + get(), 400),
    ("version 0.9", b"GET /bad HTTP/0.9\r\n" + H + b"\r\n", LINE_OR_VERSION),
    ("version 1.2", b"GET /bad HTTP/1.2\r\n" + H + b"\r\n", 505),
    ("version 2.0", b"GET /bad HTTP/2.0\r\n" + H + b"\r\n", 505),
    ("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", LINE_OR_VERSION),
    ("lower-case http", b"GET /bad http/1.1\r\n" + H + b"\r\n", LINE_OR_VERSION),
    ("version 1.10", b"GET /bad HTTP/1.10\r\n" + H + b"\r\n", LINE_OR_VERSION),
    ("version 01.1", b"GET /bad HTTP/01.1\r\n" + H + b"\r\n", LINE_OR_VERSION),
    ("version 1", b"GET /bad HTTP/1\r\n" + H + b"\r\n", LINE_OR_VERSION),
    ("no version", b"GET /bad\r\n" + H + b"\r\n", LINE_OR_VERSION),
    ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    # Target
    ("NUL in target", get(b"/ba\x00d"), 400),
    ("control in target", get(b"/ba\x01d"), 400),
    ("DEL in target", get(b"/ba\x7fd"), 400),
    ("non-ascii target", get(b"/b\xc3\xa4d"), 400),
    ("fragment", get(b"/bad#x"), 400),
    ("backslash", get(b"/bad\\x"), 400),
    ("half escape", get(b"/bad%4"), 400),
    ("bad escape", get(b"/bad%zz"), 400),
    ("lone percent", get(b"/bad%"), 400),
    ("escaped NUL", get(b"/bad%00"), 400),
    ("relative target", get(b"bad"), 400),
    ("star GET", get(b"*"), 400),
    ("star and more", b"OPTIONS *x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("other scheme", get(b"ftp://test/bad"), 400),
    ("no authority", get(b"http:///bad"), 400),
    ("absolute disagrees", get(b"http://other/bad"), 400),
    ("userinfo", get(b"http://user@test/bad"), 400),
    ("above the root", get(b"/../bad"), 400),
    ("above the root, escaped", get(b"/%2e%2e/bad"), 400),
    ("above the root, deep", get(b"/a/../../bad"), 400),
    # Host
    ("no host", get(host=b""), 400),
    ("two hosts", get(host=b"Host: test\r\nHost: test\r\n"), 400),
    ("two different hosts", get(host=b"Host: test\r\nHost: other\r\n"), 400),
    ("empty host", get(host=b"Host:\r\n"), 400),
    ("host with slash", get(host=b"Host: test/x\r\n"), 400),
    ("host with user", get(host=b"Host: a@test\r\n"), 400),
    ("host list", get(host=b"Host: test, other\r\n"), 400),
    ("host with space", get(host=b"Host: te st\r\n"), 400),
    ("host with bad port", get(host=b"Host: test:80x\r\n"), 400),
    ("host with two ports", get(host=b"Host: test:80:80\r\n"), 400),
    ("host non-ascii", get(host=b"Host: t\xc3\xa9st\r\n"), 400),
    ("host with escape", get(host=b"Host: te%73t\r\n"), 400),
    ("host open bracket", get(host=b"Host: [::1\r\n"), 400),
    ("host bracket junk", get(host=b"Host: [::1]x\r\n"), 400),
    ("host bracket name", get(host=b"Host: [test]\r\n"), 400),
]

# Refused while the body comes: forwarding may have begun, but no complete request ever arrives. (name, body)
CHUNKS: list[tuple[str, bytes]] = [
    ("no size", b"\r\nabc\r\n0\r\n\r\n"),
    ("bad size", b"g\r\nabc\r\n0\r\n\r\n"),
    ("0x size", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("plus size", b"+3\r\nabc\r\n0\r\n\r\n"),
    ("minus size", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("underscore size", b"0_3\r\nabc\r\n0\r\n\r\n"),
    ("space before size", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("space after size", b"3 \r\nabc\r\n0\r\n\r\n"),
    ("tab after size", b"3\t\r\nabc\r\n0\r\n\r\n"),
    ("seventeen digits", b"00000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("size 2**63", b"8000000000000000\r\nabc\r\n0\r\n\r\n"),
    ("size wraps to 3", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("LF after size", b"3\nabc\r\n0\r\n\r\n"),
    ("CR after size", b"3\rabc\r\n0\r\n\r\n"),
    ("CR CR LF after size", b"3\r\r\nabc\r\n0\r\n\r\n"),
    ("LF after data", b"3\r\nabc\n0\r\n\r\n"),
    ("CR after data", b"3\r\nabc\rX0\r\n\r\n"),
    ("nothing after data", b"3\r\nabc0\r\n\r\n"),
    ("data too long", b"3\r\nabcd\r\n0\r\n\r\n"),
    ("LF after last size", b"3\r\nabc\r\n0\n\r\n"),
    ("LF at the end", b"3\r\nabc\r\n0\r\n\n"),
    ("CR at the end", b"3\r\nabc\r\n0\r\n\rX"),
    ("LF in extension", b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("CR in extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("control in extension", b"3;a\x01\r\nabc\r\n0\r\n\r\n"),
    ("nameless extension", b"3;\r\nabc\r\n0\r\n\r\n"),
    ("valueless extension", b"3;a=\r\nabc\r\n0\r\n\r\n"),
    ("open quote", b'3;a="b\r\nabc\r\n0\r\n\r\n'),
    ("extension flood", b"3;" + b"a" * 5000 + b"\r\nabc\r\n0\r\n\r\n"),
    ("many small extensions", b"1;abcdefgh\r\nx\r\n" * 600 + b"0\r\n\r\n"),
    ("trailer without colon", b"3\r\nabc\r\n0\r\nX-A\r\n\r\n"),
    ("trailer with space before colon", b"3\r\nabc\r\n0\r\nX-A : b\r\n\r\n"),
    ("folded trailer", b"3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
    ("empty trailer name", b"3\r\nabc\r\n0\r\n: b\r\n\r\n"),
    ("LF in trailers", b"3\r\nabc\r\n0\r\nX-A: b\n\r\n"),
    ("trailer flood", b"3\r\nabc\r\n0\r\n" + b"X-Trailer: 0123456789\r\n" * 2000 + b"\r\n"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}}},
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"path": "/canned"}, "respond": {"body": "canned"}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def refused(client: Client, status: int | tuple[int, ...], method: str = "GET") -> None:
    """The client is told why, and the connection ends; the answer is well-formed and says so itself."""
    answer = client.answer(method)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    assert answer.says_close
    assert answer.value("content-type") == "application/problem+json"
    assert client.rest() == b""


def nothing_arrived(site: Site, before: int) -> None:
    """No request but our own has reached the backend since `before`."""
    proxy, backend = site
    # A request forwarded by mistake would have left before this one.
    with Client(proxy.address) as client:
        assert client.ask("GET", "/sentinel").status == 200
    assert backend.n_seen == before + 1, [exchange.target for exchange in backend.seen("/bad")]


@pytest.mark.parametrize(("raw", "status"), [pytest.param(raw, status, id=name) for name, raw, status in HEADS])
def test_a_bad_head_is_refused_and_not_forwarded(site: Site, raw: bytes, status: int | tuple[int, ...]) -> None:
    proxy, backend = site
    before = backend.n_seen
    with Client(proxy.address) as client:
        client.send(raw + request_bytes("GET", "/bad/behind"))
        refused(client, status)
    nothing_arrived(site, before)


@pytest.mark.parametrize(("raw", "status"), [pytest.param(raw, status, id=name) for name, raw, status in HEADS])
def test_a_bad_head_is_refused_however_it_is_cut(site: Site, raw: bytes, status: int | tuple[int, ...]) -> None:
    proxy, backend = site
    before = backend.n_seen
    with Client(proxy.address) as client:
        client.drip(raw)
        refused(client, status)
    for cut in range(1, min(len(raw), 80)):
        with Client(proxy.address) as client:
            client.send(raw[:cut])
            client.send(raw[cut:])
            refused(client, status)
    nothing_arrived(site, before)


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in CHUNKS])
def test_a_bad_chunked_body_is_refused_and_never_completed(site: Site, body: bytes) -> None:
    proxy, backend = site
    backend.on("/bad", Exchange.body)
    head = post(b"Transfer-Encoding: chunked\r\n")
    before = len(backend.seen("/bad"))
    cuts = range(min(len(body), 60)) if len(body) < 100 else (0, len(body) // 2)
    for cut in cuts:
        with Client(proxy.address) as client:
            client.send(head + body[:cut])
            client.send(body[cut:])
            refused(client, 400, "POST")
    with Client(proxy.address) as client:
        client.drip(head + body[:100])
        client.send(body[100:])
        refused(client, 400, "POST")
    for exchange in backend.seen("/bad")[before:]:
        assert exchange.cut.wait(5), "the upstream connection was not aborted"
        assert not exchange.complete


def test_a_length_is_kept_to_when_the_client_ends_early(site: Site) -> None:
    proxy, backend = site
    backend.on("/short", Exchange.body)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/short", [("Content-Length", "10")]) + b"four")
        (exchange,) = backend.wait_seen("/short")
        client.close()
    assert exchange.cut.wait(5)
    assert not exchange.complete


ACCEPTED: list[tuple[str, bytes, str, str]] = [
    # (name, bytes, target at the backend, body at the backend)
    ("leading CRLF", b"\r\n" + get(b"/good"), "/good", ""),
    ("no space after colon", get(b"/good", b"X-A:b\r\n"), "/good", ""),
    ("tabs around value", get(b"/good", b"X-A:\t b\t \r\n"), "/good", ""),
    ("tab in value", get(b"/good", b"X-A: b\tc\r\n"), "/good", ""),
    ("high bytes in value", get(b"/good", b"X-A: \xc3\xa9\xff\r\n"), "/good", ""),
    ("odd token name", get(b"/good", b"!#$%&'*+-.^`|~9a: b\r\n"), "/good", ""),
    ("host with port", get(b"/good", host=b"Host: test:8080\r\n"), "/good", ""),
    ("host with v6", get(b"/good", host=b"Host: [::1]:8080\r\n"), "/good", ""),
    ("host v4", get(b"/good", host=b"Host: 127.0.0.1\r\n"), "/good", ""),
    ("1.0 without host", b"GET /good HTTP/1.0\r\n\r\n", "/good", ""),
    ("absolute", get(b"http://test/good?q"), "/good?q", ""),
    ("absolute, case differs", get(b"HTTP://TEST/good"), "/good", ""),
    ("absolute, no path", get(b"http://test"), "/", ""),
    ("percent in query", get(b"/good?a=%zz%"), "/good?a=%zz%", ""),
    ("dots and escapes", get(b"/x/./../good%20%2F"), "/good%20%2F", ""),
    ("leading zeros", b"POST /good HTTP/1.1\r\n" + H + b"Content-Length: 0004\r\n\r\nbody", "/good", "body"),
    ("zero length", b"POST /good HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n", "/good", ""),
    (
        "chunked in capitals",
        b"POST /good HTTP/1.1\r\n" + H + b"Transfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "/good",
        "body",
    ),
    (
        "extensions",
        b"POST /good HTTP/1.1\r\n"
        + H
        + b'Transfer-Encoding: chunked\r\n\r\n04;a;b=c;d="e;\\"f"\r\nbody\r\n000;z\r\n\r\n',
        "/good",
        "body",
    ),
    (
        "sixteen digits",
        b"POST /good HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0000000000000004\r\nbody\r\n0\r\n\r\n",
        "/good",
        "body",
    ),
    ("GET with a body", b"GET /good HTTP/1.1\r\n" + H + b"Content-Length: 4\r\n\r\nbody", "/good", "body"),
]


@pytest.mark.parametrize(("raw", "target", "body"), [pytest.param(*rest, id=name) for name, *rest in ACCEPTED])
def test_what_is_unambiguous_is_forwarded_however_it_is_cut(site: Site, raw: bytes, target: str, body: str) -> None:
    proxy, _backend = site
    with Client(proxy.address) as client:
        client.send(raw)
        seen = client.answer().json()
    assert (seen["target"], seen["body"]) == (target, body)
    # One connection for all cuts: each answer also proves that the one before was read to its exact end.
    keeps_alive = b"HTTP/1.0" not in raw
    client = Client(proxy.address)
    for cut in range(1, len(raw)):
        client.send(raw[:cut])
        client.send(raw[cut:])
        again = client.answer().json()
        assert (again["target"], again["body"]) == (target, body), cut
        if not keeps_alive:
            client.close()
            client = Client(proxy.address)
    client.close()


def test_a_length_is_normalised(site: Site) -> None:
    proxy, backend = site
    with Client(proxy.address) as client:
        client.ask("POST", "/normal", [("Content-Length", "0004")], b"body")
    assert backend.seen("/normal")[0].values("content-length") == ["4"]


def test_options_star_reaches_the_backend_as_star_or_root(site: Site) -> None:
    proxy, _backend = site
    with Client(proxy.address) as client:
        assert client.ask("OPTIONS", "*").json()["target"] in ("*", "/")


def test_a_good_request_before_a_bad_one_is_answered_first(site: Site) -> None:
    proxy, _backend = site
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/first") + get(fields=b"X-A : b\r\n"))
        assert client.answer().json()["target"] == "/first"
        refused(client, 400)


def test_a_client_that_keeps_sending_still_gets_its_400(site: Site) -> None:
    # Closing with unread input would send RST, and the answer would be lost on the way.
    proxy, _backend = site
    for _ in range(5):
        with Client(proxy.address) as client:
            client.send(get(fields=b"X-A : b\r\n") + bytes(40_000))
            refused(client, 400)


def test_an_answer_is_never_followed_by_another_for_the_refused_tail(site: Site) -> None:
    proxy, backend = site
    with Client(proxy.address) as client:
        client.send(
            post(
                b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + request_bytes("GET", "/smuggled")
            )
        )
        refused(client, 400, "POST")
    with Client(proxy.address) as client:
        client.send(get(b"/bad#"))
        assert client.answer().status == 400
        client.send(request_bytes("GET", "/smuggled"))
        assert client.rest() == b""
    assert not backend.seen("/smuggled")

"""Rates, concurrency, connections and sizes: who is over a limit hears so at once, and nobody else notices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.backends import Backend, Exchange, Gate
from tests.clients import Client, CutShort, chunked, fetch, request_bytes
from tests.proxies import Proxy
from tests.waiting import wait_for

Site = tuple[Proxy, Backend]

# So slow that no second request passes while a test runs.
SLOW = "1/m"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "workers": 2,
            "upstreams": {"b": {"servers": [backend.address]}},
            "rate_limits": {
                "tight": {"key": "route", "rate": SLOW, "burst": 2},
                "plain": {"key": "client_ip", "rate": SLOW},
                "by_header": {"key": "header:X-Key", "rate": SLOW},
                "by_cookie": {"key": "cookie:sid", "rate": SLOW},
                "by_host": {"key": "host", "rate": SLOW},
                "by_both": {"key": ["client_ip", "header:x-key"], "rate": SLOW},
                "wide": {"key": "route", "rate": SLOW, "burst": 100},
                "narrow": {"key": "header:x-key", "rate": SLOW, "burst": 1},
                "dry": {"key": "route", "rate": SLOW, "dry_run": True},
                "spoken": {"key": "route", "rate": SLOW, "burst": 4, "headers": "always"},
                "silent": {"key": "route", "rate": SLOW, "headers": "never"},
                "other_status": {"key": "route", "rate": SLOW, "status": 503},
                "shared": {"key": "route", "rate": SLOW, "burst": 9},
                "quick": {"key": "route", "rate": "20/s"},
            },
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                *(
                    {"name": name, "match": {"prefix": f"/{name}"}, "upstream": "b", "rate_limit": limit}
                    for name, limit in [
                        ("tight", "tight"),
                        ("plain", "plain"),
                        ("header", "by_header"),
                        ("cookie", "by_cookie"),
                        ("host", "by_host"),
                        ("both", "by_both"),
                        ("list", ["wide", "narrow"]),
                        ("dry", "dry"),
                        ("spoken", "spoken"),
                        ("silent", "silent"),
                        ("status", "other_status"),
                        ("shared", "shared"),
                        ("quick", "quick"),
                    ]
                ),
                {"name": "one", "match": {"prefix": "/one"}, "upstream": "b", "concurrency": 1},
                # of its own: a place is given back just after the answer, so who asks at once may meet a full route
                {"name": "lone", "match": {"prefix": "/lone"}, "upstream": "b", "concurrency": 1},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def statuses(site: Site, target: str, *who: dict[str, str], n: int = 2, **more: str) -> list[list[int]]:
    """For each set of fields, the statuses of `n` requests."""
    return [
        [fetch(site[0].address, target, fields=list(fields.items()), **more).status for _ in range(n)] for fields in who
    ]


def test_burst_and_one_pass_then_429_says_when_to_come_back(site: Site) -> None:
    proxy, backend = site
    assert statuses(site, "/tight", {}, n=3) == [[200, 200, 200]]
    answer = fetch(proxy.address, "/tight")
    assert answer.status == 429
    assert answer.value("content-type") == "application/problem+json"
    assert 50 <= int(answer.value("retry-after") or "") <= 60
    assert re.fullmatch(r'"tight";q=3;w=[1-9]\d*', answer.value("ratelimit-policy") or "")
    limit = re.fullmatch(r'"tight";r=0;t=([1-9]\d*)', answer.value("ratelimit") or "")
    assert limit, answer.fields
    assert int(limit[1]) >= 1
    assert len(backend.seen("/tight")) == 3


def test_a_refusal_leaves_the_connection_open(site: Site) -> None:
    with Client(site[0].address, source="127.3.0.1") as client:
        assert [client.ask("GET", "/plain").status for _ in range(3)] == [200, 429, 429]
        assert client.ask("GET", "/free").status == 200


def test_each_client_address_has_its_own_allowance(site: Site) -> None:
    for source in ("127.4.0.1", "127.4.0.2", "127.5.0.1"):
        got = [fetch(site[0].address, "/plain", source=source).status for _ in range(2)]
        assert got == [200, 429], source


def test_a_header_is_a_key_and_without_it_there_is_no_limit(site: Site) -> None:
    assert statuses(site, "/header", {"x-key": "a"}, {"x-key": "b"}, {}) == [[200, 429], [200, 429], [200, 200]]


def test_a_cookie_is_a_key(site: Site) -> None:
    jars = [{"Cookie": "sid=a"}, {"Cookie": "x=sid=a; sid=b"}, {"Cookie": "xsid=a"}, {"Cookie": "lang=en; sid=a"}]
    assert statuses(site, "/cookie", *jars) == [[200, 429], [200, 429], [200, 200], [429, 429]]


def test_the_host_is_a_key(site: Site) -> None:
    hosts = ["a.example", "b.example", "A.EXAMPLE"]
    assert [statuses(site, "/host", {}, host=host)[0] for host in hosts] == [[200, 429], [200, 429], [429, 429]]


def test_keys_combine(site: Site) -> None:
    def status(source: str, key: str) -> int:
        return fetch(site[0].address, "/both", fields=[("x-key", key)], source=source).status

    combinations = [("127.6.0.1", "a"), ("127.6.0.1", "b"), ("127.6.0.2", "a")]
    assert [status(*combination) for combination in combinations] == [200, 200, 200]
    assert [status(*combination) for combination in combinations] == [429, 429, 429]


def test_all_limits_of_a_list_must_agree(site: Site) -> None:
    assert statuses(site, "/list", {"x-key": "a"}, {"x-key": "b"}, n=3) == [[200, 200, 429], [200, 200, 429]]


def test_a_dry_run_counts_and_refuses_nobody(site: Site) -> None:
    before = site[0].metric("hotpath_proxy_limited_total", limit="dry")
    assert statuses(site, "/dry", {}, n=4) == [[200, 200, 200, 200]]
    wait_for(lambda: site[0].metric("hotpath_proxy_limited_total", limit="dry") == before + 3, "three counted")


def test_the_allowance_is_told_always_or_never_when_asked(site: Site) -> None:
    for remaining in (4, 3, 2):
        answer = fetch(site[0].address, "/spoken")
        assert answer.status == 200
        assert (answer.value("ratelimit-policy") or "").startswith('"spoken";q=5;w=')
        assert (answer.value("ratelimit") or "").startswith(f'"spoken";r={remaining};t=')
    assert statuses(site, "/silent", {}) == [[200, 429]]
    answer = fetch(site[0].address, "/silent")
    assert (answer.value("ratelimit"), answer.value("ratelimit-policy")) == (None, None)


def test_the_status_can_be_chosen(site: Site) -> None:
    assert statuses(site, "/status", {}) == [[200, 503]]


def test_workers_share_the_allowance(site: Site) -> None:
    got = [fetch(site[0].address, "/shared").status for _ in range(40)]
    assert (got.count(200), got.count(429)) == (10, 30)


def test_the_allowance_grows_back(site: Site) -> None:
    assert fetch(site[0].address, "/quick").status == 200
    wait_for(lambda: fetch(site[0].address, "/quick").status == 429, "a refusal")
    wait_for(lambda: fetch(site[0].address, "/quick").status == 200, "a new allowance")


def test_refusals_are_counted_by_limit(site: Site) -> None:
    before = site[0].metric("hotpath_proxy_limited_total", limit="by_header")
    assert statuses(site, "/header", {"x-key": "metric"}, n=3) == [[200, 429, 429]]
    wait_for(lambda: site[0].metric("hotpath_proxy_limited_total", limit="by_header") == before + 2, "two counted")


def test_concurrency_over_the_limit_is_503_until_a_request_ends(site: Site) -> None:
    proxy, backend = site
    gate = Gate()
    backend.on("/one/held", gate)
    with Client(proxy.address) as holder:
        holder.send(request_bytes("GET", "/one/held"))
        backend.wait_seen("/one/held")
        for _ in range(4):  # over both workers, some of them
            answer = fetch(proxy.address, "/one/more")
            assert (answer.status, answer.value("retry-after")) == (503, "1")
        gate.open()
        assert holder.answer().status == 200
    wait_for(lambda: fetch(proxy.address, "/one/after").status == 200, "the place to be free")
    assert not backend.seen("/one/more")


def test_a_client_that_leaves_gives_its_place_back(site: Site) -> None:
    proxy, backend = site
    gate = Gate()
    backend.on("/lone/left", gate)
    with Client(proxy.address) as holder:
        holder.send(request_bytes("GET", "/lone/left"))
        backend.wait_seen("/lone/left")
    wait_for(lambda: fetch(proxy.address, "/lone/next").status == 200, "the place to be free")
    gate.open()


@pytest.fixture(scope="module")
def small() -> Iterator[Site]:
    """A proxy with tight sizes, and at most four connections per client address."""
    with Backend() as backend:
        config = {
            "limits": {
                "connections_per_ip": 4,
                "request_line": 200,
                "head": "1k",
                "fields": 10,
                "body": 1000,
                "requests_per_connection": 5,
            },
            "upstreams": {"b": {"servers": [backend.address]}},
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"prefix": "/large"}, "upstream": "b", "limits": {"body": "1m"}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request_bytes("GET", "/" + "x" * 250), 414),
        (b"GET /" + b"x" * 250, 414),  # known before the line ends
        (request_bytes("GET", "/x", [("X-Long", "y" * 1100)]), 431),
        (b"GET /x HTTP/1.1\r\nX-Long: " + b"y" * 1100, 431),
        (request_bytes("GET", "/x", [(f"X-{i}", "y") for i in range(11)]), 431),
        (request_bytes("POST", "/x", [("Content-Length", "1001")]), 413),
        (request_bytes("POST", "/x", [("Content-Length", "9223372036854775807")]), 413),
        (request_bytes("POST", "/x", [("Content-Length", "1001"), ("Expect", "100-continue")]), 413),
        (request_bytes("POST", "/large", [("Content-Length", "1048577")]), 413),
    ],
    ids=["line", "open line", "head", "open head", "fields", "body", "huge body", "expecting body", "route's body"],
)
def test_a_request_over_a_size_is_refused_without_reading_the_rest(small: Site, raw: bytes, status: int) -> None:
    proxy, backend = small
    before = backend.n_seen
    with Client(proxy.address) as client:
        client.send(raw)
        answer = client.answer("POST")
        assert (answer.status, answer.interim) == (status, [])
        assert client.rest() == b""
    assert backend.n_seen == before


def test_a_chunked_body_over_the_size_is_cut(small: Site) -> None:
    proxy, backend = small
    backend.on("/chunky", Exchange.body)
    with Client(proxy.address) as client:
        client.send(request_bytes("POST", "/chunky", [("Transfer-Encoding", "chunked")], chunked(*[b"x" * 100] * 11)))
        assert client.answer("POST").status == 413
        assert client.rest() == b""
    assert not any(exchange.complete for exchange in backend.seen("/chunky"))


def test_what_fits_passes(small: Site) -> None:
    proxy, _backend = small
    fields = [(f"X-{i}", "y") for i in range(8)]
    assert fetch(proxy.address, "/" + "x" * 150, "POST", fields, b"z" * 1000).status == 200
    assert len(fetch(proxy.address, "/large", "POST", body=b"z" * 100_000).json()["body"]) == 100_000


def test_a_connection_ends_after_its_share_of_requests(small: Site) -> None:
    with Client(small[0].address) as client:
        answers = [client.ask("GET", "/share") for _ in range(5)]
        assert [answer.status for answer in answers] == [200] * 5
        assert [answer.says_close for answer in answers] == [False] * 4 + [True]
        assert client.rest() == b""


def test_connections_over_the_limit_of_an_address_are_turned_away(small: Site) -> None:
    proxy, _backend = small
    clients = [Client(proxy.address, source="127.7.0.1") for _ in range(4)]
    try:
        assert [client.ask("GET", "/in").status for client in clients] == [200] * 4
        # Closed without a word is as good: no request was read.
        with suppress(CutShort):
            turned_away = fetch(proxy.address, "/out", source="127.7.0.1")
            assert (turned_away.status, turned_away.value("retry-after")) == (429, "1")
        assert fetch(proxy.address, "/other", source="127.7.0.2").status == 200
    finally:
        for client in clients:
            client.close()

    def welcome() -> bool:
        try:
            return fetch(proxy.address, "/again", source="127.7.0.1").status == 200
        except CutShort:
            return False

    wait_for(welcome, "a place for the address")

"""What the admin address tells, and to whom."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.backends import Backend, Exchange, Gate
from tests.clients import Answer, Client, fetch, request_bytes
from tests.proxies import Proxy, free_address
from tests.waiting import wait_for

JSON = [("Content-Type", "application/json")]
KEYS = ["address", "weight", "state", "source", "in_flight", "requests", "failures", "ewma_ms", "idle"]

Site = tuple[Proxy, Backend]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "workers": 2,
            "upstreams": {"api": {"servers": [backend.address]}},
            "routes": [
                {"name": "items", "match": {"prefix": "/items"}, "upstream": "api"},
                {"name": "canned", "match": {"prefix": "/canned"}, "respond": {"status": 418}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def test_healthz_is_200(site: Site) -> None:
    assert fetch(site[0].admin, "/healthz").status == 200


def test_metrics_are_prometheus_text(site: Site) -> None:
    proxy, _backend = site
    fetch(proxy.address, "/items/format")
    answer = fetch(proxy.admin, "/metrics")
    assert (answer.value("content-type") or "").startswith("text/plain")
    text = answer.body.decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    expected = (
        "requests_total request_seconds connections upstream_requests_total upstream_up upstream_seconds retries_total "
        "limited_total rejected_total log_dropped_total reloads_total workers config_generation"
    )
    # The exposition format lets a counter's TYPE line leave out or carry its _total.
    missing = {f"hotpath_proxy_{n}" for n in expected.split()} - names - {f"{name}_total" for name in names}
    assert not missing
    assert proxy.metrics()


def test_every_request_is_counted_once_whichever_worker_had_it(site: Site) -> None:
    proxy, backend = site
    before = proxy.metric("hotpath_proxy_requests_total", route="items", code="200")
    up_before = proxy.metric("hotpath_proxy_upstream_requests_total", upstream="api", server=backend.address)
    for i in range(25):
        fetch(proxy.address, f"/items/{i}")

    def grown() -> tuple[float, float]:
        return (
            proxy.metric("hotpath_proxy_requests_total", route="items", code="200") - before,
            proxy.metric("hotpath_proxy_upstream_requests_total", upstream="api", server=backend.address) - up_before,
        )

    wait_for(lambda: grown() == (25, 25), "25 requests counted")


def test_codes_and_routes_are_told_apart(site: Site) -> None:
    proxy, backend = site
    backend.on("/items/500", lambda exchange: exchange.answer(b"", status=500))
    before = proxy.metrics()
    fetch(proxy.address, "/items/500")
    fetch(proxy.address, "/canned")
    wait_for(lambda: proxy.metric("hotpath_proxy_requests_total", route="items", code="500") == 1, "the 500")
    wait_for(lambda: proxy.metric("hotpath_proxy_requests_total", route="canned", code="418") == 1, "the 418")
    assert before


def test_the_histogram_of_durations_counts_every_request(site: Site) -> None:
    proxy, _backend = site
    before = proxy.metric("hotpath_proxy_request_seconds_count")
    for _ in range(3):
        fetch(proxy.address, "/items/timed")
    wait_for(lambda: proxy.metric("hotpath_proxy_request_seconds_count") == before + 3, "three durations")


def test_refused_requests_are_counted(site: Site) -> None:
    proxy, _backend = site
    before = proxy.metric("hotpath_proxy_rejected_total")
    with Client(proxy.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.answer().status == 400
    wait_for(lambda: proxy.metric("hotpath_proxy_rejected_total") == before + 1, "the refusal")


def test_workers_and_servers_have_gauges(site: Site) -> None:
    proxy, backend = site
    assert proxy.metric("hotpath_proxy_workers") == 2
    assert proxy.metric("hotpath_proxy_upstream_up", upstream="api", server=backend.address) == 1
    assert proxy.metric("hotpath_proxy_config_generation") >= 1


def test_open_connections_are_counted_and_come_down(site: Site) -> None:
    proxy, backend = site
    gate = Gate()
    backend.on("/items/open", gate)

    clients = [Client(proxy.address) for _ in range(5)]
    for client in clients:
        client.send(request_bytes("GET", "/items/open"))
    backend.wait_seen("/items/open", 5)
    wait_for(lambda: proxy.connections() >= 5, "five connections")
    for client in clients:
        client.close()
    gate.open()
    wait_for(lambda: proxy.connections() == 0, "no connections")


def test_what_is_not_there_is_a_problem(site: Site) -> None:
    proxy, _backend = site
    answer = fetch(proxy.admin, "/nothing")
    assert (answer.status, answer.value("content-type")) == (404, "application/problem+json")
    answer = fetch(proxy.admin, "/metrics", "POST", body=b"")
    assert answer.status == 405
    assert "GET" in (answer.value("allow") or "")


def test_the_admin_address_is_not_the_public_one(site: Site) -> None:
    assert fetch(site[0].address, "/metrics").status == 404


def test_a_token_file_closes_the_door(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    admin = {"address": free_address(), "token_file": str(token)}
    with Proxy({"admin": admin, "routes": [{"match": {"prefix": "/"}, "respond": {"status": 200}}]}) as proxy:

        def status(*fields: tuple[str, str]) -> int:
            return fetch(admin["address"], "/metrics", fields=fields).status

        assert fetch(proxy.address, "/").status == 200
        assert status() == 401
        assert status(("Authorization", "Bearer wrong")) == 401
        assert status(("Authorization", "s3cret")) == 401
        assert status(("Authorization", "Bearer s3cret")) == 200
        assert status(("Authorization", "Bearer s3cret"), ("Host", "admin.example")) == 200     # no page has the token


OWN_NAMES = ["localhost", "LOCALHOST:1", "proxy.localhost", "localhost.", "127.0.0.1:9900", "[::1]:80", "192.0.2.1"]
OTHER_NAMES = ["evil.example", "evil.example:9900", "127.0.0.1.evil.example", "localhost.evil.example", "machine"]


@pytest.mark.parametrize("host", OWN_NAMES)
def test_who_asks_by_a_name_that_only_we_can_have_is_answered(site: Site, host: str) -> None:
    assert fetch(site[0].admin, "/v1/upstreams", host=host).status == 200


@pytest.mark.parametrize("host", OTHER_NAMES)
def test_a_name_that_was_made_to_point_here_reads_nothing(site: Site, host: str) -> None:
    """DNS rebinding: to its browser, a page of that name is of our origin."""
    for path in ("/v1/upstreams", "/v1/config", "/metrics", "/healthz", "/none"):
        answer = fetch(site[0].admin, path, host=host)
        assert (answer.status, answer.value("content-type")) == (403, "application/problem+json")
        assert f"the name {host} is not answered; allowed: localhost or an IP address" in answer.json()["detail"]


def test_who_asks_by_no_name_is_answered(site: Site) -> None:
    with Client(site[0].admin) as client:
        assert client.ask("GET", "/healthz", version="1.0", host=None).status == 200


def test_a_unix_socket_has_no_name_to_ask_by(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with Proxy({"admin": f"unix:{path}", "routes": [{"respond": {}}]}), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(request_bytes("GET", "/healthz", host="any.example"))
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_broken_exchange_leaves_no_gauge_up(site: Site) -> None:
    proxy, backend = site

    def die(exchange: Exchange) -> None:
        exchange.body()
        exchange.reset()

    backend.on("/items/dies", die)
    for _ in range(2):
        assert fetch(proxy.address, "/items/dies", "POST", body=b"x").status == 502
    wait_for(lambda: proxy.connections() == 0, "no connections")


def ask(proxy: Proxy, method: str, path: str, body: str | None = None) -> Answer:
    return fetch(proxy.admin, path, method, fields=JSON, body=None if body is None else body.encode())


def servers(proxy: Proxy, upstream: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = ask(proxy, "GET", "/v1/upstreams").json()[upstream]["servers"]
    return listed


def addresses(proxy: Proxy, upstream: str) -> list[str]:
    return [server["address"] for server in servers(proxy, upstream)]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose servers need not exist: nobody asks them."""
    unix = tmp_path_factory.mktemp("unix") / "a b.sock"
    config = {
        "workers": 2,
        "upstreams": {
            "api": {"balance": "p2c", "servers": ["127.0.0.1:1001", {"address": "127.0.0.1:1002", "weight": 3}]},
            "odd": {"servers": ["127.0.0.1:1001", "[::1]:1002", f"unix:{unix}", "localhost:1003"]},
            "one": {"servers": ["127.0.0.1:1001"]},
            "web": {"servers": ["127.0.0.1:1001"]},
        },
        "routes": [{"upstream": "api"}],
    }
    with Proxy(config) as proxy:
        yield proxy


def test_upstreams_are_listed_with_what_is_known_of_each_server(live: Proxy) -> None:
    listed = ask(live, "GET", "/v1/upstreams").json()
    assert list(listed) == ["api", "odd", "one", "web"]
    assert listed["api"]["balance"] == "p2c"
    first, second = listed["api"]["servers"]
    assert list(first) == KEYS
    assert (first["address"], first["weight"], first["state"], first["source"]) == ("127.0.0.1:1001", 1, "up", "file")
    assert [first[key] for key in KEYS[4:]] == [0, 0, 0, None, 0]
    assert second["weight"] == 3


def test_a_server_is_added_changed_and_removed(live: Proxy) -> None:
    made = ask(live, "POST", "/v1/upstreams/web/servers", '{"address": "127.0.0.1:2001", "weight": 5}')
    assert (made.status, made.json()["source"], made.json()["weight"]) == (201, "admin", 5)
    place = made.value("location") or ""
    assert place == "/v1/upstreams/web/servers/127.0.0.1:2001"
    assert addresses(live, "web") == ["127.0.0.1:1001", "127.0.0.1:2001"]
    for body, weight, state in (('{"weight": 7}', 7, "up"), ('{"state": "draining"}', 7, "draining"),
                                ('{"state": "up", "weight": 1}', 1, "up")):
        changed = ask(live, "PATCH", place, body)
        assert (changed.status, changed.json()["weight"], changed.json()["state"]) == (200, weight, state)
        assert servers(live, "web")[1]["state"] == state
    gone = ask(live, "DELETE", place)
    assert (gone.status, gone.json()["state"]) == (202, "draining")
    wait_for(lambda: addresses(live, "web") == ["127.0.0.1:1001"], "the server to go")
    assert ask(live, "DELETE", place).status == 404


def test_a_weight_need_not_be_given(live: Proxy) -> None:
    assert ask(live, "POST", "/v1/upstreams/one/servers", '{"address": "127.0.0.1:2002"}').json()["weight"] == 1
    assert ask(live, "DELETE", "/v1/upstreams/one/servers/127.0.0.1:2002").status == 202
    wait_for(lambda: len(addresses(live, "one")) == 1, "the server to go")


@pytest.mark.parametrize("raw", [False, True], ids=["percent-encoded", "as it stands"])
@pytest.mark.parametrize("i", range(4))
def test_every_address_of_the_list_can_be_named(live: Proxy, i: int, raw: bool) -> None:
    address = addresses(live, "odd")[i]
    place = f"/v1/upstreams/odd/servers/{quote(address, safe='/:[]' if raw else '')}"
    weight = 10 + 2 * i + raw
    answer = ask(live, "PATCH", place, f'{{"weight": {weight}}}')
    assert (answer.status, answer.json()["address"], answer.json()["weight"]) == (200, address, weight)
    assert servers(live, "odd")[i]["weight"] == weight


def test_an_ipv6_address_and_a_unix_socket_can_be_added(live: Proxy, tmp_path: Path) -> None:
    for address in ("[fd00::1]:80", f"unix:{tmp_path}/s"):
        made = ask(live, "POST", "/v1/upstreams/odd/servers", f'{{"address": "{address}"}}')
        assert (made.status, made.json()["address"]) == (201, address)
        assert ask(live, "DELETE", made.value("location") or "").status == 202
    wait_for(lambda: len(addresses(live, "odd")) == 4, "the servers to go")


BAD_NEW = [
    ("unknown upstream", "none", '{"address": "127.0.0.1:1"}', 404, "known: api, odd, one, web"),
    ("known already", "api", '{"address": "127.0.0.1:1002"}', 409, "127.0.0.1:1002"),
    ("no address", "api", '{"weight": 1}', 422, "`address`"),
    ("unknown member", "api", '{"address": "127.0.0.1:1", "wait": 2}', 422, "unknown field `wait`; allowed: address"),
    ("not an address", "api", '{"address": "127.0.0.1"}', 422, "allowed: HOST:PORT"),
    ("address of another kind", "api", '{"address": 7}', 422, "$.address"),
    ("port 0", "api", '{"address": "127.0.0.1:0"}', 422, "allowed: 1 to 65535"),
    ("weight 0", "api", '{"address": "127.0.0.1:1", "weight": 0}', 422, "$.weight"),
    ("weight too large", "api", '{"address": "127.0.0.1:1", "weight": 1001}', 422, "weight (1 to 1000)"),
    ("weight as text", "api", '{"address": "127.0.0.1:1", "weight": "2"}', 422, "$.weight"),
    ("weight 1.5", "api", '{"address": "127.0.0.1:1", "weight": 1.5}', 422, "$.weight"),
    ("a name that does not resolve", "api", '{"address": "none.invalid:80"}', 422, "none.invalid:80 does not resolve"),
    ("no object", "api", '["127.0.0.1:1"]', 422, "object"),
    ("no JSON", "api", '{"address"', 400, "JSON"),
    ("nothing", "api", "", 400, "JSON"),
    ("too long", "api", '{"address": "' + "a" * 5000 + '"}', 413, "larger than"),
]


@pytest.mark.parametrize(
    ("upstream", "body", "status", "detail"), [pytest.param(*rest, id=name) for name, *rest in BAD_NEW])
def test_a_server_that_cannot_be_added_is_a_problem(
    live: Proxy, upstream: str, body: str, status: int, detail: str
) -> None:
    before = ask(live, "GET", "/v1/upstreams").json()
    answer = ask(live, "POST", f"/v1/upstreams/{upstream}/servers", body)
    assert (answer.status, answer.value("content-type")) == (status, "application/problem+json")
    assert detail in answer.json()["detail"]
    assert ask(live, "GET", "/v1/upstreams").json() == before


BAD_CHANGE = [
    ("nothing", "api/servers/127.0.0.1:1001", "{}", 422, "nothing is to be changed; allowed: weight"),
    ("unknown member", "api/servers/127.0.0.1:1001", '{"wait": 2}', 422, "`wait`; allowed: weight"),
    ("unknown state", "api/servers/127.0.0.1:1001", '{"state": "down"}', 422, "state (up or draining)"),
    ("weight null", "api/servers/127.0.0.1:1001", '{"weight": null}', 422, "$.weight"),
    ("weight 0", "api/servers/127.0.0.1:1001", '{"weight": 0}', 422, "$.weight"),
    ("unknown server", "api/servers/127.0.0.1:9", '{"weight": 2}', 404, "127.0.0.1:9"),
    ("no address", "api/servers/x", '{"weight": 2}', 404, "no server 'x'"),
    ("unknown upstream", "none/servers/127.0.0.1:1001", '{"weight": 2}', 404, "known: api"),
]


@pytest.mark.parametrize(
    ("place", "body", "status", "detail"), [pytest.param(*rest, id=name) for name, *rest in BAD_CHANGE])
def test_a_change_that_cannot_be_made_is_a_problem(
    live: Proxy, place: str, body: str, status: int, detail: str
) -> None:
    before = ask(live, "GET", "/v1/upstreams").json()
    answer = ask(live, "PATCH", f"/v1/upstreams/{place}", body)
    assert (answer.status, answer.value("content-type")) == (status, "application/problem+json")
    assert detail in answer.json()["detail"]
    assert ask(live, "GET", "/v1/upstreams").json() == before


def test_the_last_server_stays(live: Proxy) -> None:
    assert ask(live, "DELETE", "/v1/upstreams/one/servers/127.0.0.1:1001").status == 409
    assert servers(live, "one")[0]["state"] == "up"
    assert ask(live, "DELETE", "/v1/upstreams/one/servers/127.0.0.1:9").status == 404
    assert ask(live, "DELETE", "/v1/upstreams/none/servers/127.0.0.1:1001").status == 404


@pytest.mark.parametrize(("path", "method", "allowed"), [
    ("/v1/upstreams", "POST", "GET, HEAD, OPTIONS"), ("/v1/upstreams/api/servers", "GET", "OPTIONS, POST"),
    ("/v1/upstreams/api/servers/127.0.0.1:1001", "PUT", "DELETE, OPTIONS, PATCH"),
    ("/v1/reload", "GET", "OPTIONS, POST"), ("/v1/workers", "DELETE", "GET, HEAD, OPTIONS"),
    ("/v1/config", "PUT", "GET, HEAD, OPTIONS"), ("/healthz", "POST", "GET, HEAD, OPTIONS"),
])
def test_another_method_is_405_with_those_that_are(live: Proxy, path: str, method: str, allowed: str) -> None:
    answer = ask(live, method, path)
    assert (answer.status, answer.value("allow")) == (405, allowed)


def test_a_body_that_is_not_declared_as_json_is_415(live: Proxy) -> None:
    body = b'{"address": "127.0.0.1:1"}'
    for fields in ([], [("Content-Type", "text/plain")]):
        assert fetch(live.admin, "/v1/upstreams/api/servers", "POST", fields=fields, body=body).status == 415


def test_every_worker_is_listed_with_what_it_does(site: Site) -> None:
    proxy, backend = site
    gate = Gate()
    backend.on("/items/held", gate)
    wait_for(lambda: proxy.connections() == 0, "no connections")
    with Client(proxy.address) as resting, Client(proxy.address) as asking:
        asking.send(request_bytes("GET", "/items/held"))
        backend.wait_seen("/items/held")
        assert resting.ask("GET", "/items/1").status == 200

        def rows() -> list[dict[str, int]]:
            listed: list[dict[str, int]] = ask(proxy, "GET", "/v1/workers").json()
            return listed

        wait_for(lambda: sum(row["connections"] for row in rows()) == 2, "two connections")
        assert [row["index"] for row in rows()] == [0, 1]
        assert sorted(row["pid"] for row in rows()) == sorted(proxy.workers())
        assert {row["generation"] for row in rows()} == {1}
        assert sum(row["requests"] for row in rows()) == 1
        assert sum(row["idle"] for row in rows()) >= 1
        gate.open()
        assert asking.answer().status == 200


def test_the_config_is_told_with_every_default(live: Proxy) -> None:
    told = ask(live, "GET", "/v1/config").json()
    assert told["listen"][0]["address"] == live.address
    assert told["timeouts"]["head"] == "10s"
    assert told["upstreams"]["api"]["servers"][1] == {
        "address": "127.0.0.1:1002", "weight": 3, "max_connections": 0, "backup": False}
    assert told["routes"][0]["name"] == "route-1"
    assert told["log"]["access"] == "off"


def test_a_reload_is_asked_for_and_answers_with_the_masters_verdict() -> None:
    def config(answer: str, **more: object) -> dict[str, object]:
        return {"routes": [{"respond": {"body": answer}}], **more}

    with Proxy(config("one")) as proxy:
        proxy.write(config("two", uptreams={}))
        refused = ask(proxy, "POST", "/v1/reload")
        assert (refused.status, refused.value("content-type")) == (422, "application/problem+json")
        assert f"{proxy.file}:" in refused.json()["detail"]
        assert "uptreams: unknown key (did you mean upstreams?)" in refused.json()["detail"]
        # What only the master can find out.
        with socket.create_server(("127.0.0.1", 0)) as other:
            proxy.write(config("two", listen=f"127.0.0.1:{other.getsockname()[1]}"))
            refused = ask(proxy, "POST", "/v1/reload")
            assert (refused.status, "address already in use" in refused.json()["detail"]) == (422, True)
        assert fetch(proxy.address, "/").body == b"one"
        proxy.write(config("two"))
        assert ask(proxy, "POST", "/v1/reload").status == 202
        wait_for(lambda: fetch(proxy.address, "/").body == b"two", "the new config")
        wait_for(lambda: proxy.metric("hotpath_proxy_reloads_total", ok="true") == 1, "the reload to be counted")
        assert proxy.metric("hotpath_proxy_reloads_total", ok="false") == 2

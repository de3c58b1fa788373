"""What the admin address tells, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend, Exchange, Gate
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy, free_address
from tests.waiting import wait_for

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


def test_a_broken_exchange_leaves_no_gauge_up(site: Site) -> None:
    proxy, backend = site

    def die(exchange: Exchange) -> None:
        exchange.body()
        exchange.reset()

    backend.on("/items/dies", die)
    for _ in range(2):
        assert fetch(proxy.address, "/items/dies", "POST", body=b"x").status == 502
    wait_for(lambda: proxy.connections() == 0, "no connections")

"""What is counted, and how Prometheus' own parser reads it."""
from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hotpath.core.telemetry import Ledger
from hotpath.proxy.metrics import BUCKETS_S, CODES, GAUGES, OTHER, REJECTIONS, counter_names, expose
from hotpath.proxy.probe import Probe
from hotpath.proxy.state import State
from tests.clients import fetch
from tests.probing import NOW_US, config_of, head
from tests.proxies import Proxy
from tests.waiting import wait_for

FACTS = {"reloads_ok": 2, "reloads_failed": 1, "workers": 3, "generation": 4}
SERVERS = ["127.0.0.1:9001", "unix:/tmp/a \"quoted\"\t\\\tname"]


@pytest.fixture
def worker() -> tuple[Probe, State]:
    config = config_of({
        "upstreams": {"u": {"servers": SERVERS}},
        "routes": [{"name": "up", "match": {"prefix": "/up"}, "upstream": "u"},
                   {"name": "own", "match": {"prefix": "/own"}, "respond": {}}],
    })
    state = State(config)
    made = Probe(config, state)
    made.now_us = NOW_US
    return made, state


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text) for sample in family.samples
    }


def page(state: State, **gauges: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    ledger = Ledger()
    ledger.attach(state.counted)
    up = [("u", server, server == SERVERS[0]) for server in SERVERS]
    given = {**dict.fromkeys(GAUGES, 0), **gauges}
    return samples(expose(ledger.totals(), given, servers=up, facts=FACTS))


def value(found: dict[Any, float], name: str, **labels: str) -> float:
    return found[f"hotpath_proxy_{name}", tuple(sorted(labels.items()))]


def test_prometheus_reads_every_family_of_the_contract(worker: tuple[Probe, State]) -> None:
    _, state = worker
    text = expose(dict.fromkeys(state.counted.names, 1), dict.fromkeys(GAUGES, 1),
                  servers=[("u", server, True) for server in SERVERS], facts=FACTS)
    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    wanted = {
        "requests": "counter", "request_seconds": "histogram", "connections": "gauge", "upstream_requests": "counter",
        "upstream_up": "gauge", "upstream_seconds": "histogram", "retries": "counter", "limited": "counter",
        "rejected": "counter", "log_dropped": "counter", "reloads": "counter", "workers": "gauge",
        "config_generation": "gauge",
    }
    assert wanted.items() <= {name.removeprefix("hotpath_proxy_"): kind for name, kind in families.items()}.items()


def test_requests_are_counted_by_route_and_code(worker: tuple[Probe, State]) -> None:
    probe, state = worker
    for target, status in (("/own", 200), ("/own/x", 200), ("/up", 502), ("/none", 404), ("/own", 599), ("/own", 299)):
        probe.request(head(target)).end(status)
    found = page(state)
    assert value(found, "requests_total", route="own", code="200") == 2
    assert value(found, "requests_total", route="up", code="502") == 1
    assert value(found, "requests_total", route="", code="404") == 1
    assert value(found, "requests_total", route="own", code="other") == 2
    assert value(found, "request_seconds_count") == 6


def test_answers_of_servers_are_counted_whatever_they_are_called(worker: tuple[Probe, State]) -> None:
    probe, state = worker
    for _ in range(4):
        request = probe.request(head("/up"))
        request.lease()
        probe.now_us += 30_000
        request.returned(b"HTTP/1.1 204 No Content\r\n\r\n")
        request.end(204)
    found = page(state)
    for server in SERVERS:
        assert value(found, "upstream_requests_total", upstream="u", server=server, code="204") == 2
    assert value(found, "upstream_seconds_count") == 4
    assert value(found, "upstream_seconds_sum") == pytest.approx(0.12)
    assert value(found, "upstream_up", upstream="u", server=SERVERS[1]) == 0


@pytest.mark.parametrize(
    ("us", "bound"), [(0, 0.0005), (500, 0.0005), (501, 0.001), (60_000_000, 60.0), (60_000_001, None)]
)
def test_a_duration_falls_into_its_bounds_bucket(worker: tuple[Probe, State], us: int, bound: float | None) -> None:
    probe, state = worker
    request = probe.request(head("/own"))
    probe.now_us += us
    request.end(200)
    found = page(state)
    for each in BUCKETS_S:
        assert value(found, "request_seconds_bucket", le=repr(each)) == (bound is not None and each >= bound)
    assert value(found, "request_seconds_bucket", le="+Inf") == 1


def test_connections_are_told_apart_by_what_they_do(worker: tuple[Probe, State]) -> None:
    found = page(worker[1], clients=10, active=4, tunnels=1, idle_peers=7)
    by_state = {state: value(found, "connections", state=state) for state in ("active", "idle", "tunnel")}
    assert by_state == {"active": 3, "idle": 6, "tunnel": 1}
    assert value(found, "upstream_idle_connections") == 7


def test_no_two_counters_have_one_name() -> None:
    names = counter_names(config_of({}), 3)
    assert len(names) == len(set(names))
    assert len(set(CODES)) == len(CODES) <= OTHER
    assert set(REJECTIONS) == {name.partition("\0")[2] for name in names if name.startswith("rejected\0")}


def test_counts_survive_reloads_and_a_killed_worker() -> None:
    config = {"routes": [{"name": "kept", "match": {"prefix": "/"}, "respond": {"body": "x"}}]}
    with Proxy(config) as proxy:
        for _ in range(3):
            assert fetch(proxy.address, "/").status == 200
        fresh = {"name": "fresh", "match": {"prefix": "/"}, "respond": {"body": "y"}}
        proxy.reload({"routes": [fresh, *config["routes"]]})
        assert fetch(proxy.address, "/").body == b"y"
        # A request is counted when its answer is on the way: a worker killed before that counts it never.
        wait_for(lambda: proxy.metric("hotpath_proxy_requests_total", route="fresh") == 1, "the first count")
        (worker,) = proxy.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: proxy.workers() not in ([], [worker]), "another worker")
        assert fetch(proxy.address, "/").status == 200
        wait_for(lambda: proxy.metric("hotpath_proxy_requests_total", route="fresh") == 2, "the second count")
        assert proxy.metric("hotpath_proxy_requests_total", route="kept") == 3
        assert proxy.metric("hotpath_proxy_reloads_total", ok="true") == 1
        assert proxy.metric("hotpath_proxy_config_generation") == 2

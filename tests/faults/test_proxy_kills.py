"""kill -9: only what was under way in the killed process is lost, and all that it had counted is given back."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.backends import Backend, Gate
from tests.clients import Client, CutShort, fetch, request_bytes
from tests.faults.proxy_load import Background, Load, Origin, answers, kill, site, wait_replaced
from tests.proxies import Proxy
from tests.waiting import send_signal, wait_for


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as background:
        yield background


def test_workers_killed_in_turn_under_load_break_only_their_own_connections(background: Background) -> None:
    origin = Origin(background)
    with Proxy(site(origin.address)) as proxy, Load(background, proxy.address).running() as load:
        for n in range(6):
            load.wait_more(60)
            victim = sorted(proxy.workers())[n % 2]
            before = len(load.failures)
            held = kill(victim, proxy.address)
            wait_replaced(proxy, victim)
            load.wait_more(60)
            broken = [failure.port for failure in load.failures[before:]]
            assert set(broken) <= held, (load.failures[before:], held)
            assert len(set(broken)) == len(broken), "a connection has one request under way"
        # What the master waits before it starts another is at most a second, though they were killed young.
        pauses_s = re.findall(r"worker died .* again_s=([\d.]+)", "\n".join(proxy.stderr.lines))
        assert len(pauses_s) == 6
        assert max(map(float, pauses_s)) <= 1
    assert load.failures, "none was under way: the kills proved nothing"


def test_the_check_sees_connections_broken_that_were_not_the_victims(background: Background) -> None:
    """Control: had a kill taken the other worker along, the test above would fail."""
    origin = Origin(background)
    with Proxy(site(origin.address)) as proxy, Load(background, proxy.address).running() as load:
        load.wait_more(60)
        victim, other = proxy.workers()
        held = kill(victim, proxy.address)
        kill(other, proxy.address)
        wait_for(lambda: load.failures, "lost requests")
        wait_for(lambda: not {failure.port for failure in load.failures} <= held, "lost requests of the other's")
        load.wait_more(60)


LIMITED = ["by route", "by server", "by address"]


@pytest.mark.parametrize("limited", LIMITED)
def test_what_a_killed_worker_had_counted_is_given_back(limited: str) -> None:
    with Backend() as backend:
        server = {"address": backend.address, "max_connections": 2 if limited == "by server" else 0}
        config = {
            "workers": 2,
            "limits": {"connections_per_ip": 2 if limited == "by address" else 0},
            "upstreams": {"b": {"servers": [server], "passive": {"failures": 0}}},
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b", "concurrency": 2 if limited == "by route" else 0}
            ],
        }
        refused = 429 if limited == "by address" else 503
        with Proxy(config) as proxy:
            held = two_held(proxy, backend, "/held")
            assert in_flight(proxy) == 2
            assert fetch(proxy.address, "/one/more").status == refused
            # Control: while the master stands still nobody takes back what the dead had counted.
            send_signal(proxy.process.pid, signal.SIGSTOP)
            for pid in proxy.workers()[:1]:
                kill(pid, proxy.address)
            assert fetch(proxy.address, "/one/more").status == refused
            proxy.send_signal(signal.SIGCONT)
            for pid in proxy.workers():
                kill(pid, proxy.address)
                wait_replaced(proxy, pid)
            assert in_flight(proxy) == 0
            for client in held:
                with pytest.raises(CutShort):
                    client.answer()
            # Both places at the same time, and no third.
            again = two_held(proxy, backend, "/again")
            assert fetch(proxy.address, "/one/more").status == refused
            for client in (*held, *again):
                client.close()
            wait_for(lambda: proxy.connections() == 0, "the gauges to come down")


def in_flight(proxy: Proxy) -> int:
    """How many requests the admin API says its one server has."""
    return int(json.loads(fetch(proxy.admin, "/v1/upstreams").body)["b"]["servers"][0]["in_flight"])


def two_held(proxy: Proxy, backend: Backend, path: str) -> list[Client]:
    """Two clients whose requests are under way."""
    backend.on(path, Gate())
    clients = [Client(proxy.address) for _ in range(2)]
    for n, client in enumerate(clients, 1):
        client.send(request_bytes("GET", path))
        backend.wait_seen(path, n)
    return clients


def test_a_warden_killed_under_load_costs_nobody_a_request(background: Background) -> None:
    origin = Origin(background)
    with Proxy(site(origin.address)) as proxy, Load(background, proxy.address).running() as load:
        for _ in range(3):
            load.wait_more(60)
            workers = proxy.workers()
            wardens = set(proxy.children()) - set(workers)
            for pid in wardens:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda pids=wardens: not pids & set(proxy.children()), "its end")
            wait_for(lambda: answers(lambda: fetch(proxy.admin, "/healthz").status == 200), "another warden")
            assert proxy.workers() == workers
            assert proxy.metric("hotpath_proxy_upstream_up", upstream="b") == 1
    assert load.failures == []


def test_servers_that_all_go_down_under_load_and_come_back_are_used_again(background: Background) -> None:
    """Whoever asks meanwhile is told 502 or 503 and keeps its connection: no client's connection breaks."""
    origins = [Origin(background, name) for name in ("one", "two")]
    servers = {"servers": [origin.address for origin in origins], "passive": {"failures": 1, "eject": "200ms"}}
    load = Load(background, "", statuses=(200, 502, 503, 504))
    with Proxy(site(upstreams={"b": servers}, timeouts={"response": "2s"})) as proxy:
        load.address = proxy.address
        with load.running():
            for _ in range(3):
                load.wait_more(60)
                for origin in origins:
                    origin.close()
                load.wait_more(60)
                asked = [origin.asked for origin in origins]
                for origin in origins:
                    origin.open()
                wait_for(lambda a=asked: all(o.asked > n + 20 for o, n in zip(origins, a, strict=True)), "both again")
            wait_for(lambda: fetch(proxy.address, "/").status == 200, "peace")
    assert load.failures == []
    assert any("no server" in body for body in load.bodies), "they were never all down"

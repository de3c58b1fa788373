"""Servers changed while requests run: all workers follow, nobody's request is lost, and only a reload forgets."""
from __future__ import annotations

import os
import select
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.backends import Backend, Exchange, Gate, refusing
from tests.clients import Answer, Client, CutShort, fetch, request_bytes
from tests.proxies import Proxy
from tests.waiting import wait_for

JSON = [("Content-Type", "application/json")]
N_CLIENTS = 6       # two workers share them: each has some


def named(name: str) -> Any:
    def script(exchange: Exchange) -> None:
        exchange.answer(name.encode())

    return script


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, Backend]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Backend(named(name))) for name in "abc"}


def config(*servers: Backend | str, **upstream: object) -> dict[str, Any]:
    addresses = [server if isinstance(server, str) else server.address for server in servers]
    return {
        "workers": 2,
        "upstreams": {"u": {"servers": addresses, **upstream}},
        "routes": [{"upstream": "u"}],
    }


def ask(proxy: Proxy, method: str, path: str, body: str | None = None) -> Answer:
    return fetch(proxy.admin, path, method, fields=JSON, body=None if body is None else body.encode())


def add(proxy: Proxy, backend: Backend | str, weight: int = 1) -> None:
    address = backend if isinstance(backend, str) else backend.address
    made = ask(proxy, "POST", "/v1/upstreams/u/servers", f'{{"address": "{address}", "weight": {weight}}}')
    assert made.status == 201, made


def change(proxy: Proxy, backend: Backend, body: str) -> None:
    assert ask(proxy, "PATCH", f"/v1/upstreams/u/servers/{backend.address}", body).status == 200


def servers(proxy: Proxy) -> dict[str, dict[str, Any]]:
    listed = ask(proxy, "GET", "/v1/upstreams").json()["u"]["servers"]
    return {server["address"]: server for server in listed}


class Crowd:
    """Clients that ask without pause, each on a connection that it keeps, and count who answered."""

    def __init__(self, address: str) -> None:
        self.failures: list[str] = []
        self.heard = [Counter[str]() for _ in range(N_CLIENTS)]
        self._address = address
        self._stop = threading.Event()
        self._round = 0
        self._threads = [threading.Thread(target=self._ask, args=(i,), daemon=True) for i in range(N_CLIENTS)]

    @contextmanager
    def asking(self) -> Iterator[Crowd]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(20)
        assert self.failures == []

    def _ask(self, i: int) -> None:
        while not self._stop.is_set():
            try:
                with Client(self._address) as client:
                    said_close, began_in = False, self._round
                    while not (said_close or self._round > began_in or self._stop.is_set()):
                        answer = client.ask("GET", "/")
                        said_close = answer.says_close
                        if answer.status != 200:
                            self.failures.append(f"status {answer.status}")
                        self.heard[i][answer.body.decode()] += 1
            except (CutShort, OSError) as error:
                self.failures.append(repr(error))

    def reconnect(self) -> None:
        """Let every client go on on another connection."""
        self._round += 1

    def start_anew(self) -> None:
        """Forget what was heard."""
        self.heard = [Counter[str]() for _ in range(N_CLIENTS)]

    def wait_more(self, n: int) -> None:
        """Wait until every client was answered `n` times more."""
        goals = [heard.total() + n for heard in self.heard]

        def reached() -> bool:
            return all(heard.total() >= goal for heard, goal in zip(self.heard, goals, strict=True))

        wait_for(reached, "more answers")

    def wait_all_hear(self, *names: str) -> None:
        """Wait until every client was answered by each of these since the start."""
        wait_for(lambda: all(heard[name] for heard in self.heard for name in names), f"everybody to hear {names}")

    def wait_none_hears(self, name: str) -> None:
        """Wait until that server answers nobody any more."""
        def is_quiet() -> bool:
            self.start_anew()
            self.wait_more(8)
            return not any(heard[name] for heard in self.heard)

        wait_for(is_quiet, f"nobody to hear {name}")


def spread_over_both_workers(proxy: Proxy, crowd: Crowd) -> None:
    """One worker may have taken all that waited when it woke up: then they connect again, until each has some."""
    def is_spread() -> bool:
        if all(row["connections"] for row in ask(proxy, "GET", "/v1/workers").json()):
            return True
        crowd.reconnect()
        crowd.wait_more(2)
        return False

    wait_for(is_spread, "both workers to have clients")


def test_a_server_added_under_load_gets_requests_of_all_workers(backends: dict[str, Backend]) -> None:
    a, b = backends["a"], backends["b"]
    with Proxy(config(a)) as proxy, Crowd(proxy.address).asking() as crowd:
        crowd.wait_more(3)
        spread_over_both_workers(proxy, crowd)
        assert not any(heard["b"] for heard in crowd.heard)
        add(proxy, b)
        crowd.wait_all_hear("b")
        wait_for(lambda: servers(proxy)[b.address]["requests"] >= N_CLIENTS, "its requests to be counted")


def test_a_draining_server_gets_nothing_new_and_finishes_what_it_has(backends: dict[str, Backend]) -> None:
    a, b = backends["a"], backends["b"]
    gate = Gate()
    b.on("/held", gate)
    with Proxy(config(a, b)) as proxy, Crowd(proxy.address).asking() as crowd, Client(proxy.address) as client:
        crowd.wait_all_hear("a", "b")
        n = len(b.seen("/held"))
        client.send(request_bytes("GET", "/held"))
        while len(b.seen("/held")) == n:
            # A took it, and has no script for it: it answered with its name.
            if select.select([client.sock], [], [], 0.01)[0]:
                assert client.answer().body == b"a"
                client.send(request_bytes("GET", "/held"))
        change(proxy, b, '{"state": "draining"}')
        assert servers(proxy)[b.address]["state"] == "draining"
        crowd.wait_none_hears("b")
        crowd.wait_more(10)
        assert not any(heard["b"] for heard in crowd.heard)
        assert servers(proxy)[b.address]["in_flight"] == 1
        gate.open()
        assert client.answer().body == b"held"
        change(proxy, b, '{"state": "up"}')
        crowd.wait_all_hear("b")


def test_a_removed_server_stays_until_its_last_request_is_over(backends: dict[str, Backend]) -> None:
    a, b = backends["a"], backends["b"]
    gate = Gate()
    a.on("/last", gate)
    with Proxy(config(a)) as proxy, Client(proxy.address) as client:
        client.send(request_bytes("GET", "/last"))
        a.wait_seen("/last")
        add(proxy, b)
        assert ask(proxy, "DELETE", f"/v1/upstreams/u/servers/{a.address}").status == 202
        start = len(proxy.stderr.lines)
        with Crowd(proxy.address).asking() as crowd:
            crowd.wait_none_hears("a")
        listed = servers(proxy)[a.address]
        assert (listed["state"], listed["in_flight"]) == ("draining", 1)
        gate.open()
        assert client.answer().body == b"held"
        proxy.stderr.wait_for(f"server gone upstream=u server={a.address}", start=start)
        wait_for(lambda: list(servers(proxy)) == [b.address], "the server to go")
        assert fetch(proxy.address, "/").body == b"b"


def test_a_weight_changes_the_spread(backends: dict[str, Backend]) -> None:
    a, b = backends["a"], backends["b"]
    with Proxy(config(a, b)) as proxy, Client(proxy.address) as client:
        def spread() -> Counter[bytes]:
            return Counter(client.ask("GET", "/").body for _ in range(40))

        assert spread() == {b"a": 20, b"b": 20}
        change(proxy, b, '{"weight": 3}')
        wait_for(lambda: spread() == {b"a": 10, b"b": 30}, "one to three")
        change(proxy, a, '{"weight": 7}')
        wait_for(lambda: spread() == {b"a": 28, b"b": 12}, "seven to three")


def test_a_killed_worker_comes_back_with_every_change(backends: dict[str, Backend]) -> None:
    a, b, c = backends.values()
    with Proxy(config(a, b)) as proxy:
        add(proxy, c)
        change(proxy, a, '{"state": "draining"}')
        before = proxy.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(proxy.workers()) == 2 and not set(before) & set(proxy.workers()), "two other workers")
        with Crowd(proxy.address).asking() as crowd:
            crowd.wait_all_hear("b", "c")
            spread_over_both_workers(proxy, crowd)
            assert not any(heard["a"] for heard in crowd.heard)


def test_a_killed_warden_knows_every_change_and_goes_on_changing(backends: dict[str, Backend]) -> None:
    a, b, c = backends.values()
    with Proxy(config(a, b)) as proxy:
        add(proxy, c, weight=4)
        change(proxy, a, '{"state": "draining"}')
        assert ask(proxy, "DELETE", f"/v1/upstreams/u/servers/{b.address}").status == 202
        wait_for(lambda: b.address not in servers(proxy), "the removed one to go")
        before = servers(proxy)
        (warden,) = set(proxy.children()) - set(proxy.workers())
        os.kill(warden, signal.SIGKILL)
        wait_for(lambda: set(proxy.children()) - set(proxy.workers()) - {warden}, "another warden")
        assert servers(proxy) == before
        change(proxy, a, '{"state": "up"}')
        add(proxy, b)
        with Crowd(proxy.address).asking() as crowd:
            crowd.wait_all_hear("a", "b", "c")


def test_a_reload_drops_every_change_and_says_so(backends: dict[str, Backend]) -> None:
    a, b = backends["a"], backends["b"]
    with Proxy(config(a)) as proxy:
        words = "changed at run time"
        proxy.reload(config(a))
        assert not any(words in line for line in proxy.stderr.lines)
        add(proxy, b, weight=100)
        proxy.reload(config(a))
        proxy.stderr.wait_for(words)
        assert list(servers(proxy)) == [a.address]
        with Crowd(proxy.address).asking() as crowd:
            crowd.wait_more(10)
            assert all(set(heard) == {"a"} for heard in crowd.heard)


def test_an_ejected_server_is_called_back(backends: dict[str, Backend]) -> None:
    with Backend(Exchange.reset) as b, \
            Proxy(config(backends["a"], b, passive={"failures": 1, "eject": "1h"})) as proxy, \
            Crowd(proxy.address).asking() as crowd:
        proxy.stderr.wait_for(f"server ejected upstream=u server={b.address}")
        assert servers(proxy)[b.address]["state"] == "ejected"
        b.on("/", named("b"))
        crowd.wait_more(1)      # a request that was on its way to b before the ejection is answered by it now
        crowd.start_anew()
        change(proxy, b, '{"weight": 2}')
        crowd.wait_more(5)
        assert not any(heard["b"] for heard in crowd.heard)
        change(proxy, b, '{"state": "up"}')
        assert servers(proxy)[b.address]["state"] == "up"
        proxy.stderr.wait_for(f"server back upstream=u server={b.address}")
        crowd.wait_all_hear("b")


CHECKED = {
    "active": {"path": "/health", "interval": "20ms", "timeout": "10s", "rise": 2, "fall": 2},
    # Nothing but the checks takes a server out, and nothing hides its failure from a client.
    "passive": {"failures": 0}, "retry": {"attempts": 0},
}


def test_a_server_that_fails_its_checks_goes_down_unseen_and_comes_back() -> None:
    with Backend(named("a")) as a, Backend(named("b")) as b, Proxy(config(a, b, **CHECKED)) as proxy, \
            Crowd(proxy.address).asking() as crowd:
        crowd.wait_all_hear("a", "b")
        b.on("/health", lambda exchange: exchange.answer(b"", status=503))
        proxy.stderr.wait_for(f"server down upstream=u server={b.address} cause=status 503")
        assert servers(proxy)[b.address]["state"] == "down"
        crowd.wait_none_hears("b")
        crowd.wait_more(10)
        assert not any(heard["b"] for heard in crowd.heard)
        assert proxy.metric("hotpath_proxy_upstream_up", server=b.address) == 0
        b.on("/health", named("b"))
        proxy.stderr.wait_for(f"server up upstream=u server={b.address}")
        crowd.wait_all_hear("b")


def test_a_server_added_at_run_time_is_checked_too(backends: dict[str, Backend]) -> None:
    with refusing() as nobody, Proxy(config(backends["a"], **CHECKED)) as proxy:
        add(proxy, nobody)
        proxy.stderr.wait_for(f"server down upstream=u server={nobody} cause=refused")
        assert servers(proxy)[nobody]["state"] == "down"
        with Crowd(proxy.address).asking() as crowd:
            crowd.wait_more(5)


def test_a_server_that_is_down_stays_down_over_a_reload(backends: dict[str, Backend]) -> None:
    slow = {**CHECKED, "active": {**CHECKED["active"], "rise": 1000}}
    with refusing() as nobody, Proxy(config(backends["a"], nobody, **slow)) as proxy:
        proxy.stderr.wait_for(f"server down upstream=u server={nobody} cause=refused")
        proxy.reload(config(backends["a"], nobody, **slow))
        assert servers(proxy)[nobody]["state"] == "down"
        with Crowd(proxy.address).asking() as crowd:
            crowd.wait_more(5)

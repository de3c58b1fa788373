"""How requests spread over real servers, and how a server that fails is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, pairwise

import pytest

from tests.backends import Backend, Exchange, Gate, refusing
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy
from tests.waiting import wait_for


@dataclass
class Site:
    proxy: Proxy
    backends: dict[str, Backend]  # "a" to "d"; each answers with its own name

    def owner(
        self, target: str, fields: dict[str, str] | None = None, *, source: str | None = None, host: str = "test"
    ) -> str:
        """The name of the server that answers."""
        answer = fetch(self.proxy.address, target, fields=(fields or {}).items(), source=source, host=host)
        assert answer.status == 200, answer
        return answer.body.decode()

    def hold(self, stack: ExitStack, target: str, gate: Gate) -> str:
        """Start a request that `gate` holds; the name of the server that has it."""
        path = target.partition("?")[0]
        before = {name: len(backend.seen(path)) for name, backend in self.backends.items()}
        for backend in self.backends.values():
            backend.on(path, gate)
        client = stack.enter_context(Client(self.proxy.address))
        client.send(request_bytes("GET", target))

        def taken() -> str | None:
            return next(
                (name for name, backend in self.backends.items() if len(backend.seen(path)) > before[name]), None
            )

        return wait_for(taken, f"a server to get {target}") or ""


HASHES = {
    "path": "hash:path",
    "uri": "hash:uri",
    "hosts": "hash:host",
    "query": "hash:query:id",
    "cookie": "hash:cookie:sid",
    "client": "hash:client_ip",
    "ring4": "hash:header:X-User",
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        backends = {name: stack.enter_context(Backend(named(name))) for name in "abcd"}
        a, b, c, d = (backend.address for backend in backends.values())
        closed = stack.enter_context(refusing())
        upstreams: dict[str, object] = {
            "weighted": {"servers": [{"address": a, "weight": 5}, b, c]},
            "even": {"servers": [a, b, c]},
            "least": {"balance": "least_conn", "servers": [a, b, c]},
            "p2c": {"balance": "p2c", "servers": [a, b]},
            "ip": {"balance": "ip_hash", "servers": [a, b, c, d]},
            **{name: {"balance": balance, "servers": [a, b, c, d]} for name, balance in HASHES.items()},
            "ring3": {"balance": "hash:header:X-User", "servers": [a, b, c]},
            "backup": {"servers": [a, {"address": b, "backup": True}]},
            "lost": {"servers": [closed, {"address": b, "backup": True}]},
            "full": {"servers": [{"address": a, "max_connections": 1}, {"address": b, "max_connections": 1}]},
            "sick": {
                "servers": [a, b],
                "passive": {"failures": 3, "window": "10s", "eject": "2s"},
                "retry": {"attempts": 1},
            },
            "judged": {"servers": [a], "passive": {"failures": 2, "window": "10s", "eject": "10s"}},
        }
        config = {
            "upstreams": upstreams,
            "routes": [{"name": name, "match": {"prefix": f"/{name}"}, "upstream": name} for name in upstreams],
        }
        yield Site(stack.enter_context(Proxy(config)), backends)


def named(name: str):
    def script(exchange: Exchange) -> None:
        exchange.answer(name.encode())

    return script


def test_weights_are_kept_exactly_and_smoothly(site: Site) -> None:
    owners = [site.owner("/weighted") for _ in range(70)]
    assert Counter(owners) == {"a": 50, "b": 10, "c": 10}
    for start in range(0, 70, 7):
        assert Counter(owners[start : start + 7]) == {"a": 5, "b": 1, "c": 1}
    # Smooth: 5, 1, 1 is a a b a c a a, so the light servers never come one behind the other.
    assert not any(pair in ("bb", "cc", "bc", "cb") for pair in map("".join, pairwise(owners)))


def test_equal_servers_take_turns(site: Site) -> None:
    owners = [site.owner("/even") for _ in range(30)]
    assert Counter(owners) == {"a": 10, "b": 10, "c": 10}
    assert all(len(list(run)) == 1 for _, run in groupby(owners))


def test_least_conn_goes_where_least_is_under_way(site: Site) -> None:
    gate = Gate()
    with ExitStack() as stack:
        held = [site.hold(stack, f"/least/{i}", gate) for i in range(3)]
        assert sorted(held) == ["a", "b", "c"]
        fourth = site.hold(stack, "/least/3", gate)
        idle = {"a", "b", "c"} - {fourth}
        assert {site.owner("/least") for _ in range(12)} <= idle
        gate.open()


def test_p2c_prefers_the_idler_of_two(site: Site) -> None:
    gate = Gate()
    with ExitStack() as stack:
        held = site.hold(stack, "/p2c/held", gate)
        assert {site.owner("/p2c") for _ in range(20)} == {"a", "b"} - {held}
        gate.open()


SOURCES = [f"127.{i}.{i}.{i}" for i in range(10, 34)]


@pytest.mark.parametrize("target", ["/ip", "/client"])
def test_a_client_address_keeps_its_server(site: Site, target: str) -> None:
    owners = {source: site.owner(target, source=source) for source in SOURCES}
    assert len(set(owners.values())) >= 3
    assert {source: site.owner(target, source=source) for source in SOURCES} == owners


@pytest.mark.parametrize("kind", ["path", "uri", "hosts", "query", "cookie", "ring4"])
def test_a_key_keeps_its_server_and_keys_spread(site: Site, kind: str) -> None:
    def owner(i: int, noise: str = "") -> str:
        if kind == "path":
            return site.owner(f"/path/{i}?{noise}")
        if kind == "uri":
            return site.owner(f"/uri/x?{i}", {"X-Noise": noise})
        if kind == "hosts":
            return site.owner(f"/hosts/{noise}", host=f"h{i}.example")
        if kind == "query":
            return site.owner(f"/query/{noise}?x=y&id={i}&z={noise}")
        if kind == "cookie":
            return site.owner(f"/cookie/{noise}", {"Cookie": f"x={noise}; sid=s{i}"})
        return site.owner(f"/ring4/{noise}", {"X-User": f"user{i}"})

    owners = [owner(i) for i in range(24)]
    assert len(set(owners)) >= 3
    assert [owner(i, "noise") for i in range(24)] == owners


def test_a_request_without_the_key_is_served_all_the_same(site: Site) -> None:
    assert site.owner("/ring4") in "abcd"
    assert site.owner("/query") in "abcd"


def test_a_ring_moves_only_the_keys_of_the_server_that_left(site: Site) -> None:
    for i in range(40):
        with_d, without_d = (site.owner(target, {"X-User": f"user{i}"}) for target in ("/ring4", "/ring3"))
        assert without_d == with_d or with_d == "d"


def test_a_backup_serves_only_when_the_others_cannot(site: Site) -> None:
    assert {site.owner("/backup") for _ in range(10)} == {"a"}
    assert {site.owner("/lost") for _ in range(10)} == {"b"}


def test_a_server_takes_no_more_than_its_connections(site: Site) -> None:
    gate = Gate()
    with ExitStack() as stack:
        held = [site.hold(stack, f"/full/{i}", gate) for i in range(2)]
        assert sorted(held) == ["a", "b"]
        answer = fetch(site.proxy.address, "/full/more")
        assert answer.status == 503
        assert int(answer.value("retry-after") or "") >= 1
        gate.open()
    wait_for(lambda: fetch(site.proxy.address, "/full/after").status == 200, "a free connection")


def test_a_failing_server_is_left_alone_and_tried_again_later(site: Site) -> None:
    a = site.backends["a"]
    broken = True

    def script(exchange: Exchange) -> None:
        exchange.body()
        if broken:
            exchange.reset()
        else:
            exchange.answer(b"a")

    a.on("/sick", script)
    # Retries hide every failure from the clients; three of them and nobody asks any more.
    while len(a.seen("/sick")) < 3:
        assert site.owner("/sick") == "b"
    calm = [site.owner("/sick") for _ in range(5)]
    assert calm == ["b"] * 5
    assert len(a.seen("/sick")) <= 4  # at most one probe, should this machine have stalled for the 2 s
    broken = False
    wait_for(lambda: site.owner("/sick") == "a", "the server to be tried again")
    assert Counter(site.owner("/sick") for _ in range(10)) == {"a": 5, "b": 5}


def test_clients_that_leave_are_not_the_servers_fault(site: Site) -> None:
    gate = Gate()
    a = site.backends["a"]
    a.on("/judged/left", gate)
    for n in range(1, 6):
        with Client(site.proxy.address) as client:
            client.send(request_bytes("GET", "/judged/left"))
            a.wait_seen("/judged/left", n)
    gate.open()
    assert site.owner("/judged/after") == "a"


def test_workers_share_what_one_of_them_saw() -> None:
    with Backend() as good, Backend(Exchange.reset) as bad:
        config = {
            "workers": 2,
            "upstreams": {"u": {"servers": [bad.address, good.address], "passive": {"failures": 3, "eject": "1h"}}},
            "routes": [{"match": {"prefix": "/"}, "upstream": "u"}],
        }
        with Proxy(config) as proxy:
            assert [fetch(proxy.address, "/").status for _ in range(30)] == [200] * 30
            # Each worker alone would have needed three failures of its own.
            assert bad.n_seen == 3

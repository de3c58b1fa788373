"""What workers share, what a reload keeps, what a dead worker leaves."""
from __future__ import annotations

import socket

import pytest

from hotpath.core.config import Address
from hotpath.proxy import state as module
from hotpath.proxy.probe import Probe
from hotpath.proxy.state import State, Unresolved, resolve
from tests.probing import NOW_US, config_of, head, probes

LIMITED = {
    "rate_limits": {"l": {"rate": "1/h", "slots": 100}},
    "routes": [{"match": {}, "respond": {}, "rate_limit": "l"}],
}


def passes(state: State, given: dict[str, object]) -> bool:
    worker = Probe(config_of(given), state)
    worker.now_us = NOW_US
    return worker.request(head()).take() is None


def test_a_reload_lets_nobody_start_afresh() -> None:
    before = State(config_of(LIMITED))
    assert passes(before, LIMITED)
    assert not passes(State(config_of(LIMITED), before), LIMITED)


@pytest.mark.parametrize(("changes", "fresh"), [
    ({"slots": 128}, False),        # as many, once rounded up to a power of two
    ({"slots": 4096}, True),
    ({"rate": "2/h"}, False),
    ({"burst": 1}, True),           # the same cells, but one more may pass
])
def test_cells_are_kept_while_they_are_as_many(changes: dict[str, object], fresh: bool) -> None:
    before = State(config_of(LIMITED))
    assert passes(before, LIMITED)
    after = {**LIMITED, "rate_limits": {"l": {**LIMITED["rate_limits"]["l"], **changes}}}    # type: ignore[index]
    assert passes(State(config_of(after), before), after) == fresh


def test_another_name_is_another_limit() -> None:
    before = State(config_of(LIMITED))
    renamed = {**LIMITED, "rate_limits": {**LIMITED["rate_limits"], "m": {"rate": "1/h"}}}   # type: ignore[dict-item]
    after = State(config_of(renamed), before)
    assert after.limiters["l"] is before.limiters["l"]
    assert after.limiters["m"] is not before.limiters["l"]


def test_a_dead_worker_leaves_nothing_counted() -> None:
    config = config_of({
        "workers": 2, "limits": {"connections_per_ip": 5},
        "upstreams": {"u": {"servers": [{"address": "127.0.0.1:1", "max_connections": 1}]}},
        "routes": [{"match": {}, "upstream": "u", "concurrency": 1}],
    })
    state = State(config)
    dead, alive = (Probe(config, state, worker) for worker in range(2))
    request, other = dead.request(head()), alive.request(head())
    assert request.enter()
    assert request.lease() is not None
    assert not other.enter()
    assert other.lease() is None
    assert state.by_address is not None
    state.by_address.memory[:] = b"\1" * state.by_address.size
    state.forget(0)
    assert other.enter()
    assert other.lease() is not None
    half = state.by_address.size // 2
    assert state.by_address.memory.tobytes() == bytes(half) + b"\1" * half


def test_health_is_told_in_the_files_order() -> None:
    given = {
        "upstreams": {"u": {"servers": ["127.0.0.1:1", "127.0.0.1:2"], "passive": {"failures": 1}},
                      "v": {"servers": ["127.0.0.1:1"]}},
        "routes": [{"match": {}, "upstream": "u"}],
    }
    config = config_of(given)
    state = State(config)
    worker = Probe(config, state)
    worker.now_us = 2**60                   # an ejection that the clock of this machine does not see the end of
    request = worker.request(head())
    assert request.lease() == "127.0.0.1:1"
    request.fail()
    assert state.in_service() == [
        ("u", "127.0.0.1:1", False), ("u", "127.0.0.1:2", True), ("v", "127.0.0.1:1", True)]


def test_workers_of_one_generation_see_each_other() -> None:
    first, second = probes({"workers": 2, **LIMITED})
    assert first.request(head()).take() is None
    assert second.request(head()).take() is not None


@pytest.mark.parametrize(("address", "found"), [
    ("127.0.0.1:80", (socket.AF_INET, ("127.0.0.1", 80))),
    ("[::1]:80", (socket.AF_INET6, ("::1", 80, 0, 0))),
    ("unix:/run/x", (socket.AF_UNIX, "/run/x")),
])
def test_an_address_needs_no_resolver(address: str, found: object) -> None:
    assert resolve(Address.parse(address)) == found


def test_of_the_addresses_of_a_name_the_first_ipv4_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 80)),
    ]
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_given, **_named: answers)
    assert resolve(Address.parse("localhost:80")) == (socket.AF_INET, ("127.0.0.1", 80))
    del answers[1:]
    assert resolve(Address.parse("localhost:80")) == (socket.AF_INET6, ("::1", 80, 0, 0))


def test_a_name_without_an_address_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", fail)
    with pytest.raises(Unresolved, match="Name or service not known") as failure:
        resolve(Address.parse("nowhere.example:80"))
    assert str(failure.value.address) == "nowhere.example:80"

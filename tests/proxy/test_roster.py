"""The roster: what the warden changes reaches every worker, nothing is freed that somebody still uses."""
from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from typing import Any

import pytest

from hotpath.core.config import Address
from hotpath.core.errors import HotpathError
from hotpath.proxy.metrics import GAUGES, expose
from hotpath.proxy.probe import Probe
from hotpath.proxy.records import Records
from hotpath.proxy.roster import SPARE_SLOTS, Full, Known, Last, Server
from hotpath.proxy.state import State, resolve
from tests.probing import NOW_US, config_of, head, set_clock

A, B, C = (f"127.0.0.1:{port}" for port in (9001, 9002, 9003))
ADMIN = "127.0.0.1:0"


class House:
    """The workers and the warden of one generation, in one process."""

    def __init__(self, *servers: object, workers: int = 2, before: State | None = None, **options: Any) -> None:
        self.config = config_of({
            "workers": workers, "admin": ADMIN, "upstreams": {"u": {"servers": list(servers), **options}},
            "routes": [{"match": {}, "upstream": "u"}]})
        self.state = State(self.config, before)
        self.roster = self.state.roster
        self.workers = [self.worker(index) for index in range(workers)]

    def worker(self, index: int) -> Probe:
        worker = Probe(self.config, self.state, index)
        set_clock([worker], NOW_US)
        return worker

    def refresh(self) -> None:
        for worker in self.workers:
            worker.refresh()

    def add(self, address: str, weight: int = 1) -> Server:
        parsed = Address.parse(address)
        return self.roster.add("u", parsed, weight, resolve(parsed))

    def of(self, address: str) -> Server:
        return next(server for server in self.roster.servers("u") if server.address == address)

    def spread(self, n: int, worker: int = 0) -> Counter[str | None]:
        found: Counter[str | None] = Counter()
        for _ in range(n):
            request = self.workers[worker].request(head())
            found[request.lease()] += 1
            request.answered()
        return found


def test_it_begins_with_the_file() -> None:
    house = House(A, {"address": B, "weight": 3}, {"address": "unix:/tmp/x.sock", "backup": True})
    assert [(one.address, one.weight, one.backup, one.source, one.state) for one in house.roster.servers("u")] == [
        (A, 1, False, "file", "up"), (B, 3, False, "file", "up"), ("unix:/tmp/x.sock", 1, True, "file", "up")]
    assert not house.roster.is_changed
    with pytest.raises(KeyError):
        house.roster.servers("v")


def test_an_added_server_gets_its_share_on_every_worker() -> None:
    house = House(A)
    assert house.add(B, weight=3).source == "admin"
    assert house.spread(4) == {A: 4}        # not told yet
    house.refresh()
    assert [house.spread(4, worker) for worker in (0, 1)] == [{A: 1, B: 3}] * 2
    assert house.roster.is_changed
    with pytest.raises(Known, match="already"):
        house.add(B)


def test_a_weight_changes_the_spread() -> None:
    house = House(A, B)
    house.roster.change("u", B, weight=4)
    house.refresh()
    assert house.spread(10) == {A: 2, B: 8}
    with pytest.raises(KeyError):
        house.roster.change("u", C, weight=4)


def test_a_draining_server_gets_nothing_and_can_be_called_back() -> None:
    house = House(A, B)
    assert house.roster.change("u", B, draining=True).state == "draining"
    house.refresh()
    assert house.spread(4) == {A: 4}
    assert house.roster.change("u", B, draining=False).state == "up"
    house.refresh()
    assert house.spread(4) == {A: 2, B: 2}


def test_what_leaves_goes_when_its_last_request_is_over_and_all_workers_know() -> None:
    house = House(A, B)
    request = house.workers[1].request(head())
    other = house.workers[0].request(head())
    leaver = request.lease()
    other.lease()
    assert leaver is not None
    house.roster.remove("u", leaver)
    house.workers[1].refresh()
    request.answered()
    other.answered()
    assert house.roster.sweep() == []       # worker 0 may still send it something
    house.workers[0].refresh()
    late = house.workers[0].request(head())
    late.lease()
    late.answered()
    assert house.roster.sweep() == [("u", leaver)]
    assert [one.address for one in house.roster.servers("u")] == [{A: B, B: A}[leaver]]


def test_a_request_in_flight_holds_its_server() -> None:
    house = House(A, B)
    request = house.workers[0].request(head())
    leaver = request.lease()
    assert leaver is not None
    house.roster.remove("u", leaver)
    house.refresh()
    assert house.roster.sweep() == []
    assert house.of(leaver).in_flight == 1
    request.answered()
    assert house.roster.sweep() == [("u", leaver)]


def test_a_killed_worker_holds_nothing_but_its_successor_must_know() -> None:
    house = House(A, B)
    request = house.workers[0].request(head())
    leaver = request.lease()
    assert leaver is not None
    house.roster.remove("u", leaver)
    house.workers[1].refresh()
    house.state.forget(0)
    assert house.roster.sweep() == []
    house.workers[0] = house.worker(0)
    assert house.roster.sweep() == [("u", leaver)]


def test_the_last_server_stays() -> None:
    house = House(A, B, {"address": C, "backup": True})
    house.roster.remove("u", A)
    with pytest.raises(Last, match="last"):
        house.roster.remove("u", B)


def test_a_slot_is_given_again_and_begins_anew() -> None:
    house = House(A, B)
    house.refresh()
    house.spread(8)
    assert [one.requests for one in house.state.servers("u")] == [0, 0]     # Probe.end counts them
    request = house.workers[0].request(head())
    leaver = request.lease()
    assert leaver is not None
    request.returned(b"HTTP/1.1 200 OK\r\n\r\n")
    request.release()
    request.end(200)
    assert [one.requests for one in house.state.servers("u") if one.address == leaver] == [1]
    slot = house.of(leaver).slot
    house.roster.remove("u", leaver)
    house.refresh()
    assert house.state.sweep() == [("u", leaver)]
    totals = dict(zip(house.state.counted.names, map(house.state.counted.total, range(10**6)), strict=False))
    page = expose(totals, dict.fromkeys(GAUGES, 0), servers=house.state.in_service(),
                  facts=dict.fromkeys(("reloads_ok", "reloads_failed", "workers", "generation"), 0))
    assert 'hotpath_proxy_upstream_requests_total{upstream="u",server="removed",code="200"} 1' in page
    for n in range(SPARE_SLOTS):
        house.add(f"127.0.0.1:{9100 + n}")
    with pytest.raises(HotpathError):       # the freed slot waits until all workers know
        house.add("127.0.0.1:9200")
    house.refresh()
    assert house.add("127.0.0.1:9200").slot == slot
    with pytest.raises(Full, match="reload"):
        house.add("127.0.0.1:9201")
    assert [one.requests for one in house.state.servers("u") if one.slot == slot] == [0]


def test_a_server_that_leaves_can_be_called_back() -> None:
    house = House(A, B)
    house.roster.remove("u", B)
    assert house.add(B, weight=2).state == "up"
    house.refresh()
    assert house.roster.sweep() == []
    assert house.spread(6) == {A: 2, B: 4}


def test_active_checks_take_a_server_out_and_back_at_once() -> None:
    house = House(A, B)
    slot = house.of(A).slot
    house.roster.set_down(slot, True)
    assert house.of(A).state == "down"
    assert house.spread(4) == {B: 4}        # without being woken
    house.roster.set_down(slot, False)
    assert house.spread(4) == {A: 2, B: 2}


def ejected(house: House, address: str) -> None:
    """One of its requests fails, by the roster's clock."""
    set_clock(house.workers, time.monotonic_ns() // 1000)
    while (request := house.workers[0].request(head())).lease() != address:
        request.answered()
    request.fail()
    assert house.of(address).state == "ejected"


def test_an_operator_calls_an_ejected_server_back() -> None:
    house = House(A, B, passive={"failures": 1, "eject": "1h"})
    ejected(house, A)
    house.roster.change("u", A, weight=1)
    assert house.of(A).state == "ejected"       # that says nothing of its health
    assert house.roster.change("u", A, draining=False).state == "up"
    assert house.spread(4) == {A: 2, B: 2}      # without being woken
    house.roster.change("u", A, draining=True)
    assert house.roster.change("u", A, draining=False).state == "up"


def test_an_operator_does_not_overrule_active_checks() -> None:
    house = House(A, B)
    house.roster.set_down(house.of(A).slot, True)
    assert house.roster.change("u", A, draining=False).state == "down"


def test_the_ring_follows_the_roster() -> None:
    house = House(A, B, C, balance="hash:uri", workers=1)

    def owners() -> dict[str, str | None]:
        found = {}
        for n in range(200):
            request = house.workers[0].request(head(f"/{n}"))
            found[f"/{n}"] = request.lease()
            request.answered()
        return found

    before = owners()
    house.roster.remove("u", C)
    house.refresh()
    after = owners()
    assert set(after.values()) == {A, B}
    assert all(after[key] == owner for key, owner in before.items() if owner != C)
    house.add(C)
    house.refresh()
    assert owners() == before


def test_an_address_that_moves_is_told(tmp_path: object) -> None:
    house = House(A)
    moved = (socket.AF_INET6, ("::1", 9009, 0, 0))
    house.roster.set_address(house.of(A).slot, moved)
    assert house.roster.resolved(house.of(A).slot) == moved
    assert house.of(A).address == A         # as it was spelled
    house.roster.set_address(house.of(A).slot, (socket.AF_UNIX, "/tmp/a.sock"))
    assert house.roster.resolved(house.of(A).slot) == (socket.AF_UNIX, "/tmp/a.sock")


def test_a_reload_begins_with_the_file_and_keeps_health() -> None:
    house = House(A, B, passive={"failures": 1})
    house.add(C)
    house.refresh()
    while (request := house.workers[0].request(head())).lease() != A:
        request.release()
    request.fail()
    house.roster.set_down(house.of(B).slot, True)
    again = House(B, A, before=house.state, active={})
    # The clock of a probe stands: by the roster's, the ejection is over.
    assert [(one.address, one.state) for one in again.roster.servers("u")] == [(B, "down"), (A, "up")]
    assert [one.failures for one in again.roster.servers("u")] == [0, 1]


def test_without_active_checks_nobody_stays_down() -> None:
    house = House(A, B, active={})
    house.roster.set_down(house.of(A).slot, True)
    assert House(A, B, before=house.state).of(A).state == "up"


def test_no_admin_no_spare_slots() -> None:
    config = config_of({"upstreams": {"u": {"servers": [A]}}, "routes": [{"match": {}, "upstream": "u"}]})
    assert State(config).roster.n_slots == 1


def test_a_reader_never_sees_half_a_write() -> None:
    """A process that writes as fast as it can; whatever is read belongs together."""
    records = Records(1, 1)
    pid = os.fork()
    if pid == 0:
        n = 0
        while True:
            n += 1
            records.write(0, used=True, weight=n % 1000 + 1, name=str(n % 1000 + 1) * 40)
    try:
        seen = set()
        while len(seen) < 200:
            facts = records.read(0)
            if facts:
                assert facts["name"] == str(facts["weight"]) * 40
                seen.add(facts["weight"])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    records.write(0, weight=7, name="7" * 40)       # whatever the killed one left half-done
    assert records.read(0)["name"] == "7" * 40


def test_a_wake_reaches_each_worker() -> None:
    house = House(A)
    waiting = [threading.Thread(target=os.eventfd_read, args=(fd,)) for fd in house.roster.wakes]
    for fd in house.roster.wakes:
        os.set_blocking(fd, True)
    for one in waiting:
        one.start()
    house.add(B)
    for one in waiting:
        one.join(10)
    assert not any(one.is_alive() for one in waiting)

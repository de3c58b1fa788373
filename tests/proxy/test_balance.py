"""Which server takes a request, without one leaving: the order of turns, keys on the ring, probes of the ejected."""
from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.proxy.probe import Probe
from tests.probing import NOW_US, head, probe, probes, set_clock

A, B, C, D = (f"127.0.0.1:{port}" for port in (9001, 9002, 9003, 9004))
SECOND_US = 1_000_000


def upstream(*servers: object, workers: int = 1, **options: Any) -> dict[str, Any]:
    return {
        "workers": workers,
        "upstreams": {"u": {"servers": list(servers), **options}},
        "routes": [{"match": {}, "upstream": "u"}],
    }


def weighted(**weights: int) -> list[dict[str, Any]]:
    return [{"address": {"a": A, "b": B, "c": C, "d": D}[name], "weight": weight} for name, weight in weights.items()]


def chosen(worker: Probe, target: str = "/", *, peer: str = "127.0.0.1") -> str | None:
    """The server of one request, which is over at once."""
    request = worker.request(head(target), peer=peer)
    server = request.lease()
    if server is not None:
        request.release()
    return server


def fail(worker: Probe, server: str) -> None:
    """One request fails at `server`, whose turn comes within a round."""
    while True:
        request = worker.request(head())
        if request.lease() == server:
            request.fail()
            return
        request.release()


def test_turns_are_smooth_and_weights_exact() -> None:
    worker = probe(upstream(*weighted(a=5, b=1, c=1)))
    assert [chosen(worker) for _ in range(14)] == [A, A, B, A, C, A, A] * 2      # nginx's own example


@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=4), worker=st.integers(0, 7))
def test_every_round_of_every_worker_keeps_the_weights(weights: list[int], worker: int) -> None:
    servers = weighted(**dict(zip("abcd", weights, strict=False)))
    each = probes(upstream(*servers, workers=worker + 1))[worker]
    for _ in range(2):
        counts = Counter(chosen(each) for _ in range(sum(weights)))
        assert counts == {server["address"]: server["weight"] for server in servers}


def test_workers_start_at_different_servers() -> None:
    workers = probes(upstream(A, B, C, workers=3))
    assert {chosen(worker) for worker in workers} == {A, B, C}


def test_backups_take_turns_when_the_others_have_failed() -> None:
    backups = [{"address": address, "backup": True} for address in (C, D)]
    worker = probe(upstream(A, *backups, passive={"failures": 1}))
    assert {chosen(worker) for _ in range(4)} == {A}
    fail(worker, A)
    assert [chosen(worker) for _ in range(4)] == [C, D, C, D]


def test_a_backup_does_not_disturb_the_turns_of_later_workers() -> None:
    workers = probes(upstream(A, B, {"address": C, "backup": True, "weight": 100}, workers=3))
    assert [[chosen(worker) for _ in range(4)] for worker in workers] == [[A, B, A, B], [B, A, B, A], [A, B, A, B]]


def test_least_conn_counts_the_requests_of_all_workers() -> None:
    first, second = probes(upstream(A, B, workers=2, balance="least_conn"))
    held = [first.request(head()) for _ in range(4)]
    assert sorted(str(each.lease()) for each in held) == [A, A, B, B]
    for each in held[2:]:
        each.release()
    for each in held[:2]:
        each.release()
    busy = first.request(head())
    at = busy.lease()
    assert {chosen(second) for _ in range(4)} == {A, B} - {at}


def test_least_conn_weighs() -> None:
    worker = probe(upstream(*weighted(a=3, b=1), balance="least_conn"))
    held = [worker.request(head()) for _ in range(8)]
    assert Counter(each.lease() for each in held) == {A: 6, B: 2}


def test_p2c_never_takes_the_busier_of_two() -> None:
    worker = probe(upstream(A, B, balance="p2c"))
    held = [worker.request(head()) for _ in range(100)]
    counts = Counter(each.lease() for each in held)
    assert abs(counts[A] - counts[B]) <= 1


def owners(servers: list[str], n: int = 400) -> dict[str, str | None]:
    worker = probe(upstream(*servers, balance="hash:path"))
    return {f"/{i}": chosen(worker, f"/{i}") for i in range(n)}


def test_a_ring_spreads_keys_and_gives_each_the_same_server_always() -> None:
    found = owners([A, B, C, D])
    assert found == owners([D, B, A, C])
    assert min(Counter(found.values()).values()) > 400 / 4 / 2


def test_only_the_keys_of_a_removed_server_move() -> None:
    before, after = owners([A, B, C, D]), owners([A, B, C])
    assert {key for key in before if before[key] != after[key]} == {key for key in before if before[key] == D}


def test_only_the_keys_of_an_ejected_server_move_and_they_come_back() -> None:
    worker = probe(upstream(A, B, C, D, balance="hash:path", passive={"failures": 1, "eject": "10s"}))
    before = {f"/{i}": chosen(worker, f"/{i}") for i in range(200)}
    victim = next(key for key, server in before.items() if server == D)
    request = worker.request(head(victim))
    assert request.lease() == D
    request.fail()
    during = {key: chosen(worker, key) for key in before}
    assert {key for key in before if before[key] != during[key]} == {key for key in before if before[key] == D}
    worker.now_us += 10 * SECOND_US
    probing = worker.request(head(victim))
    assert probing.lease() == D
    probing.answered()
    assert {key: chosen(worker, key) for key in before} == before


@pytest.mark.parametrize(("balance", "fields", "same"), [
    ("hash:header:x-user", [("X-User", "ann")], [("x-USER", "ann")]),
    ("hash:cookie:id", [("Cookie", "a=1; id=7")], [("Cookie", "id=7; a=2")]),
    ("hash:host", [("X", "1")], [("X", "2")]),
])
def test_equal_keys_have_equal_servers(
    balance: str, fields: list[tuple[str, str]], same: list[tuple[str, str]]
) -> None:
    worker = probe(upstream(A, B, C, D, balance=balance))
    one, other = worker.request(head("/1", *fields)), worker.request(head("/2", *same))
    assert one.lease() == other.lease()


def test_an_address_has_its_server_wherever_it_asks() -> None:
    worker = probe(upstream(A, B, C, D, balance="ip_hash"))
    by_address = {peer: {chosen(worker, f"/{i}", peer=peer) for i in range(5)} for peer in ("10.0.0.1", "2001:db8::1")}
    assert all(len(servers) == 1 for servers in by_address.values())
    assert len({chosen(worker, peer=f"10.0.0.{i}") for i in range(100)}) == 4


def test_with_every_server_out_nobody_takes_it_by_whatever_rule() -> None:
    for balance in ("round_robin", "least_conn", "p2c", "ip_hash", "hash:path"):
        worker = probe(upstream(A, B, balance=balance, passive={"failures": 1}))
        for _ in range(2):
            request = worker.request(head())
            assert request.lease() is not None
            request.fail()
        assert sorted(worker.ejected()) == [A, B]
        assert chosen(worker) is None


def test_failures_within_the_window_eject_and_older_ones_do_not_count() -> None:
    worker = probe(upstream(A, B, passive={"failures": 2, "window": "5s", "eject": "7s"}))
    fail(worker, A)
    worker.now_us += 6 * SECOND_US
    fail(worker, A)
    assert worker.ejected() == []
    worker.now_us += SECOND_US
    fail(worker, A)
    assert worker.ejected() == [A]
    assert {chosen(worker) for _ in range(4)} == {B}


def eject_a(workers: list[Probe]) -> None:
    fail(workers[0], A)
    assert all(worker.ejected() == [A] for worker in workers)
    set_clock(workers, NOW_US + 10 * SECOND_US)


def test_an_ejected_server_gets_one_probe_whoever_sends_it() -> None:
    workers = probes(upstream(A, B, workers=2, passive={"failures": 1, "eject": "10s"}))
    eject_a(workers)
    held = [worker.request(head()) for _ in range(5) for worker in workers]
    servers = [each.lease() for each in held]
    assert Counter(servers) == {A: 1, B: 9}
    held[servers.index(A)].answered()
    assert workers[1].ejected() == []
    assert {chosen(workers[1]) for _ in range(2)} == {A, B}


def test_a_probe_that_fails_ejects_again_at_once() -> None:
    workers = probes(upstream(A, B, workers=2, passive={"failures": 3, "eject": "10s"}))
    for _ in range(2):
        fail(workers[0], A)
    eject_a(workers)
    fail(workers[1], A)
    assert workers[0].ejected() == [A]
    assert {chosen(workers[0]) for _ in range(4)} == {B}


def test_what_was_sent_before_the_ejection_neither_ends_nor_lengthens_it() -> None:
    workers = probes(upstream(A, B, workers=2, passive={"failures": 1, "eject": "10s"}))
    held = [worker.request(head()) for worker in workers for _ in range(4)]
    late = [request for request in held if request.lease() == A]
    assert len(late) == 4
    fail(workers[0], A)
    late[0].answered()
    late[3].answered()
    assert workers[0].ejected() == workers[1].ejected() == [A]
    set_clock(workers, NOW_US + 9 * SECOND_US)
    late[1].fail()
    assert {chosen(workers[1]) for _ in range(4)} == {B}
    set_clock(workers, NOW_US + 10 * SECOND_US)
    late[2].answered()
    assert Counter(worker.request(head()).lease() for worker in workers for _ in range(5)) == {A: 1, B: 9}


def test_a_server_slower_than_its_time_outside_comes_back() -> None:
    """The next probe enters, and moves the date on, before the first one is answered."""
    worker = probe(upstream(A, B, passive={"failures": 1, "eject": "1s"}))
    fail(worker, A)
    held = []
    for _ in range(3):
        worker.now_us += SECOND_US
        held += [worker.request(head()) for _ in range(2)]
        servers = [request.lease() for request in held[-2:]]
        assert sorted(filter(None, servers)) == [A, B]
        held.remove(held[-2 + servers.index(B)])
    assert worker.ejected() == [A]
    held[0].answered()
    assert worker.ejected() == []
    held[1].fail()      # the last word of a probe after it came back: a failure like any other
    assert worker.ejected() == [A]


def test_a_request_never_goes_twice_to_the_server_that_failed_it() -> None:
    worker = probe(upstream(A, B, C, passive={"failures": 0}))
    request = worker.request(head())
    tried = set()
    for _ in range(3):
        tried.add(request.lease())
        request.fail()
    assert tried == {A, B, C}
    assert request.lease() is None
    assert worker.ejected() == []                   # failures: 0 is off


def test_connections_of_all_workers_count_against_max_connections() -> None:
    first, second = probes(upstream({"address": A, "max_connections": 2}, B, workers=2))
    held = [worker.request(head()) for _ in range(10) for worker in (first, second)]
    servers = [each.lease() for each in held]
    assert Counter(servers) == {A: 2, B: 18}
    held[servers.index(A)].release()
    assert Counter(chosen(second) for _ in range(4))[A] == 2


def ask(worker: Probe, took_us: int = 0) -> str | None:
    """One request that is answered after so long."""
    request = worker.request(head())
    server = request.lease()
    worker.now_us += took_us
    if server is not None:
        request.answered()
    return server


def test_ewma_goes_where_answers_are_fast() -> None:
    worker = probe(upstream(A, B, balance="ewma"))
    took_us = {A: 1_000, B: 50_000}

    def one() -> str | None:
        request = worker.request(head())
        server = request.lease()
        worker.now_us += took_us[str(server)]
        request.answered()
        return server

    seen = Counter(one() for _ in range(200))
    assert seen[A] >= 195
    took_us = {A: 50_000, B: 1_000}         # they change places: a peak counts at once
    turned = Counter(one() for _ in range(200))
    assert turned[B] > 150


def test_ewma_forgets_a_slow_past() -> None:
    worker = probe(upstream(A, B, balance="ewma"))
    slow = ask(worker, 100_000)
    other = {A: B, B: A}[str(slow)]
    assert {ask(worker, 1_000) for _ in range(20)} == {other}
    worker.now_us += 200 * SECOND_US
    for _ in range(3):
        ask(worker, 1_000)
    assert {ask(worker, 1_000) for _ in range(60)} == {A, B}


def test_ewma_counts_what_is_under_way() -> None:
    worker = probe(upstream(A, B, balance="ewma"))
    for _ in range(10):
        ask(worker, 1_000)
    requests = [worker.request(head()) for _ in range(40)]
    spread = Counter(request.lease() for request in requests)
    assert abs(spread[A] - spread[B]) <= 2


def test_a_server_that_comes_back_warms_up() -> None:
    worker = probe(upstream(A, B, passive={"failures": 1, "eject": "1s"}, slow_start="10s"))
    assert Counter(chosen(worker) for _ in range(20)) == {A: 10, B: 10}     # at the start all are warm
    fail(worker, A)
    worker.now_us += 2 * SECOND_US
    while ask(worker) != A:                 # the probe
        pass
    worker.now_us += SECOND_US
    early = Counter(chosen(worker) for _ in range(220))
    assert 10 <= early[A] <= 40             # a tenth of its weight
    worker.now_us += 4 * SECOND_US
    half = Counter(chosen(worker) for _ in range(300))
    assert 80 <= half[A] <= 120
    worker.now_us += 10 * SECOND_US
    whole = Counter(chosen(worker) for _ in range(20))
    assert abs(whole[A] - whole[B]) <= 1

"""Reloads, good and bad ones, in quick succession under load: no request fails, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients import Client, fetch
from tests.faults.proxy_load import Background, Load, Origin, n_fds, site, status
from tests.proxies import Proxy
from tests.waiting import is_alive, wait_for

N_RELOADS = 10


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as background:
        yield background


def left_over(proxy: Proxy) -> int:
    """How many children there are beside two workers and the warden."""
    return len(proxy.children()) - 3


def test_ten_reloads_under_load_fail_no_request(background: Background) -> None:
    """Each as soon as the one before has taken over: with one or two workers, another server, a bad file in between."""
    origins = [Origin(background, "one"), Origin(background, "two")]
    configs = [site(origins[n % 2].address, workers=1 + n % 2) for n in range(N_RELOADS)]
    with Proxy(site(origins[1].address)) as proxy, Load(background, proxy.address).running() as load:
        for n, config in enumerate(configs):
            load.wait_more(40)
            if n % 3 == 1:
                refuse(proxy, {**config, "uptreams": {}})
            proxy.reload(config)
            asked = origins[n % 2].asked
            wait_for(lambda n=n, asked=asked: origins[n % 2].asked > asked + 20, "the new config's server to be asked")
        # A draining worker lets an idle client ask once more for 2 s, and then there is nobody left.
        wait_for(lambda: left_over(proxy) == 0, "the old processes to leave")
        load.wait_more(40)
        assert proxy.metric("hotpath_proxy_reloads_total", ok="true") == N_RELOADS
        assert proxy.metric("hotpath_proxy_reloads_total", ok="false") == 3
    assert load.failures == []
    assert load.bodies == {"one", "two"}
    assert load.goodbyes, "no client was told to go: the reloads proved nothing"


def refuse(proxy: Proxy, config: dict[str, object]) -> None:
    """Reload a bad file; wait until it was refused."""
    seen, before = len(proxy.stderr.lines), proxy.children()
    proxy.write(config)
    proxy.send_signal(signal.SIGHUP)
    line = proxy.stderr.wait_for("reload failed", start=seen)
    assert re.search(re.escape(str(proxy.file)) + r":\d+: uptreams", line)
    assert set(before) >= set(proxy.children()), "somebody was started for it"


def test_signals_faster_than_reloads_end_with_the_last_file(background: Background) -> None:
    origin = Origin(background)
    with Proxy(site(origin.address)) as proxy, Load(background, proxy.address).running() as load:
        for n in range(30):
            proxy.write(site(origin.address, routes=[
                {"match": {"path": "/version"}, "respond": {"body": str(n)}},
                {"match": {"prefix": "/"}, "upstream": "b"},
            ]))
            proxy.send_signal(signal.SIGHUP)
            load.wait_more(5)
        wait_for(lambda: fetch(proxy.address, "/version").body == b"29", "the last file")
        wait_for(lambda: left_over(proxy) == 0, "the old processes to leave")
    assert load.failures == []


def test_a_restart_instead_of_a_reload_is_seen_to_lose_requests(background: Background) -> None:
    """Control: what a stop and a start between two requests cost, the load notices."""
    origin = Origin(background)
    with Proxy(site(origin.address)) as proxy, Load(background, proxy.address).running() as load:
        load.wait_more(40)
        assert proxy.stop() == 0
        wait_for(lambda: load.failures, "lost requests")
        with Proxy(site(origin.address, listen=proxy.address)):
            load.wait_more(40)
    assert all("connect" in failure.why for failure in load.failures), "the drain itself loses nothing"


def test_a_drain_that_does_not_wait_is_seen_to_lose_requests(background: Background) -> None:
    """Control: a reload whose old workers end at once."""
    origin = Origin(background)
    config = site(origin.address, timeouts={"drain": "1ms"})
    with Proxy(config) as proxy, Load(background, proxy.address).running() as load:
        while not load.failures and proxy.generation < N_RELOADS:
            load.wait_more(40)
            proxy.reload(config)
    assert load.failures


def test_reloads_leave_no_descriptor_no_child_and_no_memory_in_the_master(background: Background) -> None:
    origin = Origin(background)
    config = site(
        origin.address,
        rate_limits={"many": {"key": "client_ip", "rate": "1000000/s"}},
        log={"access": {"path": "/dev/null"}},
        limits={"connections_per_ip": 1000},
    )
    with Proxy(config) as proxy:
        sizes = []
        for n in range(20):
            proxy.reload(config)
            wait_for(lambda: left_over(proxy) == 0, "the old processes to leave")
            # Their end was seen before the master let go of what they held; what it hears now comes behind that.
            refuse(proxy, {**config, "uptreams": {}})
            sizes.append((n_fds(proxy.process.pid), mappings(proxy.process.pid)))
            if n == 4:
                warm_kib = resident_kib(proxy.process.pid)
        # The warden and its sockets of the file are counted: what is there after the fifth is there after the last.
        assert sizes[-1] == sizes[4], sizes
        assert resident_kib(proxy.process.pid) - warm_kib < 512
        # A log that an old generation had open would keep its disk space after a rotation; an address, its clients.
        with Proxy(config) as young:
            assert {files(pid) for pid in proxy.workers()} == {files(pid) for pid in young.workers()}


def files(pid: int) -> int:
    """How many files and sockets a process holds; memory and wake-ups of old generations may stay."""
    return sum("eventfd" not in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())


def mappings(pid: int) -> int:
    """How many shared mappings it has: each generation brings its own."""
    return sum(" rw-s " in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


def resident_kib(pid: int) -> int:
    """Its own memory."""
    return int(status(pid)["RssAnon"].split()[0])


def test_a_reload_while_a_worker_is_killed_ends_with_the_new_config(background: Background) -> None:
    origin = Origin(background)
    with Proxy(site(origin.address)) as proxy, Client(proxy.address) as client:
        assert client.ask("GET", "/").status == 200
        for _ in range(5):
            victims = proxy.workers()
            seen = len(proxy.stderr.lines)
            proxy.send_signal(signal.SIGHUP)
            for victim in victims:
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            proxy.stderr.wait_for("reloaded generation=", start=seen)
            wait_for(lambda v=victims: not any(map(is_alive, v)), "their end")
            wait_for(lambda: left_over(proxy) == 0, "two workers and a warden")
            assert fetch(proxy.address, "/").status == 200

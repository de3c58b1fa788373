"""A new config takes over without a request noticing; a bad one changes nothing."""

from __future__ import annotations

import re
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.backends import Backend, Gate
from tests.clients import Client, CutShort, fetch, request_bytes
from tests.proxies import Proxy, free_address
from tests.waiting import wait_for


def site(backend: Backend, answer: str = "one", **more: object) -> dict[str, object]:
    """A config whose /version says which one it is."""
    return {
        "workers": 2,
        "timeouts": {"drain": "20s"},
        "upstreams": {"b": {"servers": [backend.address]}},
        "rate_limits": {"kept": {"key": "client_ip", "rate": "1/h", "burst": 1}},
        "routes": [
            {"match": {"path": "/version"}, "respond": {"body": answer}},
            {"match": {"path": "/limited"}, "upstream": "b", "rate_limit": "kept"},
            {"match": {"prefix": "/"}, "upstream": "b"},
        ],
        **more,
    }


class Load:
    """Clients that ask without pause, keeping their connection while the proxy does, and note what went wrong."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.done = 0
        self.failures: list[str] = []
        self._stop = threading.Event()

    @contextmanager
    def running(self, n: int = 4) -> Iterator[Load]:
        threads = [threading.Thread(target=self._ask, args=(bool(i % 2),), daemon=True) for i in range(n)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(20)

    def _ask(self, post: bool) -> None:
        while not self._stop.is_set():
            try:
                with Client(self.address) as client:
                    self._ask_on(client, post)
            except (CutShort, OSError) as error:
                self.failures.append(repr(error))

    def _ask_on(self, client: Client, post: bool) -> None:
        """Ask until the proxy says goodbye, or the test does."""
        heard_s = time.monotonic()
        while not self._stop.is_set():
            if time.monotonic() - heard_s > 1 and select.select([client.sock], [], [], 0)[0]:
                return      # we were silent for as long as a drain waits, and let go: no request was on it
            answer = client.ask("POST", "/load", body=b"x" * 100) if post else client.ask("GET", "/load")
            heard_s = time.monotonic()
            if answer.status != 200:
                self.failures.append(f"status {answer.status}")
            self.done += 1
            if answer.says_close:
                return

    def wait_more(self, n: int) -> None:
        """Wait until `n` more requests were answered."""
        goal = self.done + n
        wait_for(lambda: self.done >= goal, f"{n} more requests")


def test_no_request_fails_over_three_reloads(backend: Backend) -> None:
    with Proxy(site(backend, "0")) as proxy, Load(proxy.address).running() as load:
        for n in range(1, 4):
            load.wait_more(30)
            proxy.reload(site(backend, str(n)))
            wait_for(lambda n=n: fetch(proxy.address, "/version").body == str(n).encode(), f"config {n}")
        load.wait_more(30)
        # Old workers leave once they are empty, long before the drain deadline.
        wait_for(lambda: len(proxy.workers()) == 2, "the old workers to leave")
    assert load.failures == []


def test_a_bad_config_changes_nothing_and_is_named(backend: Backend) -> None:
    with Proxy(site(backend)) as proxy:
        children = proxy.children()
        generation = proxy.metric("hotpath_proxy_config_generation")
        proxy.write(site(backend, "two", uptreams={}))
        proxy.send_signal(signal.SIGHUP)
        line = proxy.stderr.wait_for(f"{proxy.file}:")
        assert re.search(re.escape(str(proxy.file)) + r":\d+: .*uptreams", line)
        wait_for(
            lambda: proxy.metric("hotpath_proxy_reloads_total", ok="false") == 1, "the failed reload to be counted"
        )
        assert fetch(proxy.address, "/version").body == b"one"
        assert proxy.children() == children
        assert proxy.metric("hotpath_proxy_config_generation") == generation
        # And the next good one is taken.
        proxy.reload(site(backend, "three"))
        wait_for(lambda: fetch(proxy.address, "/version").body == b"three", "the good config")
        wait_for(lambda: proxy.metric("hotpath_proxy_reloads_total", ok="true") == 1, "the reload to be counted")


def test_an_address_that_is_taken_changes_nothing(backend: Backend) -> None:
    with Proxy(site(backend)) as proxy:
        before = len(proxy.stderr.lines)
        proxy.write(site(backend, "two", listen=[proxy.address, backend.address]))
        proxy.send_signal(signal.SIGHUP)
        proxy.stderr.wait_for(backend.address, start=before)
        wait_for(
            lambda: proxy.metric("hotpath_proxy_reloads_total", ok="false") == 1, "the failed reload to be counted"
        )
        assert fetch(proxy.address, "/version").body == b"one"


def test_a_request_under_way_ends_in_the_old_generation(backend: Backend) -> None:
    gate = Gate(b"finished")
    backend.on("/under/way", gate)
    with Proxy(site(backend)) as proxy, Client(proxy.address) as client:
        client.send(request_bytes("GET", "/under/way"))
        backend.wait_seen("/under/way")
        proxy.reload(site(backend, "two"))
        wait_for(lambda: fetch(proxy.address, "/version").body == b"two", "the new config")
        gate.open()
        assert client.answer().body == b"finished"


def test_an_idle_client_is_told_and_not_cut(backend: Backend) -> None:
    with Proxy(site(backend)) as proxy, Client(proxy.address) as client:
        assert client.ask("GET", "/version").body == b"one"
        proxy.write(site(backend, "two"))
        proxy.begin_reload()
        # The old worker says goodbye with an answer, not by closing under a request; it may hear later than we.
        while not (answer := client.ask("GET", "/version")).says_close:
            assert answer.status == 200
        assert answer.status == 200
        assert client.rest() == b""


def test_an_idle_client_that_stays_silent_is_let_go(backend: Backend) -> None:
    with Proxy(site(backend)) as proxy, Client(proxy.address) as client:
        assert client.ask("GET", "/version").body == b"one"
        proxy.reload(site(backend, "two"))
        assert client.rest() == b""


def test_allowances_are_kept(backend: Backend) -> None:
    with Proxy(site(backend)) as proxy:
        assert [fetch(proxy.address, "/limited").status for _ in range(3)] == [200, 200, 429]
        proxy.reload(site(backend, "two"))
        wait_for(lambda: fetch(proxy.address, "/version").body == b"two", "the new config")
        assert fetch(proxy.address, "/limited").status == 429


def test_counters_are_kept(backend: Backend) -> None:
    with Proxy(site(backend)) as proxy:
        for _ in range(5):
            fetch(proxy.address, "/counted")
        wait_for(lambda: proxy.metric("hotpath_proxy_requests_total", route="route-3") == 5, "five requests")
        proxy.reload(site(backend, "two"))
        wait_for(lambda: len(proxy.workers()) == 2, "the old workers to leave")
        fetch(proxy.address, "/counted")
        wait_for(lambda: proxy.metric("hotpath_proxy_requests_total", route="route-3") == 6, "the sixth request")


def test_addresses_come_and_go(backend: Backend) -> None:
    new = free_address()
    with Proxy(site(backend)) as proxy:
        proxy.reload(site(backend, "two", listen=[proxy.address, new]))
        assert fetch(new, "/version").body == b"two"
        assert fetch(proxy.address, "/version").status == 200
        proxy.reload(site(backend, "three", listen=new))
        wait_for(lambda: fetch(new, "/version").body == b"three", "the third config")

        def gone() -> bool:
            try:
                Client(proxy.address).close()
            except (ConnectionRefusedError, ConnectionResetError):
                return True
            return False

        wait_for(gone, "the old address to close")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["TERM", "QUIT"])
def test_a_stop_waits_for_the_request_under_way(backend: Backend, number: signal.Signals) -> None:
    gate = Gate(b"finished")
    path = f"/stop/{number.name}"
    backend.on(path, gate)
    with Proxy(site(backend)) as proxy, Client(proxy.address) as client:
        client.send(request_bytes("GET", path))
        backend.wait_seen(path)
        proxy.send_signal(number)

        def refused() -> bool:
            try:
                Client(proxy.address).close()
            except (ConnectionRefusedError, ConnectionResetError):
                return True
            return False

        wait_for(refused, "the address to close")
        gate.open()
        assert client.answer().body == b"finished"
        assert proxy.process.wait(10) == 0


def test_a_stop_does_not_wait_longer_than_the_drain_deadline(backend: Backend) -> None:
    gate = Gate()
    backend.on("/stop/never", gate)
    with Proxy(site(backend, timeouts={"drain": "300ms"})) as proxy, Client(proxy.address) as client:
        client.send(request_bytes("GET", "/stop/never"))
        backend.wait_seen("/stop/never")
        assert proxy.stop() == 0
        with pytest.raises(CutShort):
            client.answer()
    gate.open()


def test_a_second_signal_stops_at_once(backend: Backend) -> None:
    gate = Gate()
    backend.on("/stop/now", gate)
    with Proxy(site(backend, timeouts={"drain": "1h"})) as proxy, Client(proxy.address) as client:
        client.send(request_bytes("GET", "/stop/now"))
        backend.wait_seen("/stop/now")
        children = proxy.children()
        proxy.send_signal(signal.SIGTERM)
        proxy.send_signal(signal.SIGINT)
        proxy.process.wait(10)
        assert children
        gate.open()

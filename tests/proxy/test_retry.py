"""What is sent again, to whom, and what is never sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.backends import Backend, Exchange, Gate, describe, refusing, saying, unanswering
from tests.clients import Client, fetch
from tests.proxies import Proxy
from tests.waiting import wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Site:
    """`first` gets every request, `second` is asked only when `first` fails: a backup is a fixed order of trying."""

    proxy: Proxy
    first: Backend
    second: Backend

    def ask(self, route: str, path: str, method: str = "GET", body: bytes | None = None) -> int:
        return fetch(self.proxy.address, f"/{route}/{path}", method, body=body).status

    def deliveries(self, route: str, path: str) -> tuple[int, int]:
        """How often the request reached each of the two."""
        return len(self.first.seen(f"/{route}/{path}")), len(self.second.seen(f"/{route}/{path}"))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as first, Backend() as second, refusing() as closed, unanswering() as silent:

        def pair(address: str, **retry: object) -> dict[str, object]:
            return {
                "servers": [address, {"address": second.address, "backup": True}],
                "passive": {"failures": 0},
                "retry": {"attempts": 1, **retry},
            }

        upstreams = {
            "pair": pair(first.address),
            "statuses": pair(first.address, statuses=[503]),
            "none": {**pair(first.address), "retry": {"attempts": 0}},
            "alone": {"servers": [first.address], "passive": {"failures": 0}, "retry": {"attempts": 0}},
            "closed": pair(closed),
            "silent": pair(silent),
            "judged": pair(first.address, statuses=[503], attempts=5),
            "single": {**pair(first.address, statuses=[503], attempts=5), "servers": [first.address]},
            "slow": pair(first.address),
            "lost": {"servers": [closed], "passive": {"failures": 0}, "retry": {"attempts": 5}},
            "mute": {"servers": [silent], "passive": {"failures": 0}, "retry": {"attempts": 0}},
        }
        config = {
            "timeouts": {"connect": "200ms"},
            "upstreams": upstreams,
            "routes": [{"name": name, "match": {"prefix": f"/{name}/"}, "upstream": name,
                        **({"timeouts": {"response": "1500ms"}} if name == "slow" else {})} for name in upstreams],
        }
        with Proxy(config) as proxy:
            yield Site(proxy, first, second)


def close(exchange: Exchange) -> None:
    """Read the request, then close without a byte."""
    exchange.body()
    exchange.close()


def reset(exchange: Exchange) -> None:
    """Read the request, then reset without a byte."""
    exchange.body()
    exchange.reset()


ENDINGS = pytest.mark.parametrize("ending", [close, reset], ids=["close", "reset"])


@ENDINGS
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_safe_request_goes_to_the_next_server(site: Site, method: str, ending: object) -> None:
    path = f"{method}-{ending.__name__}"
    site.first.on(f"/pair/{path}", ending)
    assert site.ask("pair", path, method) == 200
    assert site.deliveries("pair", path) == (1, 1)


@ENDINGS
@pytest.mark.parametrize(
    ("method", "body"), [("POST", b"x"), ("POST", b""), ("PUT", b"x"), ("DELETE", None), ("PATCH", b"x"), ("GET", b"x")]
)
def test_any_other_request_is_502_and_delivered_once(
    site: Site, method: str, body: bytes | None, ending: object
) -> None:
    path = f"{method}-{body!r}-{ending.__name__}".replace("'", "")
    site.first.on(f"/pair/{path}", ending)
    assert site.ask("pair", path, method, body) == 502
    assert site.deliveries("pair", path) == (1, 0)


def test_without_attempts_nothing_goes_twice(site: Site) -> None:
    site.first.on("/none/x", close)
    assert site.ask("none", "x") == 502
    assert site.deliveries("none", "x") == (1, 0)


@pytest.mark.parametrize("partial", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_nothing_is_retried_after_the_first_response_byte(site: Site, partial: bytes) -> None:
    path = f"partial-{len(partial)}"
    site.first.on(f"/pair/{path}", saying(partial, then_close=True))
    assert site.ask("pair", path) == 502
    assert site.deliveries("pair", path) == (1, 0)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("route", ["closed", "silent"])
def test_what_was_never_sent_goes_to_the_next_server_by_any_method(site: Site, route: str, method: str) -> None:
    body = b"x" if method == "POST" else None
    assert site.ask(route, method, method, body) == 200
    assert site.deliveries(route, method) == (0, 1)


def test_no_server_left_is_502_when_refused_and_504_when_silent(site: Site) -> None:
    assert site.ask("lost", "x") == 502
    assert site.ask("mute", "x") == 504


def test_listed_statuses_count_as_failures_for_safe_requests_only(site: Site) -> None:
    def busy(exchange: Exchange) -> None:
        exchange.answer(b"busy", status=503)

    for method, status, deliveries in [("GET", 200, (1, 1)), ("POST", 503, (1, 0))]:
        site.first.on(f"/statuses/{method}", busy)
        assert site.ask("statuses", method, method, b"x" if method == "POST" else None) == status
        assert site.deliveries("statuses", method) == deliveries
    site.first.on("/statuses/500", lambda exchange: exchange.answer(b"", status=500))
    assert site.ask("statuses", "500") == 500


def test_the_last_attempt_is_passed_on_whatever_its_status(site: Site) -> None:
    for backend in (site.first, site.second):
        backend.on("/statuses/both", lambda exchange: exchange.answer(b"busy", status=503))
    assert site.ask("statuses", "both") == 503
    assert site.deliveries("statuses", "both") == (1, 1)


@pytest.mark.parametrize(("route", "deliveries"), [("judged", (1, 1)), ("single", (1, 0))])
def test_where_nobody_else_is_left_the_answer_is_passed_on_as_it_is(
    site: Site, route: str, deliveries: tuple[int, int]
) -> None:
    """Also where attempts are left, and free places for servers that may come."""
    for backend in (site.first, site.second):
        backend.on(f"/{route}/busy", lambda exchange: exchange.answer(
            b"busy", status=503, fields=[("Retry-After", "7")]))
    answer = fetch(site.proxy.address, f"/{route}/busy")
    assert (answer.status, answer.value("retry-after"), answer.body) == (503, "7", b"busy")
    assert site.deliveries(route, "busy") == deliveries


def test_the_last_failure_is_what_is_told(site: Site) -> None:
    held = Gate()
    site.first.on("/slow/x", held)
    site.second.on("/slow/x", close)
    assert site.ask("slow", "x") == 502     # not 504: that was the one before
    held.open()
    assert site.deliveries("slow", "x") == (1, 1)


def dies_on_reuse(exchange: Exchange) -> None:
    """Answer the first request of a connection, close on any later one without a byte."""
    if exchange.number == 1:
        exchange.answer(b"ok")
    else:
        close(exchange)


def test_a_safe_request_that_meets_a_dead_connection_goes_once_more_on_a_fresh_one(site: Site) -> None:
    site.first.default = dies_on_reuse
    try:
        with Client(site.proxy.address) as client:
            # No attempts are configured: that the connection was old is not the request's fault.
            assert [client.ask("GET", "/alone/reused").status for _ in range(6)] == [200] * 6
    finally:
        site.first.default = describe
    assert all(len(c.exchanges) <= 2 for c in {e.connection for e in site.first.seen("/alone/reused")})


def test_a_post_that_meets_a_dead_connection_is_502_and_delivered_once(site: Site) -> None:
    site.first.default = dies_on_reuse
    try:
        with Client(site.proxy.address) as client:
            client.ask("GET", "/alone/warm")
            status = client.ask("POST", "/alone/once", body=b"x").status
    finally:
        site.first.default = describe
    deliveries = site.first.seen("/alone/once")
    assert len(deliveries) == 1
    # Taken on the old connection it fails; taken on a fresh one, because the old was not trusted, it succeeds.
    assert status == (200 if deliveries[0].number == 1 else 502)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_the_backend_closed_while_idle_is_not_used(site: Site, method: str) -> None:
    path = f"/alone/idle-{method}"

    def answer_and_close(exchange: Exchange) -> None:
        exchange.answer(b"ok")
        exchange.half_close()
        exchange.await_close()  # the proxy has noticed

    site.first.on(path, answer_and_close)
    with Client(site.proxy.address) as client:
        for n in (1, 2, 3):
            assert client.ask(method, path, body=b"x" if method == "POST" else None).status == 200
            assert site.first.wait_seen(path, n)[n - 1].connection.ended.wait(5)
    assert [exchange.number for exchange in site.first.seen(path)] == [1, 1, 1]


def test_retries_are_counted(site: Site) -> None:
    before = site.proxy.metric("hotpath_proxy_retries_total")
    site.first.on("/pair/counted", close)
    assert site.ask("pair", "counted") == 200
    wait_for(lambda: site.proxy.metric("hotpath_proxy_retries_total") == before + 1, "one retry counted")

"""A check sees through every way of not answering, at a bounded price; the counts in a row decide."""
from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from hotpath.core.config import loads
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import sleep, spawn
from hotpath.proxy.checks import JITTER, Checks, Health, apart_s, fault
from hotpath.proxy.config import ActiveHealth, ProxyConfig
from hotpath.proxy.roster import Roster
from hotpath.proxy.state import Resolved, State
from tests.backends import Backend, Exchange, Script, refusing, saying, unanswering
from tests.waiting import DEADLINE_S

T = TypeVar("T")

# Of a check that must end by something else than its time.
LONG_S = DEADLINE_S
# Of one that can only end by its time: the shorter, the sooner the test is over.
SHORT_S = 0.1
# Of one whose head must have come by then.
MIDDLE_S = 1.0


def on_loop(fn: Callable[[Loop], T]) -> T:
    """What `fn` answers in a task of a loop of its own."""
    loop = Loop()
    answers: list[T] = []

    def main() -> None:
        try:
            answers.append(fn(loop))
        finally:
            loop.stop()

    with closing(loop):
        loop.call_soon(spawn, main)
        loop.run()
    return answers[0]


def inet(address: str) -> Resolved:
    host, _, port = address.rpartition(":")
    return socket.AF_INET, (host, int(port))


def asked(address: str, *, timeout: float = LONG_S, status: str = "200-399") -> str | None:
    active = ActiveHealth(path="/health", timeout=timeout, status=status)
    return on_loop(lambda loop: fault(loop, inet(address), active, "a.example"))


def for_ever(begin: bytes, more: bytes) -> Script:
    """A script that sends `begin`, then `more` until the other side has had enough."""
    def script(exchange: Exchange) -> None:
        exchange.send(begin)
        while True:
            exchange.send(more)

    return script


def slowly(data: bytes) -> Script:
    """A script that sends a byte of `data` now and then, for as long as somebody listens."""
    def script(exchange: Exchange) -> None:
        sent = 0
        while not select.select([exchange.connection.sock], [], [], 0.01)[0]:
            exchange.send(data[sent:sent + 1])
            sent += 1

    return script


CASES: list[tuple[str, Script, str | None]] = [
    ("200", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), None),
    ("redirect", saying(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), None),
    ("interim first", saying(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No\r\n\r\n"), None),
    ("HTTP/1.0 until close", saying(b"HTTP/1.0 200 OK\r\n\r\nwell", then_close=True), None),
    ("a body larger than we want", for_ever(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096), None),
    ("503", saying(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), "status 503"),
    ("199", saying(b"HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n"), "status 600"),
    ("closed", lambda exchange: exchange.close(), "closed"),
    ("closed in the head", saying(b"HTTP/1.1 200 OK\r\nA: ", then_close=True), "closed"),
    ("reset", lambda exchange: exchange.reset(), "closed"),
    ("no HTTP", saying(b"220 mail.example ESMTP\r\n"), "malformed"),
    ("two framings", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), "malformed"),
    ("broken chunk", saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), "malformed"),
    ("body cut", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", then_close=True), "malformed"),
    ("endless head", for_ever(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "malformed"),
    ("endless field", for_ever(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 4096), "malformed"),
    ("endless interim", for_ever(b"", b"HTTP/1.1 103 Early\r\n\r\n"), "malformed"),
    ("101 unasked", saying(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), "malformed"),
]


@pytest.mark.parametrize(("script", "cause"), [pytest.param(*rest, id=name) for name, *rest in CASES])
def test_every_answer_has_its_cause(script: Script, cause: str | None) -> None:
    with Backend(script) as backend:
        assert asked(backend.address) == cause


def test_what_never_ends_is_a_timeout() -> None:
    with Backend(slowly(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000)) as backend:
        assert asked(backend.address, timeout=SHORT_S) == "timeout"


def test_a_body_that_never_ends_is_no_fault_of_the_head() -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
        exchange.await_close()

    with Backend(script) as backend:
        assert asked(backend.address, timeout=MIDDLE_S) is None


def test_nobody_there_is_refused_and_a_full_queue_a_timeout() -> None:
    with refusing() as address:
        assert asked(address) == "refused"
    with unanswering() as address:
        assert asked(address, timeout=SHORT_S) == "timeout"


def test_one_plain_get_is_sent_and_the_connection_closed() -> None:
    with Backend() as backend:
        assert asked(backend.address) is None
        (exchange,) = backend.seen("/health")
        assert (exchange.method, exchange.version, exchange.body()) == ("GET", "1.1", b"")
        assert (exchange.value("host"), exchange.value("connection")) == ("a.example", "close")
        assert exchange.connection.ended.wait(DEADLINE_S)


def test_only_the_wanted_statuses_are_good() -> None:
    with Backend(saying(b"HTTP/1.1 204 No\r\n\r\n")) as backend:
        assert asked(backend.address, status="200-299") is None
        assert asked(backend.address, status="200,404") == "status 204"


def test_a_unix_socket_is_asked_as_well(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    active = ActiveHealth(timeout=LONG_S)

    def check() -> str | None:
        return on_loop(lambda loop: fault(loop, (socket.AF_UNIX, path), active, "localhost"))

    assert check() == "refused"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert check() is None
        thread.join(DEADLINE_S)


def test_it_falls_and_rises_by_counts_in_a_row() -> None:
    health = Health(rise=2, fall=3)
    told = [(good, health.note(good=good), health.is_down) for good in map(bool, map(int, "1001000010111011"))]
    assert [changed for _, changed, _ in told] == [n in (6, 11) for n in range(16)]
    assert [down for *_, down in told] == [6 <= n < 11 for n in range(16)]


def test_checks_drift_apart_but_keep_their_pace() -> None:
    assert apart_s(10.0, 0.5) == 10.0
    assert apart_s(10.0, 0.0) == 10.0 * (1 - JITTER)
    assert 10.0 < apart_s(10.0, 0.99) < 10.0 * (1 + JITTER)


class Pair:
    """Two upstreams, one of which is checked every few milliseconds, in a roster without a proxy."""

    def __init__(self, checked: str, other: str) -> None:
        # With an admin there is room for more servers.
        self.config = loads(f"""
            admin: 127.0.0.1:1
            workers: 1
            upstreams:
              checked:
                servers: ['{checked}']
                active: {{path: /health, interval: 5ms, timeout: 10s, rise: 2, fall: 3}}
              other: {{servers: ['{other}']}}
            routes: [{{upstream: checked}}, {{upstream: other, match: {{path: /}}}}]
        """, ProxyConfig)
        self.state = State(self.config)
        self.roster: Roster = self.state.roster

    def run(self, story: Callable[[Checks], None], *, chance: float = 0.0) -> None:
        """`story` in a task, beside the checks."""
        def main(loop: Loop) -> None:
            checks = Checks(self.roster, self.config, loop, chance=lambda: chance)
            checks.follow()
            story(checks)
            checks.stop()

        on_loop(main)

    def is_(self, state: str) -> bool:
        return self.roster.servers("checked")[0].state == state


def until(check: Callable[[], object]) -> None:
    """In a task: poll, with a deadline."""
    for _ in range(int(DEADLINE_S / 0.002)):
        if check():
            return
        sleep(0.002)
    raise AssertionError("still waiting")


class Switch:
    """A script whose status a test changes."""

    def __init__(self) -> None:
        self.status = 200

    def __call__(self, exchange: Exchange) -> None:
        exchange.answer(b"", status=self.status)


@contextmanager
def switched() -> Iterator[tuple[Switch, Backend, Pair]]:
    switch = Switch()
    with Backend(switch) as backend, Backend() as other:
        yield switch, backend, Pair(backend.address, other.address)
        assert other.n_seen == 0


def test_a_server_goes_down_and_comes_back_and_each_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with switched() as (switch, backend, pair):
        def story(checks: Checks) -> None:
            assert pair.is_("up")
            until(lambda: backend.n_seen >= 3)
            assert pair.is_("up")
            switch.status = 503
            until(lambda: pair.is_("down"))
            n = backend.n_seen
            until(lambda: backend.n_seen >= n + 5)
            assert pair.is_("down")
            switch.status = 200
            until(lambda: pair.is_("up"))

        with caplog.at_level(logging.INFO, "hotpath.proxy.checks"):
            pair.run(story)
        place = f"upstream=checked server={backend.address}"
        assert caplog.messages == [f"server down {place} cause=status 503", f"server up {place}"]


def test_a_server_that_was_down_stays_down_until_it_rose() -> None:
    with switched() as (_switch, backend, pair):
        pair.roster.set_down(pair.roster.servers("checked")[0].slot, True)

        def story(checks: Checks) -> None:
            until(lambda: pair.is_("up"))
            assert backend.n_seen >= 2

        pair.run(story)


def test_a_server_that_drains_is_left_alone_and_a_new_one_is_not() -> None:
    with switched() as (_switch, backend, pair), Backend() as late:
        def story(checks: Checks) -> None:
            until(lambda: backend.n_seen >= 2)
            address, resolved = pair.config.upstreams["checked"].servers[0].address, inet(late.address)
            pair.roster.change("checked", str(address), draining=True)
            pair.roster.add("checked", address.parse(late.address), 1, resolved)
            checks.follow()
            n = backend.n_seen
            until(lambda: late.n_seen >= 10)
            assert backend.n_seen <= n + 1      # one was under way
            pair.roster.change("checked", str(address), draining=False)
            pair.roster.remove("checked", late.address)
            pair.roster.records.saw(0, pair.roster.records.now)     # as a worker would
            assert pair.roster.sweep() == [("checked", late.address)]
            checks.follow()
            n = late.n_seen
            so_far = backend.n_seen
            until(lambda: backend.n_seen >= so_far + 5)
            assert late.n_seen <= n + 1

        pair.run(story)


def test_the_first_check_comes_at_a_time_of_its_own() -> None:
    with switched() as (_switch, backend, pair):
        pair.run(lambda checks: until(lambda: backend.n_seen >= 1), chance=0.999)

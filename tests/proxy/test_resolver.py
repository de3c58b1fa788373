"""A name that moves takes its server along; one that fails changes nothing, and says so once."""
from __future__ import annotations

import logging
import socket
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hotpath.core.config import loads
from hotpath.core.tasks import run, sleep, spawn
from hotpath.proxy.config import ProxyConfig
from hotpath.proxy.resolver import Resolver
from hotpath.proxy.roster import Roster
from hotpath.proxy.state import Resolved, State
from tests import proxies
from tests.backends import Backend, Exchange
from tests.clients import Client
from tests.proxies import Proxy
from tests.waiting import DEADLINE_S, wait_for

# The proxy alone sees a file of ours as /etc/hosts, which its resolver reads anew each time; without the right
# to mount, in a user namespace of its own.
ALONE = ["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]

CONFIG = """
    upstreams:
      one: {servers: ['b.example:80', '127.0.0.1:81', '[::1]:82', 'unix:/run/x.sock']}
      two: {servers: ['b.example:80', 'c.example:80']}
    routes: [{upstream: one}]
"""


class Names:
    """A name server: what each name means at the moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: dict[str, list[str] | OSError] = {"b.example": ["10.0.0.1"], "c.example": ["10.0.0.9"]}
        self.asked: list[str] = []
        self.silent: dict[str, threading.Event] = {}    # who asks for this name waits
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, port: int, *, type: int) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if host in self.silent:
            self.silent[host].wait(DEADLINE_S)
        known = self.known.get(host, [host])
        if isinstance(known, OSError):
            raise known
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, type, 6, "",
                 (ip, port, 0, 0) if ":" in ip else (ip, port)) for ip in known]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


class Site:
    """A roster without a proxy, and its resolver."""

    def __init__(self, names: Names, every_s: float = 1.0) -> None:
        self.state = State(loads(CONFIG, ProxyConfig))
        self.roster: Roster = self.state.roster
        self.resolver = Resolver(self.roster, every_s)
        names.asked.clear()

    def turn(self) -> None:
        run(self.resolver.turn)

    def at(self, upstream: str, i: int) -> Resolved:
        return self.roster.resolved(self.roster.servers(upstream)[i].slot)


def v4(ip: str, port: int = 80) -> Resolved:
    return socket.AF_INET, (ip, port)


def test_a_server_follows_its_name_in_every_upstream(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(names)
    assert (site.at("one", 0), site.at("two", 0)) == (v4("10.0.0.1"), v4("10.0.0.1"))
    names.known["b.example"] = ["10.0.0.2", "10.0.0.3"]
    with caplog.at_level(logging.INFO, "hotpath.proxy.resolver"):
        site.turn()
    assert (site.at("one", 0), site.at("two", 0)) == (v4("10.0.0.2"), v4("10.0.0.2"))
    assert site.at("two", 1) == v4("10.0.0.9")
    assert not site.roster.is_changed       # a reload has nothing to drop
    moved = "server moved upstream={} server=b.example:80 to=10.0.0.2"
    assert caplog.messages == [moved.format("one"), moved.format("two")]


def test_an_address_that_is_still_among_the_answers_stays(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(names)
    names.known["b.example"] = ["10.0.0.7", "10.0.0.1", "fd00::1"]
    with caplog.at_level(logging.INFO, "hotpath.proxy.resolver"):
        site.turn()
    assert site.at("one", 0) == v4("10.0.0.1")
    assert caplog.messages == []


def test_only_names_are_asked_for_and_each_once(names: Names) -> None:
    site = Site(names)
    site.turn()
    assert sorted(names.asked) == ["b.example", "c.example"]


def test_a_name_that_fails_keeps_its_address_and_is_told_once(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(names)
    names.known["b.example"] = socket.gaierror(socket.EAI_AGAIN, "try again")
    with caplog.at_level(logging.INFO, "hotpath.proxy.resolver"):
        for _ in range(3):
            site.turn()
        assert site.at("one", 0) == v4("10.0.0.1")
        assert caplog.messages == ["name not resolved address=b.example:80 cause=try again now=as-before"]
        caplog.clear()
        names.known["b.example"] = ["10.0.0.1"]
        for _ in range(2):
            site.turn()
        assert caplog.messages == ["name resolves again address=b.example:80"]


def test_a_name_may_move_from_one_family_to_the_other(names: Names) -> None:
    site = Site(names)
    names.known["b.example"] = ["fd00::1"]
    site.turn()
    assert site.at("one", 0) == (socket.AF_INET6, ("fd00::1", 80, 0, 0))
    names.known["b.example"] = ["fd00::2", "10.0.0.4"]
    site.turn()
    assert site.at("one", 0) == v4("10.0.0.4")


def in_time(check: Callable[[], object]) -> None:
    for _ in range(int(DEADLINE_S / 0.002)):
        if check():
            return
        sleep(0.002)
    raise AssertionError("still waiting")


def test_a_silent_name_server_blocks_neither_the_loop_nor_the_other_names(names: Names) -> None:
    site = Site(names)
    names.silent["b.example"] = threading.Event()
    names.known.update({"b.example": ["10.0.0.2"], "c.example": ["10.0.0.8"]})

    def story() -> None:
        turn = spawn(site.resolver.turn)
        in_time(lambda: site.at("two", 1) == v4("10.0.0.8"))
        assert site.at("one", 0) == v4("10.0.0.1")
        names.silent["b.example"].set()
        turn.join()
        assert site.at("one", 0) == v4("10.0.0.2")

    run(story)


def test_it_asks_again_and_again_or_never(names: Names) -> None:
    site = Site(names, every_s=0.001)

    def story() -> None:
        spawn(site.resolver.run)
        in_time(lambda: len(names.asked) >= 6)

    run(story)
    never = Site(names, every_s=0.0)
    run(never.resolver.run)
    assert names.asked == []


def named(name: str) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.answer(name.encode())


def serve_also(port: int) -> ThreadingHTTPServer:
    """A server on the same port of another address of this machine."""
    class Moved(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"moved")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return ThreadingHTTPServer(("127.0.0.2", port), Moved)


def test_requests_follow_a_name_that_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = next((one for one in ALONE if subprocess.run([*one, "true"], capture_output=True).returncode == 0), None)
    if alone is None:
        pytest.skip("unshare --user --mount is not allowed here: no process can have an /etc/hosts of its own")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 moving.example\n")
    mounted = ("sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh")
    monkeypatch.setattr(proxies, "COMMAND", (*alone, *mounted, *proxies.COMMAND))
    with Backend(named("here")) as backend:
        port = int(backend.address.rpartition(":")[2])
        with serve_also(port) as moved:
            threading.Thread(target=moved.serve_forever, daemon=True).start()
            config = {
                "workers": 2, "resolve": "50ms", "routes": [{"upstream": "u"}],
                "upstreams": {"u": {"servers": [f"moving.example:{port}"]}},
            }
            with Proxy(config) as proxy, Client(proxy.address) as client:
                assert client.ask("GET", "/").body == b"here"
                hosts.write_text("127.0.0.2 moving.example\n")
                proxy.stderr.wait_for(f"server moved upstream=u server=moving.example:{port} to=127.0.0.2")
                wait_for(lambda: client.ask("GET", "/").body == b"moved", "the other server to answer")
                hosts.write_text("")
                proxy.stderr.wait_for(f"name not resolved address=moving.example:{port}")
                assert client.ask("GET", "/").body == b"moved"
            moved.shutdown()

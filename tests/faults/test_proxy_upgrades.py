"""Upgrades of the binary under load, one after the other and with a broken one: no request fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.backends import Backend, Exchange
from tests.clients import Client, fetch, request_bytes
from tests.faults.proxy_load import Background, Load, Origin, answers, site
from tests.proxies import Proxy
from tests.waiting import is_alive, wait_for

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

# What the next start of the program does before it has done anything, by what stands in the file that BROKEN names.
CUSTOM = """
import os, pathlib
how = pathlib.Path(os.environ["BROKEN"])
how = how.read_text() if how.exists() else ""
if how == "exits":
    os._exit(3)
elif how == "is killed":
    os.kill(os.getpid(), 9)
elif how == "workers exit":
    os.register_at_fork(after_in_child=lambda: os._exit(7))
"""


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as background:
        yield background


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Says how the program is broken from now on; "" mends it."""
    (tmp_path / "sitecustomize.py").write_text(CUSTOM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("BROKEN", str(tmp_path / "broken"))
    return (tmp_path / "broken").write_text


class Masters:
    """A proxy and the masters that take over from its first one."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.pids = [proxy.process.pid]

    def upgrade(self) -> int:
        """USR2; the pid of the new master once it is ready."""
        seen = self.start()
        self.pids.append(int(self.proxy.stderr.wait_for("ready: pid ", start=seen).split("pid ")[1].split(",")[0]))
        return self.pids[-1]

    def start(self) -> int:
        """USR2; how many lines it had said before."""
        seen = len(self.proxy.stderr.lines)
        os.kill(self.pids[-1], signal.SIGUSR2)
        self.proxy.stderr.wait_for("upgrade started pid=", start=seen)
        return seen

    def wait_gone(self, pid: int) -> None:
        """Wait until a master has drained and ended."""
        def gone() -> bool:
            self.proxy.process.poll()
            return not is_alive(pid)

        wait_for(gone, f"the end of master {pid}")


@contextmanager
def masters(config: dict[str, object]) -> Iterator[Masters]:
    """A running proxy; its last master is ended at the end of the block, whoever that is by then."""
    with Proxy(config) as proxy:
        found = Masters(proxy)
        try:
            yield found
        finally:
            for _ in range(2):          # the second one means: now
                with suppress(ProcessLookupError):
                    os.kill(found.pids[-1], signal.SIGTERM)
            for pid in found.pids:
                found.wait_gone(pid)


def test_three_upgrades_in_a_row_under_load_fail_no_request(background: Background, tmp_path: Path) -> None:
    origins = [Origin(background, name) for name in ("one", "two", "three", "four")]
    pid_file = tmp_path / "pid"
    with (
        masters(site(origins[0].address, pid_file=str(pid_file))) as line,
        Load(background, line.proxy.address).running() as load,
    ):
        for n, origin in enumerate(origins[1:], 1):
            load.wait_more(60)
            old = line.pids[-1]
            line.proxy.write(site(origin.address, pid_file=str(pid_file)))
            new = line.upgrade()
            wait_for(lambda n=n: origins[n].asked > 20, "the new binary to serve")
            assert pid_file.read_text() == f"{new}\n"
            line.wait_gone(old)
            load.wait_more(20)
        assert answers(lambda: fetch(line.proxy.admin, "/healthz").status) == 200
        assert load.failures == []
        assert load.bodies == {"one", "two", "three", "four"}
        assert load.goodbyes, "no client was told to go: the upgrades proved nothing"
    assert not pid_file.exists()


@pytest.mark.parametrize("how", ["exits", "is killed", "workers exit", "bad config"])
def test_a_broken_new_binary_is_rolled_back_without_a_failed_request(
    background: Background, tmp_path: Path, broken: Callable[[str], object], how: str
) -> None:
    origin = Origin(background)
    pid_file = tmp_path / "pid"
    config = site(origin.address, pid_file=str(pid_file))
    with masters(config) as line, Load(background, line.proxy.address).running() as load:
        load.wait_more(40)
        workers = line.proxy.workers()
        broken(how)
        if how == "bad config":
            line.proxy.write({**config, "uptreams": {}})
        seen = line.start()
        line.proxy.stderr.wait_for("upgrade failed pid=", start=seen)
        load.wait_more(40)
        assert line.proxy.workers() == workers
        assert pid_file.read_text() == f"{line.pids[0]}\n"
        # Mended, it is taken.
        broken("")
        line.proxy.write(config)
        new = line.upgrade()
        load.wait_more(40)
        line.wait_gone(line.pids[0])
        assert pid_file.read_text() == f"{new}\n"
        load.wait_more(40)
    assert load.failures == []


def test_an_upgrade_that_does_not_drain_is_seen_to_lose_requests(background: Background) -> None:
    """Control: the old master's workers end at once."""
    origin = Origin(background)
    config = site(origin.address, timeouts={"drain": "1ms"})
    with masters(config) as line, Load(background, line.proxy.address).running() as load:
        while not load.failures and len(line.pids) < 6:
            load.wait_more(40)
            line.upgrade()
            line.wait_gone(line.pids[-2])
    assert load.failures


def test_a_tunnel_outlives_an_upgrade_up_to_the_drain_deadline() -> None:
    def echo(exchange: Exchange) -> None:
        exchange.send(SWITCH)
        while data := exchange.connection.receive():
            exchange.send(data)
        exchange.close()

    with (
        Backend(echo) as backend,
        masters(site(backend.address, timeouts={"drain": "5s"})) as line,
        Client(line.proxy.address) as client,
    ):
        client.send(request_bytes("GET", "/", ASK))
        assert client.answer(upgrade=True).status == 101
        line.upgrade()
        line.proxy.stderr.wait_for("upgrade ready, draining")
        client.send(b"still there?")
        assert client.exactly(12) == b"still there?"
        assert is_alive(line.pids[0])
        # Not longer than that: its end is the old master's.
        assert client.rest() == b""
        line.wait_gone(line.pids[0])


"""A storm of misbehaving clients and servers around a real proxy: does it lose, mix up, leak or die?

    .venv/bin/python -m tests.faults.soak --seconds 60 --seed 7

Its rolls follow from the seed; when each connection gets its turn does not, so a run does not repeat exactly. The exit
status is 1 when something happened that must not, and every such thing is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.clients import CutShort, fetch
from tests.faults.chaos import Ledger, payload
from tests.faults.chaos_client import ChaosClient
from tests.faults.chaos_server import ChaosServer
from tests.proxies import Proxy, socket_inodes
from tests.waiting import is_alive, wait_for

KEEP_IDLE = 8
N_SERVERS = 3
WORKERS = 2
FILE_BYTES = 3_000_000
CALM_S = 20.0  # in which everything that the storm left behind must be gone


def config_of(servers: list[str], folder: Path) -> dict[str, Any]:
    """Every feature of the byte path at once, with deadlines that a short run meets."""
    upstream = {
        "servers": servers,
        "keepalive": {"idle": KEEP_IDLE, "timeout": "2s"},
        "passive": {"failures": 0},
        "retry": {"attempts": 1, "statuses": [500]},
    }
    narrow_servers = [{"address": server, "max_connections": 4} for server in servers]
    narrow = {**upstream, "balance": "least_conn", "servers": narrow_servers}
    return {
        "workers": WORKERS,
        "limits": {"head": "32k", "connections_per_ip": 10_000},
        "timeouts": {
            "head": "1s", "body": "1s", "send": "2s", "idle": "1s", "connect": "1s", "response": "1s", "read": "1s",
            "tunnel": "1s", "drain": "3s",
        },
        "log": {"access": {"path": str(folder / "access.log"), "format": "json"}},
        "rate_limits": {"some": {"key": "client_ip", "rate": "50/s", "burst": 20}},
        "upstreams": {"all": upstream, "narrow": narrow},
        "routes": [
            {"match": {"prefix": "/r"}, "upstream": "all"},
            {"match": {"prefix": "/narrow"}, "upstream": "narrow"},
            {"match": {"prefix": "/few"}, "upstream": "all", "concurrency": 3, "timeouts": {"request": "2s"}},
            {"match": {"prefix": "/limited"}, "upstream": "all", "rate_limit": "some"},
            {"match": {"prefix": "/canned"}, "respond": {"body": "x" * 1000}},
            {"match": {"prefix": "/file.bin"}, "static": {"root": str(folder)}},
        ],
    }


@dataclass
class Soak:
    """One storm: `clients` of them at once for `seconds`, with a reload every `reload_s` (0: none)."""

    seed: int
    seconds: float
    clients: int = 24
    reload_s: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)

    def run(self) -> list[str]:
        """What went wrong; nothing, if all is well."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        servers = [ChaosServer(self.seed, i, self.ledger) for i in range(N_SERVERS)]
        addresses = [asyncio.run_coroutine_threadsafe(server.start(), loop).result() for server in servers]
        try:
            # The file lies in the proxy's own folder, which is there before it starts.
            with Proxy({"routes": [{"match": {"prefix": "/"}, "respond": {"status": 204}}]}) as proxy:
                file_body = payload("file", FILE_BYTES)
                (proxy.folder / "file.bin").write_bytes(file_body)
                config = config_of(addresses, proxy.folder)
                proxy.reload(config)
                wait_for(lambda: len(proxy.workers()) == WORKERS, "the workers")
                storm = asyncio.run_coroutine_threadsafe(self.storm(proxy.address, file_body), loop)
                try:
                    self.reload_until(storm.done, proxy, config)
                    storm.result()
                finally:
                    storm.cancel()
                self.look_around(proxy)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
        return self.ledger.faults

    async def storm(self, address: str, file_body: bytes) -> None:
        """All clients at once."""
        until_s = asyncio.get_running_loop().time() + self.seconds
        clients = [ChaosClient(address, self.seed, i, self.ledger, file_body) for i in range(self.clients)]
        await asyncio.gather(*(client.run(until_s) for client in clients))

    def reload_until(self, is_done: Callable[[], bool], proxy: Proxy, config: dict[str, Any]) -> None:
        """Watch the workers, and reload as often as asked, until the storm is over."""
        ended = threading.Event()
        watched = proxy.workers()
        while not is_done():
            if self.reload_s and not ended.wait(self.reload_s):
                proxy.write(config)
                proxy.send_signal(signal.SIGHUP)
            elif not self.reload_s:
                ended.wait(0.2)
                if not all(map(is_alive, watched)):
                    self.ledger.fault("a worker died")
                    watched = proxy.workers()

    def look_around(self, proxy: Proxy) -> None:
        """Behind the storm: what is left?"""
        for line in proxy.stderr.lines:
            if any(word in line for word in ("Traceback", "Sanitizer", "runtime error", "Assertion", "died", "killed")):
                self.ledger.fault(line)
        for (name, count) in self.ledger.posts.items():
            if count > 1:
                self.ledger.fault(f"POST {name} was delivered {count} times")
        self.expect(lambda: len(proxy.workers()) == WORKERS, "as many workers as before")
        self.expect(lambda: proxy.metric("hotpath_proxy_connections") == 0, "all clients to be gone")
        # Idle connections to servers live for two seconds.
        self.expect(lambda: proxy.metric("hotpath_proxy_upstream_idle_connections") == 0, "all servers to be left")
        self.expect(lambda: all(n_tcp(pid) == 0 for pid in proxy.workers()), "no socket left in a worker")
        for path in ("/few", "/narrow"):
            self.expect(lambda path=path: has_place(proxy.address, path, self.ledger), f"a place on {path}")
        for pid in proxy.workers():
            if resident_bytes(pid) > 256 << 20 and "LD_PRELOAD" not in os.environ:
                self.ledger.fault(f"worker {pid} holds {resident_bytes(pid) >> 20} MiB")

    def expect(self, check: Callable[[], bool], what: str) -> None:
        """Note a fault unless it becomes true."""
        try:
            wait_for(check, what, CALM_S)
        except AssertionError as error:
            self.ledger.fault(str(error))


def has_place(address: str, path: str, ledger: Ledger) -> bool:
    """Whether a request gets an answer other than 503: its server may do with it what it likes."""
    name = f"after-{len(ledger.begun)}"
    ledger.begun.add(name)
    with suppress(CutShort, OSError):
        return fetch(address, path, fields=[("X-Name", name)]).status != HTTPStatus.SERVICE_UNAVAILABLE
    return False


def n_tcp(pid: int) -> int:
    """Connected TCP sockets of a process."""
    inodes = socket_inodes(pid)
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[9] in inodes and row[3] != "0A" for row in rows)


def resident_bytes(pid: int) -> int:
    """Of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="A storm of misbehaving clients and servers around a real proxy.")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--reload", type=float, default=0.0, metavar="SECONDS", help="reload that often; 0: never")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    soak = Soak(asked.seed, asked.seconds, asked.clients, asked.reload)
    faults = soak.run()
    for outcome, count in sorted(soak.ledger.outcomes.items()):
        print(f"{count:8} {outcome}")
    for fault in faults[:50]:
        print("FAULT", fault)
    print(f"{len(soak.ledger.begun)} requests, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""What the workers of one generation share: memory mapped before the fork, some of it from the generation before."""
from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence

import msgspec

from hotpath.core.config import Address
from hotpath.core.data.shared import Block, Counters, Gauges, RateLimiter
from hotpath.core.site import Site

from .config import ProxyConfig
from .metrics import GAUGES, ByServer, counter_names
from .roster import Roster, Server

MAX_SOCKETS = 256       # to listen on: a client remembers by which it came in one byte
# Of client.pyx: a row of 32-bit cells per worker.
ADDRESS_BYTES = 4 * 8192

Resolved = tuple[int, tuple[object, ...] | str]


class State:
    """Counters, gauges, health and rate cells for `workers` workers of `config`.

    Rate cells are taken over from `before` where a limit of that name has the same size, so that a reload lets nobody
    start afresh. Raises Unresolved.
    """

    def __init__(self, config: ProxyConfig, before: State | None = None) -> None:
        """Map it all."""
        # By it a worker that leaves connections to the others wakes them.
        self.nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        workers = config.worker_count
        servers = [server for upstream in config.upstreams.values() for server in upstream.servers]
        self.workers = workers
        self.addresses: Mapping[Address, Resolved] = {server.address: resolve(server.address) for server in servers}
        self.roster: Roster = Roster(config, self.addresses, workers, before.roster if before is not None else None)
        self.counters = Counters(counter_names(config, self.roster.n_slots), workers)
        self.counted = ByServer(self.counters, config, self.roster)
        self.gauges = Gauges(GAUGES, workers)
        self.accepting = Gauges(map(str, range(MAX_SOCKETS)), workers)
        self.route_in_flight = Gauges(tuple(str(i) for i in range(max(1, len(config.routes)))), workers)
        self.by_address = Block(workers * ADDRESS_BYTES) if config.limits.connections_per_ip else None
        self.seed = secrets.randbits(32)       # keys the hash of client addresses
        self.limiters: dict[str, RateLimiter] = {}
        for name, limit in config.rate_limits.items():
            old = before.limiters.get(name) if before is not None else None
            keeps = old is not None and old.slots == _rounded(limit.slots)
            self.limiters[name] = old if old is not None and keeps else RateLimiter(limit.slots)
        self.sites = {
            route.name: Site(route.static.root, index=route.static.index, fallback=route.static.fallback)
            for route in config.routes if route.static is not None
        }

    def __del__(self, close: Callable[[int], None] = os.close) -> None:      # at the interpreter's end os goes first
        """Give the descriptor back."""
        close(self.nudge)

    def servers(self, upstream: str) -> list[Server]:
        """All servers of an upstream with what they answered. KeyError: no such upstream."""
        return [msgspec.structs.replace(server, requests=self.counted.requests_of(server.slot))
                for server in self.roster.servers(upstream)]

    def sweep(self) -> list[tuple[str, str]]:
        """As Roster.sweep; what those servers answered is counted as some removed server's from now on."""
        return self.roster.sweep(self.counted.retire)

    def in_service(self) -> list[tuple[str, str, bool]]:
        """(upstream, server, whether it is in service) of every server."""
        return [(name, server.address, server.state in ("up", "draining"))
                for name in self.roster.upstreams for server in self.roster.servers(name)]

    def forget(self, worker: int) -> None:
        """Worker `worker` is gone: what its gauges say is not true any more."""
        for gauges in (self.gauges, self.accepting, self.route_in_flight):
            gauges.clear(worker)
        self.roster.forget(worker)
        if self.by_address is not None:
            self.by_address.memory[worker * ADDRESS_BYTES:(worker + 1) * ADDRESS_BYTES] = bytes(ADDRESS_BYTES)


def _rounded(slots: int) -> int:
    """What RateLimiter makes of a number of slots: the next power of two."""
    return 1 << (slots - 1).bit_length()


class Unresolved(OSError):
    """A server's name that means no address; `address` as in the file."""

    def __init__(self, address: Address, cause: OSError) -> None:
        """Keep the address beside the cause."""
        super().__init__(cause.errno, cause.strerror)
        self.address = address


def resolve(address: Address) -> Resolved:
    """(family, sockaddr) of a server's address. Raises Unresolved."""
    return preferred(answers(address))


def answers(address: Address) -> list[Resolved]:
    """All that the address means, at least one. Raises Unresolved."""
    if address.is_unix:
        return [(socket.AF_UNIX, address.path)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unresolved(address, error) from None
    except UnicodeError as error:       # a label that DNS has no room for
        raise Unresolved(address, OSError(0, str(error))) from None
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


def preferred(found: Sequence[Resolved]) -> Resolved:
    """The first IPv4 one: of the two addresses of `localhost` it is the one that nearly every server takes."""
    return min(found, key=lambda answer: answer[0] != socket.AF_INET)

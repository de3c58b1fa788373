"""The roster: all servers of all upstreams, as the file names them and as the admin changed them since.

It lies in shared memory. The master fills it before the fork; from then on only the warden changes it, and wakes the
workers, each of which copies what changed. A change survives any crash; a reload starts again from the file.
"""
from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypedDict

import msgspec

from hotpath.core.config import Address
from hotpath.core.data.shared import Gauges
from hotpath.core.errors import HotpathError

from .config import ProxyConfig
from .records import Records

if TYPE_CHECKING:
    from .state import Resolved

log = logging.getLogger(__name__)

# Per upstream, when there is an admin who could add servers: so many, or as many as the file has.
SPARE_SLOTS = 16


class Facts(TypedDict, total=False):
    """What a record holds; a free slot has none."""

    used: bool
    draining: bool
    leaving: bool
    backup: bool
    from_admin: bool
    weight: int
    max_connections: int
    name: str
    resolved: Resolved     # only when written

class Known(HotpathError):
    """The upstream has this server already."""


class Full(HotpathError):
    """The upstream has no free slot: remove a server first, or write the new ones into the file and reload."""


class Last(HotpathError):
    """Without this server the upstream would have none."""


class Server(msgspec.Struct, frozen=True):
    """One server as it stands now."""

    slot: int
    address: str
    weight: int
    backup: bool
    source: Literal["file", "admin"]
    state: Literal["up", "down", "ejected", "draining"]
    in_flight: int
    failures: int               # ever
    ewma_ms: float | None       # of the time to the head of an answer; None: none came yet
    idle: int                   # kept connections, of all workers
    leaving: bool               # gone as soon as nothing is in flight
    requests: int = 0           # answered since the last reload: State knows


class Roster:
    """Servers by upstream, in slots that are numbered over all upstreams."""

    def __init__(
        self, config: ProxyConfig, addresses: Mapping[Address, Resolved], workers: int, before: Roster | None = None
    ) -> None:
        """The file's servers; one that `before` knew keeps its health."""
        spare = SPARE_SLOTS if config.admin is not None else 0
        self._slots: dict[str, range] = {}
        end = 0
        for name, upstream in config.upstreams.items():
            n = len(upstream.servers)
            self._slots[name] = range(end, end + n + (max(spare, n) if spare else 0))
            end = self._slots[name].stop
        self.n_slots = end
        self.records = Records(end, workers)
        cells = tuple(str(slot) for slot in range(max(1, end)))
        self.in_flight = Gauges(cells, workers)
        self.idle = Gauges(cells, workers)
        # By these the warden tells each worker that something has changed.
        self.wakes = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(workers)]
        self._when_left: dict[int, int] = {}    # slot -> the generation that freed it, or asked it to leave
        for name, upstream in config.upstreams.items():
            for slot, server in zip(self._slots[name], upstream.servers, strict=False):
                self.records.write(
                    slot, used=True, backup=server.backup, weight=server.weight, max_connections=server.max_connections,
                    name=str(server.address), resolved=addresses[server.address])
        if before is not None:
            self._inherit(before, config)
        self._at_start = {name: self._terms_of(name) for name in self._slots}

    def __del__(self, close: Callable[[int], None] = os.close) -> None:      # at the interpreter's end os goes first
        """Give the descriptors back."""
        for fd in getattr(self, "wakes", ()):
            close(fd)

    def _inherit(self, before: Roster, config: ProxyConfig) -> None:
        for upstream, slots in self._slots.items():
            for slot in slots:
                old = before.slot_of(upstream, self.name_of(slot)) if self.name_of(slot) else None
                if old is not None:
                    self.records.take_health(slot, before.records, old)
                    if config.upstreams[upstream].active is None:
                        self.records.set_down(slot, False)      # nobody checks it any more, and would find it well

    @property
    def upstreams(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._slots)

    @property
    def is_changed(self) -> bool:
        """Whether some server is not as the file has it. Another address for its name is no change."""
        return self._at_start != {name: self._terms_of(name) for name in self._slots}

    def _terms_of(self, upstream: str) -> list[tuple[str, int, bool]]:
        return [(one.address, one.weight, one.state == "draining") for one in self.servers(upstream)]

    def slots_of(self, upstream: str) -> range:
        """All slots of an upstream, free ones too. KeyError: no such upstream."""
        return self._slots[upstream]

    def name_of(self, slot: int) -> str:
        """The address in a slot, as it was spelled; "": a free one."""
        return self.records.read(slot).get("name", "")

    def resolved(self, slot: int) -> Resolved:
        """Where connections to the server in a slot go now."""
        return self.records.resolved(slot)

    def slot_of(self, upstream: str, address: str) -> int | None:
        """Where a server stands; None: nowhere."""
        return next((slot for slot in self._slots.get(upstream, ()) if self.name_of(slot) == address), None)

    def forget(self, worker: int) -> None:
        """A worker is gone: it has nothing in flight, and the next one has seen nothing yet."""
        for gauges in (self.in_flight, self.idle):
            gauges.clear(worker)
        self.records.saw(worker, 0)

    def servers(self, upstream: str) -> list[Server]:
        """All of an upstream, in slot order. KeyError: no such upstream."""
        return [self._server(slot, facts) for slot in self._slots[upstream] if (facts := self.records.read(slot))]

    def server(self, slot: int) -> Server | None:
        """The one in a slot; None: a free one."""
        facts = self.records.read(slot)
        return self._server(slot, facts) if facts else None

    def _server(self, slot: int, facts: Facts) -> Server:
        ejected, down, failures, ewma_us = self.records.health(slot)
        state: Literal["up", "down", "ejected", "draining"] = (
            "draining" if facts["draining"] else "down" if down else "ejected" if ejected else "up")
        return Server(
            slot=slot, address=facts["name"], weight=facts["weight"], backup=facts["backup"],
            source="admin" if facts["from_admin"] else "file", state=state, in_flight=self.in_flight.total(slot),
            failures=failures, ewma_ms=ewma_us / 1000 if ewma_us else None, idle=self.idle.total(slot),
            leaving=facts["leaving"])

    # Changes: by the warden alone.

    def add(self, upstream: str, address: Address, weight: int, resolved: Resolved) -> Server:
        """One more server. Raises Known and Full; KeyError: no such upstream."""
        slots = self._slots[upstream]
        name = str(address)
        old = self.slot_of(upstream, name)
        if old is not None:
            if not self.records.read(old)["leaving"]:
                raise Known(f"{upstream} has the server {name} already")
            # It is on its way out and called back: what it has in flight is its own.
            return self._changed(old, draining=False, leaving=False, weight=weight, from_admin=True, resolved=resolved)
        free = next((slot for slot in slots if not self.name_of(slot) and self._is_forgotten(slot)), None)
        if free is None:
            raise Full(f"{upstream} has all its {len(slots)} slots in use: remove a server first, or write the new one "
                       "into the file and reload")
        self._when_left.pop(free, None)
        self.records.forget(free)
        self.records.warm(free)
        return self._changed(
            free, used=True, draining=False, leaving=False, backup=False, from_admin=True, weight=weight,
            max_connections=0, name=name, resolved=resolved)

    def change(
        self, upstream: str, address: str, *, weight: int | None = None, draining: bool | None = None
    ) -> Server:
        """Another weight, or no new requests for it (or again some, also if it is ejected).

        Active checks that find it down are not overruled. KeyError: no such upstream or server.
        """
        slot = self._find(upstream, address)
        changes: Facts = {}
        if weight is not None:
            changes["weight"] = weight
        if draining is not None:
            changes["draining"] = draining
            if not draining:
                changes["leaving"] = False
                before = self._server(slot, self.records.read(slot)).state
                if before in ("draining", "ejected"):
                    self.records.absolve(slot)
                if before == "ejected":         # as the worker's line that it was
                    log.warning("server back upstream=%s server=%s", upstream, address)
        return self._changed(slot, **changes)

    def remove(self, upstream: str, address: str) -> Server:
        """It drains, then goes (`sweep`). Raises Last; KeyError: no such upstream or server."""
        slot = self._find(upstream, address)
        stays = [one for one in self.servers(upstream) if not one.leaving and one.slot != slot]
        if not any(not one.backup for one in stays):
            raise Last(f"{address} is the last server of {upstream}; add another one first")
        server = self._changed(slot, draining=True, leaving=True)
        self._when_left[slot] = self.records.now
        return server

    def sweep(self, on_gone: Callable[[int], None] = lambda slot: None) -> list[tuple[str, str]]:
        """Free the slots of those that leave and have nothing in flight; (upstream, address) of each.

        `on_gone(slot)` is called while nobody uses the slot any more and its name still stands there.
        """
        gone = []
        for upstream, slots in self._slots.items():
            for slot in slots:
                facts = self.records.read(slot)
                # A worker that has not seen it leave may still send it a request.
                if facts and facts["leaving"] and self._is_forgotten(slot) and self.in_flight.total(slot) == 0:
                    on_gone(slot)
                    self._write(slot, used=False)
                    self._when_left[slot] = self.records.now
                    gone.append((upstream, facts["name"]))
        return gone

    def set_down(self, slot: int, down: bool) -> None:
        """What active checks found; workers look at it with every request."""
        self.records.set_down(slot, down)

    def set_address(self, slot: int, resolved: Resolved) -> None:
        """A name means another address now; connections to the old one end when they are idle."""
        self._write(slot, resolved=resolved)

    def _find(self, upstream: str, address: str) -> int:
        self._slots[upstream]
        slot = self.slot_of(upstream, address)
        if slot is None:
            raise KeyError(address)
        return slot

    def _is_forgotten(self, slot: int) -> bool:
        """Whether all workers know what last became of it; a new warden, which cannot say when, asks for all of now."""
        return self.records.is_fresh(slot) or self.records.all_saw(self._when_left.setdefault(slot, self.records.now))

    def _changed(self, slot: int, **changes: object) -> Server:
        self._write(slot, **changes)
        server = self.server(slot)
        assert server is not None
        return server

    def _write(self, slot: int, **changes: object) -> None:
        self.records.write(slot, **changes)     # type: ignore[arg-type]
        for wake in self.wakes:
            with suppress(BlockingIOError):     # told often, and not listening yet
                os.eventfd_write(wake, 1)

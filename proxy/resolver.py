"""Servers given by name, asked for again: has a name moved to another address?"""
from __future__ import annotations

import logging

from hotpath.core.config import Address
from hotpath.core.tasks import Semaphore, Task, offload, sleep, spawn

from .roster import Roster
from .state import Resolved, Unresolved, answers, preferred

log = logging.getLogger(__name__)

# Each holds a thread while a name server is silent, and the admin API needs threads for names, too.
AT_ONCE = 4


class Resolver:
    """Keeps the roster's addresses true; all of it in tasks of one loop."""

    def __init__(self, roster: Roster, every_s: float) -> None:
        """Every `every_s` seconds; 0: never."""
        self._roster = roster
        self._every_s = every_s
        self._room = Semaphore(AT_ONCE)
        self._failing: set[Address] = set()

    def run(self) -> None:
        """In a task, for ever."""
        while self._every_s:
            sleep(self._every_s)
            self.turn()

    def turn(self) -> None:
        """In a task: ask once for every name, and move the servers whose name has moved."""
        asked: list[Task[None]] = [spawn(self._look, address) for address in self._names()]
        for each in asked:
            each.join()

    def _names(self) -> list[Address]:
        servers = (server for name in self._roster.upstreams for server in self._roster.servers(name))
        addresses = dict.fromkeys(Address.parse(server.address) for server in servers if not server.leaving)
        self._failing.intersection_update(addresses)
        return [address for address in addresses if not (address.is_unix or address.is_ip)]

    def _look(self, address: Address) -> None:
        with self._room:
            try:
                found = offload(answers, address)
            except Unresolved as error:
                if address not in self._failing:
                    self._failing.add(address)
                    log.warning("name not resolved address=%s cause=%s now=as-before", address, error.strerror)
                return
        if address in self._failing:
            self._failing.remove(address)
            log.info("name resolves again address=%s", address)
        self._move(address, found)

    def _move(self, address: Address, found: list[Resolved]) -> None:
        for upstream in self._roster.upstreams:
            for server in self._roster.servers(upstream):
                if server.address != str(address) or self._roster.resolved(server.slot) in found:
                    continue
                chosen = preferred(found)
                self._roster.set_address(server.slot, chosen)
                log.info("server moved upstream=%s server=%s to=%s", upstream, server.address, chosen[1][0])

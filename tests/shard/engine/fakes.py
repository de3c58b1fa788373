"""A server that is not there: connections that live, die and are counted, under a clock that is set by hand."""
from __future__ import annotations

from hotpath.shard.engine.errors import Unreachable


class FakeServer:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.up = True
        self.tries = 0
        self.open: set[FakeConnection] = set()
        self.forgotten: set[FakeConnection] = set()

    def clock(self) -> float:
        return self.now_s

    def connect(self) -> FakeConnection:
        self.tries += 1
        if not self.up:
            raise Unreachable("it is down")
        connection = FakeConnection(self)
        self.open.add(connection)
        return connection


class FakeConnection:
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.opened_s = self.since_s = 0.0
        self.dirty = self.dead = self.hung_up = False
        self.pings = self.glances = 0

    def clean(self) -> bool:
        return not self.dirty

    def glance(self) -> bool:
        self.glances += 1
        return not self.hung_up

    def ping(self) -> bool:
        self.pings += 1
        return not self.dead and not self.hung_up

    def close(self) -> None:
        self.server.open.remove(self)       # KeyError: closed twice

    def forget(self) -> None:
        self.dirty = True
        self.server.open.remove(self)
        self.server.forgotten.add(self)

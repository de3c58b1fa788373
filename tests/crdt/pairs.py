"""Replicas of this process that speak by function calls, so that a test can lose any message."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hotpath.crdt.gossip.exchange import Answerer, Asker, Outcome
from hotpath.crdt.gossip.group import Group
from hotpath.crdt.gossip.link import LinkError
from hotpath.crdt.gossip.members import Members
from hotpath.crdt.gossip.settings import Settings
from hotpath.crdt.replica import Replica
from tests.crdt.replicas import opened, put


def nothing(_name: str, _delta: bytes, _repair: bool) -> None:
    """What nobody needs to know."""


class Time:
    """The wall clock and the monotonic one of a test."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_s(self) -> float:
        return self.ms / 1000


class Side:
    """One replica of a group."""

    def __init__(self, replica: Replica, group: Group) -> None:
        self.replica = replica
        self.group = group
        self.name = replica.name
        self.answerer = Answerer(group, nothing)

    def put(self, key: bytes, value: object) -> None:
        put(self.replica, key, value)

    def remove(self, key: bytes) -> None:
        put(self.replica, key, None, "remove")

    @property
    def cells(self) -> dict[bytes, object]:
        return {cell.key: cell for cell in self.replica.table.cells()}

    def row(self, name: str) -> int:
        """What we claim to have of what entered there."""
        return self.group.rows()[self.name].get(name, 0)


class Wire:
    """From an asker to an answerer. The `lost`-th message is lost: odd ones are questions, even ones answers."""

    def __init__(self, answerer: Side, *, lost: int = 0) -> None:
        self._answerer = answerer
        self._lost = lost
        self.sent = 0               # messages
        self.bytes = 0
        self.between: Callable[[], None] = lambda: None     # before each question

    def __call__(self, kind: str, path: str, body: bytes) -> bytes:
        self.between()
        self._pass(body)
        side = self._answerer.answerer
        _, answer = side.exchange(body) if path == "/sync/exchange" else side.cells(body)
        self._pass(answer)
        return answer

    def _pass(self, message: bytes) -> None:
        self.sent += 1
        self.bytes += len(message)
        if self.sent == self._lost:
            raise LinkError("lost")


def exchange(asker: Side, answerer: Side, wire: Wire | None = None) -> Outcome:
    """One exchange."""
    return Asker(asker.group, answerer.name, wire or Wire(answerer), nothing).run()


@contextmanager
def group_of(folder: Path, names: str, *, time: Time | None = None, settings: Settings | None = None,
             bias: dict[str, str] | None = None) -> Iterator[list[Side]]:
    """Replicas with these names, which all know each other."""
    with ExitStack() as stack:
        sides = []
        for name in names:
            clock = time or Time()
            replica = stack.enter_context(opened(folder / name, name=name, bias=(bias or {}).get(name, "add"),
                                                 wall_ms=lambda clock=clock: clock.ms))
            members = Members.open(folder / name, name, new_life=True)
            members.configure([(peer, f"http://{peer}", "") for peer in names if peer != name])
            sides.append(Side(replica, Group(replica, members, settings or Settings(), joining=False,
                                             now_s=clock.now_s)))
        for _ in range(2):
            for one in sides:
                for other in sides:
                    one.group.change(lambda one=one, other=other: one.group.members.join(
                        other.group.members.now.entries.values()))
        yield sides

"""Visits every world that can be reached; stops at the first in which a client was lied to."""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.shard.model.clients import Clients, Step
from tests.shard.model.register import ABSENT
from tests.shard.model.reshard import Reshard
from tests.shard.model.world import At, Client, Mark, State, Story, World, beginnings


class Protocol(Clients, Reshard):
    """All of it, as it is meant."""

    def steps(self, world: World) -> Iterator[Step]:
        """All that can happen next."""
        for i in range(len(world.clients)):
            for what, after in self.client_steps(world, i):
                yield f"client {i} {what}", after
        yield from self.reshard_steps(world)


@dataclass(frozen=True)
class Found:
    """How a search ended: `wrong` is None, or says what was; `trace` leads there."""

    wrong: str | None
    worlds: int
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.wrong or 'nothing wrong'} in {self.worlds} worlds" + "".join(f"\n  {one}" for one in self.trace)


def wrong_in(world: World) -> str | None:
    """What must never be."""
    if not world.judgement:
        return "no row answers like this"
    known = world.map
    if known.state is State.STABLE:
        if any(shard.mark != Mark.NONE for shard in world.shards):
            return "a mark is left where nothing moves"
        if world.shards[known.new].row != ABSENT and not known.kept:
            return "a row is left where it does not belong"
    return None


def wrong_between(before: World, after: World) -> str | None:
    """What no step may do."""
    for one, other in zip(before.shards, after.shards, strict=True):
        if other.epoch < one.epoch:
            return "an epoch fell"
    known = before.map
    if known == after.map and known.state in (State.DUAL, State.REVERSE):
        written, frozen = (known.new, known.old) if known.state is State.DUAL else (known.old, known.new)
        if after.shards[written].mark < before.shards[written].mark:
            return "a mark went"
        # Until cleaning; a helper may have fenced for the next map already, never for more.
        if after.shards[frozen].row != before.shards[frozen].row:
            return "a frozen row changed"
    return None


def busy(client: Client) -> bool:
    """It waits for an answer, or wants to ask."""
    return client.at not in (At.IDLE, At.DEAD) or client.left > 0


def explore(protocol: Protocol, story: Story, *, clients_only: bool = False, limit: int = 3_000_000) -> Found:
    """Search breadth first, so that a trace is a shortest one. `clients_only`: judge by what clients see alone."""
    came: dict[World, tuple[World | None, str]] = {world: (None, f"the row is {world.shards[0].row}")
                                                   for world in beginnings(story)}
    rest = deque(came)

    def found(wrong: str, world: World | None, *last: str) -> Found:
        trace = list(last)
        while world is not None:
            world, what = came[world]
            trace.append(what)
        return Found(wrong, len(came), tuple(reversed(trace)))

    while rest:
        world = rest.popleft()
        stuck = True
        for what, after in protocol.steps(world):
            stuck = False
            if after in came:
                continue
            if not clients_only and (wrong := wrong_between(world, after)):
                return found(wrong, world, what)
            came[after] = world, what
            if (not after.judgement or not clients_only) and (wrong := wrong_in(after)):
                return found(wrong, after)
            rest.append(after)
        if stuck and not clients_only and any(map(busy, world.clients)):
            return found("nobody can go on", world)
        if len(came) > limit:
            return found(f"more than {limit} worlds", None)
    return Found(None, len(came))

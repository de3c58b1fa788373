"""Two shards, the published map, routers, and those who move the key: what there is at one instant."""
from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from tests.shard.model.register import ABSENT, Judgement, Op, unjudged

NOBODY = -1
FIRST_ROW = 1               # of the key before anything happens, in half of the runs


class Mark(IntEnum):
    """What a target knows of the key."""

    NONE = 0                # not moved: the source has it
    COPIED = 1              # by the mover only
    DIRTY = 2               # a client wrote here


class State(IntEnum):
    """Of the map for this key; `MoveState` of the product, where nothing moves: STABLE."""

    STABLE = 0
    DUAL = 1
    COMPLETE = 2
    CLEANING = 3
    REVERSE = 4
    BACK = 5


class At(IntEnum):
    """Where a router is in an operation."""

    IDLE = 0
    START = 1               # begun; knows a map
    STALE = 2               # met a foreign epoch; needs a newer map
    OTHER = 3               # a read has asked one shard, the other is next
    ALONE = 4               # a write's transaction on the only shard that counts
    LOCKED = 5              # a write holds the mark on the shard that is written
    PULLED = 6              # … and has the row as the other shard knows it
    DEAD = 7


class Map(NamedTuple):
    """A published map. `old` owned the key before the move (and owns it where nothing moves), the other is `new`."""

    state: State
    old: int
    epochs: tuple[int, int]
    kept: bool = False      # `new` may have a row that an earlier move left behind on purpose

    @property
    def new(self) -> int:
        """The shard that the key moves to."""
        return 1 - self.old

    @property
    def alone(self) -> int | None:
        """The shard that alone answers; None: both are asked."""
        return ALONE[self.state](self.old)


ALONE = {
    State.STABLE: lambda old: old,
    State.DUAL: lambda old: None,
    State.COMPLETE: lambda old: 1 - old,
    State.CLEANING: lambda old: 1 - old,
    State.REVERSE: lambda old: None,
    State.BACK: lambda old: old,
}


class Shard(NamedTuple):
    """One database, as far as the key goes. What an open transaction wrote is not here: nobody else can see it."""

    row: int = ABSENT
    epoch: int = 0
    mark: Mark = Mark.NONE
    holder: int = NOBODY                    # the client whose transaction holds the mark's lock
    inside: frozenset[int] = frozenset()    # clients whose transaction share-locks the fence


class Client(NamedTuple):
    """A router, with one operation at a time."""

    left: int                               # operations still to begin
    map: Map                                # as far as it knows
    at: At = At.IDLE
    op: Op | None = None                    # under way, or never to be answered
    seen: tuple[int, ...] = ()              # what it has read so far


class Intent(NamedTuple):
    """A transition on its way: from one map to the next, with the fences to raise before (shard, epoch)."""

    old: Map
    next: Map
    fences: tuple[tuple[int, int], ...]


class Order(NamedTuple):
    """One piece of work on one shard, as whoever does it has read it: "copy", "pull back", "delete", …"""

    work: str
    shard: int
    epoch: int
    row: int = ABSENT


class Late(NamedTuple):
    """A helper that has an intent in hand."""

    intent: Intent
    raised: int = 0


class Story(NamedTuple):
    """How much may happen in a run."""

    clients: tuple[int, ...]                # operations of each
    kinds: tuple[str, ...]
    moves: int = 1
    cancels: int = 0
    keeps: int = 0                          # moves that leave the old row where it is
    sleepers: int = 0                       # workers that read their order, and carry it out at any later time
    helpers: int = 0                        # routers that begin to finish an intent, and go on at any later time
    crashes: int = 0


class World(NamedTuple):
    """Everything."""

    shards: tuple[Shard, Shard]
    map: Map                                # published
    clients: tuple[Client, ...]
    judgement: Judgement
    left: Story                             # what may still happen
    intent: Intent | None = None
    raised: int = 0                         # fences of the intent, by whoever drives it now
    asleep: Order | None = None
    late: Late | None = None

    def with_shard(self, which: int, shard: Shard) -> World:
        """This world but for one shard."""
        return self._replace(shards=(shard, self.shards[1]) if which == 0 else (self.shards[0], shard))

    def with_client(self, which: int, client: Client) -> World:
        """This world but for one client."""
        return self._replace(clients=(*self.clients[:which], client, *self.clients[which + 1:]))


def beginnings(story: Story) -> list[World]:
    """The key is on shard 0, or nowhere."""
    begin = Map(State.STABLE, 0, (0, 0))
    return [World((Shard(row=row), Shard()), begin, tuple(Client(n, begin) for n in story.clients),
                  unjudged(row, len(story.clients)), story) for row in (ABSENT, FIRST_ROW)]

"""What a router does for one operation: each method yields the worlds that one step of it can lead to."""
from __future__ import annotations

from collections.abc import Iterator

from tests.shard.model.register import READS, TWICE, Op, applied, judged
from tests.shard.model.world import ABSENT, NOBODY, At, Map, Mark, Shard, State, World

Step = tuple[str, World]


class Clients:
    """The routers' part of the protocol. Small methods are the precautions: `weakened` replaces one at a time."""

    # ---- precautions

    def current(self, shard: Shard, epoch: int) -> bool:
        """A statement finds the epoch that its router's map has for the shard."""
        return shard.epoch == epoch

    def frozen_current(self, shard: Shard, epoch: int) -> bool:
        """The same, on the one of two shards that is not written any more."""
        return self.current(shard, epoch)

    def page_current(self, shard: Shard, epoch: int) -> bool:
        """The same, of a page of a list."""
        return self.current(shard, epoch)

    def free(self, shard: Shard) -> bool:
        """Nobody else holds the lock of the key's mark."""
        return shard.holder == NOBODY

    def mark_behind(self, op: Op, row: int) -> Mark:
        """What a write that brought the row over leaves as the mark."""
        return Mark.DIRTY

    def must_pull(self, shard: Shard) -> bool:
        """A write must know what the other shard has before it can write here."""
        return shard.mark == Mark.NONE

    def known_to_new(self, shard: Shard) -> bool:
        """While the key moves: `new` has the last word."""
        return shard.mark != Mark.NONE

    def listed(self, known: Map, marks: tuple[int, int], rows: tuple[int, int]) -> list[int]:
        """What a page shows of the key: of both shards' snapshots, the row of the one that has the last word."""
        old, new = known.old, known.new
        if known.alone is not None:
            shown = [rows[known.alone]]
        elif known.state is State.DUAL:
            shown = [rows[new]] if marks[new] else [rows[new], rows[old]]
        else:
            shown = [rows[new if marks[new] == Mark.DIRTY and not marks[old] else old]]
        return [row for row in shown if row != ABSENT]

    # ---- steps

    def client_steps(self, world: World, i: int) -> Iterator[Step]:
        """All that client `i` can do next."""
        client = world.clients[i]
        match client.at:
            case At.IDLE:
                if client.map != world.map:
                    yield "looks at the map", world.with_client(i, client._replace(map=world.map))
                if client.left:
                    for kind in world.left.kinds:
                        op = Op(kind) if kind in (*READS, "delete") else Op(kind, 10 * (i + 1) + client.left)
                        begun = client._replace(left=client.left - 1, op=op)
                        # To begin is no step of its own: the later an operation begins, the less excuses it has.
                        for what, after in self.start(world.with_client(i, begun), i):
                            yield f"begins {kind}: {what}", after
            case At.START:
                yield from self.start(world, i)
            case At.STALE:
                if client.map != world.map:
                    yield "gets the new map", world.with_client(i, client._replace(map=world.map, at=At.START))
            case At.OTHER:
                yield from (self.second_page if client.op.kind == "list" else self.second_read)(world, i)
            case At.ALONE:
                yield "commits", self.committed(world, i, client.map.alone, world.shards[client.map.alone].row, None)
            case At.LOCKED:
                yield self.pull(world, i)
            case At.PULLED:
                yield "commits what it pulled", self.committed(world, i, self.written(client.map), client.seen[0],
                                                               Mark.DIRTY)
        if world.left.crashes and client.at in (At.ALONE, At.LOCKED, At.PULLED):
            fewer = world._replace(left=world.left._replace(crashes=world.left.crashes - 1))
            yield "dies", self.left_shards(fewer, i).with_client(i, client._replace(left=0, at=At.DEAD, seen=()))

    def start(self, world: World, i: int) -> Iterator[Step]:
        """The first statement."""
        client = world.clients[i]
        if client.op.kind == "list":
            for first in (0, 1):            # shards are asked side by side
                yield self.first_page(world, i, first)
        elif client.op.kind == "get":
            yield self.first_read(world, i)
        else:
            yield from self.begin_write(world, i)

    def first_read(self, world: World, i: int) -> Step:
        """The only shard that counts; or, of two, the one that is written."""
        known = world.clients[i].map
        which = self.written(known)
        shard = world.shards[which]
        if not self.current(shard, known.epochs[which]):
            return "is refused", self.stale(world, i)
        if known.alone is not None or (self.known_to_new(shard) if known.state is State.DUAL else shard.mark):
            return "reads it", self.answered(world, i, shard.row)
        return "finds no mark", self.at(world, i, At.OTHER, shard.row)

    def second_read(self, world: World, i: int) -> Iterator[Step]:
        """The other shard, which is frozen."""
        client = world.clients[i]
        known = client.map
        other = 1 - self.written(known)
        shard = world.shards[other]
        if not self.frozen_current(shard, known.epochs[other]):
            yield "is refused by the other", self.stale(world, i)
        elif known.state is State.DUAL or self.dirty(shard):
            yield "reads it from the other", self.answered(world, i, shard.row)
        else:
            yield "keeps what it read first", self.answered(world, i, client.seen[0])

    def dirty(self, shard: Shard) -> bool:
        """While a move is taken back: clients wrote here."""
        return shard.mark == Mark.DIRTY

    def first_page(self, world: World, i: int, first: int) -> Step:
        """A snapshot of one shard."""
        shard = world.shards[first]
        if not self.page_current(shard, world.clients[i].map.epochs[first]):
            return f"lists shard {first} and is refused", self.stale(world, i)
        return f"lists shard {first}", self.at(world, i, At.OTHER, first, shard.mark, shard.row)

    def second_page(self, world: World, i: int) -> Iterator[Step]:
        """A snapshot of the other, and the page is whole."""
        client = world.clients[i]
        first, mark, row = client.seen
        shard = world.shards[1 - first]
        if not self.page_current(shard, client.map.epochs[1 - first]):
            yield "lists the other and is refused", self.stale(world, i)
            return
        marks, rows = (mark, shard.mark), (row, shard.row)
        shown = self.listed(client.map, marks if first == 0 else marks[::-1], rows if first == 0 else rows[::-1])
        yield "lists the other", self.answered(world, i, TWICE if len(shown) > 1 else sum(shown))

    def begin_write(self, world: World, i: int) -> Iterator[Step]:
        """BEGIN, share-lock the fence; while the key moves also lock the mark."""
        known = world.clients[i].map
        which = self.written(known)
        shard = world.shards[which]
        if not self.current(shard, known.epochs[which]):
            yield "is refused", self.stale(world, i)
        elif known.alone is not None:
            yield "passes the fence", self.at(world.with_shard(which, entered(shard, i)), i, At.ALONE)
        elif self.free(shard):
            yield "locks the mark", self.at(world.with_shard(which, entered(shard, i)._replace(holder=i)), i,
                                            At.LOCKED)

    def pull(self, world: World, i: int) -> Step:
        """A marked row is written where it is; of another, first what the other shard has."""
        known = world.clients[i].map
        which = self.written(known)
        shard, other = world.shards[which], world.shards[1 - which]
        if not self.must_pull(shard):
            return "commits", self.committed(world, i, which, shard.row, Mark.DIRTY)
        if not self.frozen_current(other, known.epochs[1 - which]):
            return "is refused by the other", self.stale(self.left_shards(world, i), i)
        row = other.row if known.state is State.DUAL or self.dirty(other) else shard.row
        return "pulls", self.at(world, i, At.PULLED, row)

    def committed(self, world: World, i: int, which: int, row: int, mark: Mark | None) -> World:
        """The write is done on `row`, durable, and answered."""
        op = world.clients[i].op
        after, said = applied(op, row)
        shard = world.shards[which]._replace(row=after)
        if mark is not None:
            shard = shard._replace(mark=max(shard.mark, self.mark_behind(op, after)))
        return self.answered(self.left_shards(world.with_shard(which, shard), i), i, said)

    # ---- parts of steps

    def written(self, known: Map) -> int:
        """Where writes go."""
        if known.alone is not None:
            return known.alone
        return known.new if known.state is State.DUAL else known.old

    def at(self, world: World, i: int, at: At, *seen: int) -> World:
        """Client `i` is there, with what it has seen."""
        return world.with_client(i, world.clients[i]._replace(at=at, seen=seen))

    def stale(self, world: World, i: int) -> World:
        """Client `i` needs a newer map."""
        return self.at(world, i, At.STALE)

    def answered(self, world: World, i: int, answer: int) -> World:
        """Client `i` has its answer, and a run is judged by it."""
        pending = tuple(client.op for client in world.clients)
        world = world._replace(judgement=judged(world.judgement, pending, i, answer))
        return world.with_client(i, world.clients[i]._replace(at=At.IDLE, op=None, seen=()))

    def left_shards(self, world: World, i: int) -> World:
        """Client `i` holds no lock any more."""
        for which, shard in enumerate(world.shards):
            if i in shard.inside or shard.holder == i:
                world = world.with_shard(which, shard._replace(
                    inside=shard.inside - {i}, holder=NOBODY if shard.holder == i else shard.holder))
        return world


def entered(shard: Shard, i: int) -> Shard:
    """With client `i` behind its fence."""
    return shard._replace(inside=shard.inside | {i})

"""What moves the key: transitions between maps, work on the shards, and those who do either too late.

Whoever drives a reshard may die at any step and another goes on from what meta and the shards say. So nobody in
particular does a step here: each is possible when meta and the shards allow it. Only who has read something and then
sleeps is somebody: an `Order` asleep, or a `Late` helper.
"""
from __future__ import annotations

from collections.abc import Iterator

from tests.shard.model.clients import Step
from tests.shard.model.world import ABSENT, NOBODY, Intent, Late, Map, Mark, Order, Shard, State, World


class Reshard:
    """The mover's part of the protocol. Small methods are the precautions: `weakened` replaces one at a time."""

    # ---- precautions

    def current(self, shard: Shard, epoch: int) -> bool:
        """A statement finds the epoch that the map has for the shard."""
        return shard.epoch == epoch

    def order_current(self, order: Order, shard: Shard) -> bool:
        """The same, in the transaction that carries out an order."""
        return self.current(shard, order.epoch)

    def drained(self, world: World, which: int) -> bool:
        """A fence is raised when no transaction that passed the old one is left."""
        return not world.shards[which].inside

    def raised(self, shard: Shard, epoch: int) -> Shard:
        """A fence is raised, never lowered."""
        return shard._replace(epoch=max(shard.epoch, epoch))

    def may_publish(self, world: World, intent: Intent) -> bool:
        """By compare-and-set: the map is still the one that the intent starts from."""
        return world.intent == intent

    def turned(self, known: Map, state: State, *fences: int, **more: object) -> Intent:
        """To the same map in another state, with one epoch more for each shard that is fenced, in this order."""
        epochs = list(known.epochs)
        for which in fences:
            epochs[which] += 1
        return Intent(known, known._replace(state=state, epochs=tuple(epochs), **more),
                      tuple((which, epochs[which]) for which in fences))

    def open(self, known: Map) -> Intent:
        """To DUAL: the old shard is frozen, then the new one answers."""
        return self.turned(known, State.DUAL, known.old, known.new)

    def clean(self, known: Map) -> Intent:
        """To CLEANING: nobody reads the old shard any more."""
        return self.turned(known, State.CLEANING, known.old)

    def clean_kept(self, known: Map) -> Intent:
        """The same of a move whose old row stays: a later purge must find no reader either."""
        return self.clean(known)

    def may_open(self, world: World) -> bool:
        """What an earlier move left on the new shard must be gone."""
        return not world.map.kept

    def verified(self, old: Shard, new: Shard) -> bool:
        """Each key of the old shard is known to the new one."""
        return old.row == ABSENT or new.mark != Mark.NONE

    def copied(self, shard: Shard, row: int) -> Shard:
        """A row of the old shard is put on the new one, unless the key is known there."""
        return shard if shard.mark else shard._replace(row=row, mark=Mark.COPIED)

    # ---- transitions

    def intents(self, world: World) -> Iterator[tuple[World, Intent]]:
        """Where the published map can lead, with what is then still left to happen."""
        known, left = world.map, world.left
        old, new = world.shards[known.old], world.shards[known.new]
        match known.state:
            case State.STABLE:
                if left.moves and self.may_open(world):
                    yield world._replace(left=left._replace(moves=left.moves - 1)), self.open(known)
                elif left.moves and known.kept and new.row == ABSENT:
                    yield world, self.turned(known, State.STABLE, kept=False)
            case State.DUAL:
                if self.verified(old, new):
                    yield world, self.turned(known, State.COMPLETE, known.new)
                if left.cancels:
                    yield (world._replace(left=left._replace(cancels=left.cancels - 1)),
                           self.turned(known, State.REVERSE, known.new, known.old))
            case State.COMPLETE:
                yield world, self.clean(known)
                if left.keeps:
                    intent = self.clean_kept(known)
                    yield (world._replace(left=left._replace(keeps=left.keeps - 1)),
                           intent._replace(next=intent.next._replace(kept=True)))
            case State.CLEANING:
                if new.mark == Mark.NONE and (known.kept or old.row == ABSENT):
                    yield world, self.turned(known, State.STABLE, old=known.new)
            case State.REVERSE:
                if new.mark != Mark.DIRTY or old.mark:
                    yield world, self.turned(known, State.BACK, known.old, known.new)
            case State.BACK:
                if old.mark == new.mark == Mark.NONE and new.row == ABSENT:
                    yield world, self.turned(known, State.STABLE)

    def transition_steps(self, world: World) -> Iterator[Step]:
        """Propose; raise each fence; publish. A driver that dies begins again with the first fence."""
        intent = world.intent
        if intent is None:
            for after, intent in self.intents(world):
                yield f"proposes {intent.next.state.name}", after._replace(intent=intent, raised=0)
            return
        if world.raised < len(intent.fences):
            which, epoch = intent.fences[world.raised]
            if self.drained(world, which):
                yield f"fences shard {which} to {epoch}", world.with_shard(
                    which, self.raised(world.shards[which], epoch))._replace(raised=world.raised + 1)
        else:
            yield f"publishes {intent.next.state.name}", self.published(world, intent)
        if world.left.crashes and world.raised:
            yield "dies, and another begins", world._replace(
                raised=0, left=world.left._replace(crashes=world.left.crashes - 1))

    def published(self, world: World, intent: Intent) -> World:
        """Its map is the map."""
        return world._replace(map=intent.next, intent=None, raised=0)

    def late_steps(self, world: World) -> Iterator[Step]:
        """A helper takes the intent in hand, and does its steps at any time."""
        late = world.late
        if late is None:
            if world.left.helpers and world.intent is not None:
                yield "takes the intent", world._replace(
                    late=Late(world.intent), left=world.left._replace(helpers=world.left.helpers - 1))
        elif late.raised < len(late.intent.fences):
            which, epoch = late.intent.fences[late.raised]
            if self.drained(world, which):
                yield f"fences shard {which} to {epoch}", world.with_shard(
                    which, self.raised(world.shards[which], epoch))._replace(late=late._replace(raised=late.raised + 1))
        elif self.may_publish(world, late.intent):
            yield f"publishes {late.intent.next.state.name}", self.published(world, late.intent)._replace(late=None)
        else:
            yield "is too late to publish", world._replace(late=None)

    # ---- work

    def orders(self, world: World) -> Iterator[Order]:
        """What the published map lets be done, as read from meta and the old shard."""
        known = world.map
        old, new = world.shards[known.old], world.shards[known.new]
        old_epoch, new_epoch = known.epochs[known.old], known.epochs[known.new]
        match known.state:
            case State.STABLE:
                if known.kept and world.left.moves and new.row != ABSENT:
                    yield Order("purge", known.new, new_epoch)
            case State.DUAL:
                if self.current(old, old_epoch) and old.row != ABSENT:
                    yield Order("copy", known.new, new_epoch, old.row)
            case State.CLEANING:
                if old.row != ABSENT and not known.kept:
                    yield Order("delete", known.old, old_epoch)
                elif new.mark:
                    yield Order("drop marks", known.new, new_epoch)
            case State.REVERSE:
                if self.current(new, new_epoch) and new.mark == Mark.DIRTY:
                    yield Order("pull back", known.old, old_epoch, new.row)
            case State.BACK:
                if new.row != ABSENT or new.mark:
                    yield Order("delete with marks", known.new, new_epoch)
                if old.mark:
                    yield Order("drop marks", known.old, old_epoch)

    def work_steps(self, world: World) -> Iterator[Step]:
        """An order is read and carried out; or read now, and carried out at any later time."""
        for order in self.orders(world):
            after = self.carried_out(world, order)
            if self.order_current(order, world.shards[order.shard]) and after not in (None, world):
                yield f"does {order.work} on shard {order.shard}", after
            if world.left.sleepers:
                yield f"reads {order.work} and sleeps", world._replace(
                    asleep=order, left=world.left._replace(sleepers=world.left.sleepers - 1))
        if (order := world.asleep) is not None:
            shard = world.shards[order.shard]
            if not self.order_current(order, shard):
                yield f"wakes for {order.work} and is refused", world._replace(asleep=None)
            elif (after := self.carried_out(world, order)) is not None:
                yield f"wakes and does {order.work} on shard {order.shard}", after._replace(asleep=None)

    def carried_out(self, world: World, order: Order) -> World | None:
        """In one transaction of the shard; None: it must wait for a client's lock."""
        shard = world.shards[order.shard]
        if shard.holder != NOBODY:
            return None
        match order.work:
            case "copy":
                shard = self.copied(shard, order.row)
            case "pull back":
                shard = shard if shard.mark else shard._replace(row=order.row, mark=Mark.COPIED)
            case "delete" | "purge":
                shard = shard._replace(row=ABSENT)
            case "delete with marks":
                shard = shard._replace(row=ABSENT, mark=Mark.NONE)
            case "drop marks":
                shard = shard._replace(mark=Mark.NONE)
        return world.with_shard(order.shard, shard)

    def reshard_steps(self, world: World) -> Iterator[Step]:
        """All that can happen to the move next."""
        yield from (("mover " + what, after) for what, after in self.transition_steps(world))
        yield from (("mover " + what, after) for what, after in self.work_steps(world))
        yield from (("helper " + what, after) for what, after in self.late_steps(world))

"""The protocol with one precaution left out. Each class is a mistake that somebody could make; each must be caught."""
from __future__ import annotations

from tests.shard.model.explore import Protocol
from tests.shard.model.register import Op
from tests.shard.model.world import ABSENT, Intent, Map, Mark, Order, Shard, State, World


class NoEpochCheck(Protocol):
    """A router believes its map."""

    def current(self, shard: Shard, epoch: int) -> bool:
        return True


class FrozenWithoutEpochCheck(Protocol):
    """The shard that is not written needs no check: it is frozen. Until it is cleaned."""

    def frozen_current(self, shard: Shard, epoch: int) -> bool:
        return True


class FenceDoesNotDrain(Protocol):
    """A fence is raised beside transactions that passed the old one."""

    def drained(self, world: World, which: int) -> bool:
        return True


class NewOpensFirst(Protocol):
    """The new shard answers before the old one is fenced."""

    def open(self, known: Map) -> Intent:
        return self.turned(known, State.DUAL, known.new)


class NoMarkOnDelete(Protocol):
    """A write marks the key by the row it leaves; a delete leaves none."""

    def mark_behind(self, op: Op, row: int) -> Mark:
        return Mark.NONE if row == ABSENT else Mark.DIRTY


class CopyOverwrites(Protocol):
    """REPLACE INTO."""

    def copied(self, shard: Shard, row: int) -> Shard:
        return shard._replace(row=row, mark=max(shard.mark, Mark.COPIED))


class CopyIgnores(Protocol):
    """INSERT IGNORE: no row means that the key was not moved."""

    def copied(self, shard: Shard, row: int) -> Shard:
        return shard._replace(row=shard.row or row, mark=max(shard.mark, Mark.COPIED))


class NoPull(Protocol):
    """A write looks at what the new shard has."""

    def must_pull(self, shard: Shard) -> bool:
        return False


class PullOutsideTheLock(Protocol):
    """The mark is not locked while the other shard's row is read."""

    def free(self, shard: Shard) -> bool:
        return True


class CleanupWithoutFence(Protocol):
    """Rows are deleted under those who still read them."""

    def clean(self, known: Map) -> Intent:
        return self.turned(known, State.CLEANING)


class KeepWithoutFence(Protocol):
    """What stays needs no fence: nobody deletes it. The next move does."""

    def clean_kept(self, known: Map) -> Intent:
        return self.turned(known, State.CLEANING)


class UnfencedOrder(Protocol):
    """Whoever carries out `unfenced` does it whenever it wakes."""

    unfenced = ""

    def order_current(self, order: Order, shard: Shard) -> bool:
        return order.work == self.unfenced or super().order_current(order, shard)


class UnfencedCleaner(UnfencedOrder):
    """It sleeps through the move of the key back, and deletes the row that is served."""

    unfenced = "delete"


class UnfencedCopy(UnfencedOrder):
    """It sleeps until the marks are gone, and brings a deleted row back."""

    unfenced = "copy"


class UnfencedMarkDropper(UnfencedOrder):
    """It sleeps until the shard is a target again, and forgets what was written there."""

    unfenced = "drop marks"


class UnfencedPurge(UnfencedOrder):
    """It sleeps until the shard is a target again, and deletes what was moved there."""

    unfenced = "purge"


class UnfencedPullBack(UnfencedOrder):
    """It sleeps until the cancelled move's marks are gone, and undoes what was written since."""

    unfenced = "pull back"


class UnfencedUndo(UnfencedOrder):
    """The cleaner of a cancelled move sleeps until the next one."""

    unfenced = "delete with marks"


class CompleteUnverified(Protocol):
    """The mover's cursor has passed all keys, so they must be there."""

    def verified(self, old: Shard, new: Shard) -> bool:
        return True


class NoPurge(Protocol):
    """A move goes to where an earlier one left the row."""

    def may_open(self, world: World) -> bool:
        return True


class CancelIgnoresDirty(Protocol):
    """The old shard has everything."""

    def dirty(self, shard: Shard) -> bool:
        return False


class CancelDoesNotDrain(Protocol):
    """Taken back while writes to the new shard are under way."""

    def drained(self, world: World, which: int) -> bool:
        cancels = world.intent is not None and world.intent.next.state is State.REVERSE
        return (cancels and which == world.map.new) or super().drained(world, which)


class ListWithoutEpochCheck(Protocol):
    """Only single keys are worth a fence."""

    def page_current(self, shard: Shard, epoch: int) -> bool:
        return True


class ListIgnoresMarks(Protocol):
    """A page shows what both shards have."""

    def listed(self, known: Map, marks: tuple[int, int], rows: tuple[int, int]) -> list[int]:
        shown = rows if known.alone is None else (rows[known.alone],)
        return [row for row in shown if row != ABSENT]


class ListByRows(Protocol):
    """A row on the new shard wins; none means that the old one has it."""

    def listed(self, known: Map, marks: tuple[int, int], rows: tuple[int, int]) -> list[int]:
        return super().listed(known, (rows[0], rows[1]), rows)


class LateHelperLowers(Protocol):
    """SET epoch = e, in place of GREATEST(epoch, e)."""

    def raised(self, shard: Shard, epoch: int) -> Shard:
        return shard._replace(epoch=epoch)


class LateHelperPublishes(Protocol):
    """Without compare-and-set."""

    def may_publish(self, world: World, intent: Intent) -> bool:
        return True

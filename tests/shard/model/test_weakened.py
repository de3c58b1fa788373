"""Each precaution is needed: without it some client is lied to."""
from __future__ import annotations

import pytest

from tests.shard.model import weakened
from tests.shard.model.explore import Protocol, explore
from tests.shard.model.register import KINDS
from tests.shard.model.world import Story

ONE = Story((1,), KINDS)
TWO = Story((2,), KINDS)

# The smallest stories in which each shows.
STORIES: dict[type[Protocol], Story] = {
    weakened.NoEpochCheck: ONE,
    weakened.FrozenWithoutEpochCheck: ONE,
    weakened.FenceDoesNotDrain: ONE,
    weakened.NewOpensFirst: TWO,
    weakened.NoMarkOnDelete: TWO,
    weakened.CopyOverwrites: TWO,
    weakened.CopyIgnores: TWO,
    weakened.NoPull: ONE,
    weakened.PullOutsideTheLock: Story((1, 1), KINDS),
    weakened.CompleteUnverified: ONE,
    weakened.CleanupWithoutFence: ONE,
    weakened.KeepWithoutFence: Story((1,), KINDS, moves=2, keeps=1),
    weakened.NoPurge: Story((1,), KINDS, moves=2, keeps=1),
    weakened.UnfencedCleaner: Story((1,), KINDS, moves=2, sleepers=1),
    weakened.UnfencedCopy: Story((2,), KINDS, sleepers=1),
    weakened.UnfencedMarkDropper: Story((2,), ("get", "update"), moves=3, sleepers=1),
    weakened.UnfencedPurge: Story((1,), KINDS, moves=2, keeps=1, sleepers=1),
    weakened.UnfencedPullBack: Story((3,), ("get", "put", "delete"), cancels=1, sleepers=1),
    weakened.UnfencedUndo: Story((1,), KINDS, moves=2, cancels=1, sleepers=1),
    weakened.CancelIgnoresDirty: Story((2,), KINDS, cancels=1),
    weakened.CancelDoesNotDrain: Story((2,), KINDS, cancels=1),
    weakened.ListWithoutEpochCheck: ONE,
    weakened.ListIgnoresMarks: ONE,
    weakened.ListByRows: TWO,
    weakened.LateHelperLowers: Story((1,), KINDS, helpers=1),
    weakened.LateHelperPublishes: Story((1,), KINDS, cancels=1, helpers=1),
}


@pytest.mark.parametrize("protocol", STORIES, ids=lambda protocol: protocol.__name__)
def test_what_clients_see_gives_it_away(protocol):
    found = explore(protocol(), STORIES[protocol], clients_only=True)
    assert found.wrong == "no row answers like this", found
    assert explore(Protocol(), STORIES[protocol]).wrong is None     # and nothing else in that story does


def test_every_weakened_protocol_has_its_story():
    subclasses = {one for one in vars(weakened).values() if isinstance(one, type) and issubclass(one, Protocol)}
    assert subclasses - {Protocol, weakened.UnfencedOrder} == set(STORIES)


def test_a_trace_tells_what_happened():
    found = explore(weakened.NoPull(), ONE, clients_only=True)
    assert found.trace[0] == "the row is 1"
    assert "mover publishes DUAL" in found.trace
    assert found.trace[-1].startswith("client 0 ")

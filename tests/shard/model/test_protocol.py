"""The protocol keeps its promise in every world that few clients, moves and accidents can reach.

HOTPATH_MODEL=1 adds the larger searches: millions of worlds, minutes, some gigabytes.
"""
from __future__ import annotations

import os

import pytest

from tests.shard.model.explore import Protocol, explore
from tests.shard.model.register import KINDS
from tests.shard.model.world import Story

FEW = ("get", "update", "delete")
LISTS = ("get", "list", "update", "delete")

SMALL = {
    "two clients, moved or taken back": Story((1, 1), KINDS, cancels=1),
    "clients that know what they did, moved or taken back": Story((2, 1), ("get", "put", "delete"), cancels=1),
    "somebody dies": Story((1, 1), LISTS, cancels=1, crashes=1),
    "there and back, a worker that sleeps, a row that stays": Story((2,), LISTS, moves=2, cancels=1, keeps=1,
                                                                    sleepers=1),
    "there and back, under two clients": Story((1, 1), ("get", "delete"), moves=2, keeps=1),
    "there, back and there again, a worker that sleeps": Story((2,), FEW, moves=3, sleepers=1),
    "a late helper, moved or taken back, and moved again": Story((2,), FEW, moves=2, cancels=1, helpers=1),
}
LARGE = {
    "three clients": Story((1, 1, 1), LISTS),
    "two clients, a late helper": Story((1, 1), LISTS, cancels=1, helpers=1),
    "two clients, there and back, a worker that sleeps": Story((1, 1), LISTS, moves=2, sleepers=1),
    "a worker that sleeps beside a late helper": Story((1,), FEW, moves=2, cancels=1, keeps=1, sleepers=1, helpers=1),
    "two and two operations": Story((2, 2), ("get", "update", "delete"), cancels=1),
}
CHOSEN = SMALL | (LARGE if os.environ.get("HOTPATH_MODEL", "0") not in ("", "0") else {})


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.timeout(900)
def test_no_client_is_lied_to(name):
    found = explore(Protocol(), CHOSEN[name], limit=500_000 if name in SMALL else 20_000_000)
    assert found.wrong is None, found

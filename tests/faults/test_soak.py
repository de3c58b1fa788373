"""A short storm on each run: the long ones are `python -m tests.faults.soak`."""

from __future__ import annotations

import random

from tests.faults.soak import Soak


def test_a_storm_with_reloads_leaves_nothing_behind() -> None:
    soak = Soak(random.randrange(1 << 30), seconds=5.0, reload_s=2.0)
    assert soak.run() == [], f"seed {soak.seed}"
    assert soak.ledger.outcomes["200"] > 50

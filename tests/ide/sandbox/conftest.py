"""What tests call the two halves of `there`, which each module makes of its own kind."""
from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def world(there):
    """The loop in which tasks run."""
    return there[0]


@pytest.fixture(scope="module")
def sandbox(there):
    """What is tested."""
    return there[1]

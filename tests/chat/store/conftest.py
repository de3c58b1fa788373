"""One world for each test."""
from collections.abc import Iterator

import pytest

from hotpath.chat.store import Database

from .worlds import World, running


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    """On a fresh database of either engine."""
    with running(database) as it:
        yield it

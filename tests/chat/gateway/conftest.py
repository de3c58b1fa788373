"""A gateway with all that is behind it."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chat.gateway.rig import Place, Rig, rig


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    """One gateway for the tests of a module."""
    with rig(tmp_path_factory.mktemp("chat"), ring=16, resume_max=300, head_check="300ms", ping="600s") as chat:
        yield Place(chat, chat.gateway())


@pytest.fixture
def chat(tmp_path) -> Iterator[Rig]:
    """Of a test's own; no gateway yet."""
    with rig(tmp_path, head_check="300ms") as made:
        yield made

"""A journal for a test, and what a directory holds once its owner is gone."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotpath.crdt.journal import Journal, Replayed
from tests.crdt.journal.cells import cells_of

WITHIN_S = 60.0


def open_journal(folder: Path, **options: Any) -> tuple[Journal, Replayed]:
    """A journal whose failure fails the test, unless it says what is to be done."""
    def failed(error: Exception) -> None:
        raise AssertionError(f"the journal failed: {error}")

    return Journal.open(folder, **{"replica": "a", "bias": "add", "fatal": failed, "patience_s": 0, **options})


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[tuple[Journal, Replayed]]:
    journal, replayed = open_journal(folder, **options)
    try:
        yield journal, replayed
    finally:
        journal.close()


def held(folder: Path, **options: Any) -> set[bytes]:
    """Every cell a start would find there."""
    with opened(folder, **options) as (_, replayed):
        return cells_of(replayed.deltas)

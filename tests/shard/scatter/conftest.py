"""Shards for clusters by hand: a group of files for each kind of key, and one of real servers."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine.sqlite import create

from .byhand import TABLES, Shards

NAMES = ("s0", "s1", "s2", "s3")


def new_file(folder: Path) -> Endpoint:
    """A database that nothing stands in."""
    path = folder / "shard.db"
    create(str(path))
    return Endpoint("sqlite", path=str(path))


@pytest.fixture(scope="session")
def all_files(tmp_path_factory) -> Iterator[dict[str, Shards]]:
    made = {}
    for kind, table in TABLES.items():
        made[kind] = Shards(table, {name: new_file(tmp_path_factory.mktemp(kind)) for name in NAMES})
    yield made
    for shards in made.values():
        shards.close()


@pytest.fixture(scope="session")
def all_servers(mysqls) -> Iterator[dict[str, Shards]]:
    made = {kind: Shards(table, dict(zip(NAMES, mysqls.databases(4), strict=True))) for kind, table in TABLES.items()}
    yield made
    for shards in made.values():
        shards.close()

"""Clusters for a mover, on each engine."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest

from hotpath.shard import steps
from tests.shard.mover.clusters import Cluster, on_files, on_servers
from tests.shard.servers import Mysqls, mysqls  # noqa: F401    a fixture

Make = Callable[..., Cluster]


@contextmanager
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: nobody cuts the power here, and a sync takes milliseconds."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Make]:
    """`files(n, **move)`: a cluster of `n` SQLite files."""
    with ExitStack() as stack:
        yield lambda n=2, **move: stack.enter_context(
            on_files(stack.enter_context(quick_folder(tmp_path)), n, **move))


@pytest.fixture
def on_mariadb(tmp_path: Path, mysqls: Mysqls) -> Iterator[Make]:      # noqa: F811
    """The same, of databases on real servers."""
    with ExitStack() as stack:
        def made(n: int = 2, **move: object) -> Cluster:
            places = mysqls.databases(n + 1)
            cluster = stack.enter_context(on_servers(tmp_path, places[:-1], **move))
            cluster.spare = places[-1]
            return cluster

        yield made


@pytest.fixture(params=["files", "on_mariadb"])
def make(request: pytest.FixtureRequest) -> Make:
    """Either."""
    return cast(Make, request.getfixturevalue(request.param))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """`at(hear)`: `hear` is told each step."""
    return lambda hear: monkeypatch.setattr(steps, "reached", hear)
